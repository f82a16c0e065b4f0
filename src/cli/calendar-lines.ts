import { type Calendar, type CronExclusion, Weekday } from '../../gen/carillon/v1/calendar_pb.js';
import { CronDialect } from '../../gen/carillon/v1/schedule_pb.js';
import { instantToText } from './option-values.ts';

/** The titles of `calendarRow`. */
export const calendarTitles = ['NAME', 'ZONE', 'EXCLUDES', 'JOBS'] as const;

/** A calendar as a row of a table. */
export function calendarRow(calendar: Calendar): readonly string[] {
  return [calendar.name, calendar.timeZone, exclusionsToText(calendar), String(calendar.jobCount)];
}

/** A calendar in one line, for the reply to a change. */
export const calendarSummary = (calendar: Calendar): string =>
  `${calendarNameToText(calendar.namespace, calendar.name)}, excludes ${exclusionsToText(calendar)}`;

/** Writes a calendar's name, with its namespace unless that is the default. */
export const calendarNameToText = (namespace: string, name: string): string =>
  namespace === '' || namespace === 'default' ? name : `${namespace}/${name}`;

/** Everything about a calendar, as properties. */
export function calendarProperties(calendar: Calendar): readonly (readonly [string, string])[] {
  return [
    ['name', calendarNameToText(calendar.namespace, calendar.name)],
    ['description', calendar.description],
    ['zone', calendar.timeZone],
    ['dates', calendar.dates.join(', ')],
    ['ranges', calendar.dateRanges.map(({ firstDate, lastDate }) => `${firstDate}..${lastDate}`).join(', ')],
    ['weekdays', weekdaysToText(calendar)],
    ['yearly', calendar.yearlyDays.join(', ')],
    ...calendar.crons.map((cron, i): [string, string] => [i === 0 ? 'crons' : ' ', cronToText(cron)]),
    ['jobs', String(calendar.jobCount)],
    ['put first', instantToText(calendar.createTime)],
    ['changed', instantToText(calendar.updateTime)],
  ];
}

/** What a calendar excludes, in short: how many of each kind. */
function exclusionsToText(calendar: Calendar): string {
  const counted = (count: number, one: string): string[] =>
    count === 0 ? [] : [`${count} ${one}${count === 1 ? '' : 's'}`];
  const parts = [
    ...counted(calendar.dates.length, 'date'),
    ...counted(calendar.dateRanges.length, 'range'),
    ...(calendar.weekdays.length === 0 ? [] : [weekdaysToText(calendar)]),
    ...counted(calendar.yearlyDays.length, 'yearly day'),
    ...counted(calendar.crons.length, 'cron'),
  ];
  return parts.join(', ') || 'nothing';
}

const weekdaysToText = ({ weekdays }: Calendar): string =>
  weekdays.map((weekday) => Weekday[weekday]?.slice(0, 3).toLowerCase()).join(', ');

const cronToText = ({ expression, dialect }: CronExclusion): string =>
  `${expression}${dialect === CronDialect.QUARTZ ? ' dialect quartz' : ''}`;
