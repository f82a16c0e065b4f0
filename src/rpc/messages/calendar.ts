import type * as pb from '../../../gen/carillon/v1/calendar_pb.js';
import type { Calendar, StoredCalendar, Weekday } from '../../domain/schedule/calendar.ts';
import { cronDialects, weekdays } from './enums.ts';
import { namespaceFromMessage } from './job-key.ts';
import { timestampFromDate } from './times.ts';

/** A calendar with its defaults; what is output only is left out. */
export function calendarFromMessage(calendar: pb.Calendar): Calendar {
  return {
    namespace: namespaceFromMessage(calendar.namespace),
    name: calendar.name,
    description: calendar.description,
    timeZone: calendar.timeZone === '' ? 'UTC' : calendar.timeZone,
    dates: calendar.dates,
    dateRanges: calendar.dateRanges.map(({ firstDate, lastDate }) => ({ firstDate, lastDate })),
    weekdays: calendar.weekdays.flatMap((value): Weekday[] => {
      const weekday = weekdays.fromMessage(value);
      // What is no weekday was refused before: by the rules of the proto.
      return weekday === undefined ? [] : [weekday];
    }),
    yearlyDays: calendar.yearlyDays,
    crons: calendar.crons.map(({ expression, dialect }) => ({
      expression,
      dialect: cronDialects.fromMessage(dialect) ?? 'UNIX',
    })),
  };
}

/** A stored calendar with everything that was defaulted written out. */
export function calendarToMessage(calendar: StoredCalendar): pb.Calendar {
  return {
    $typeName: 'carillon.v1.Calendar',
    namespace: calendar.namespace,
    name: calendar.name,
    description: calendar.description,
    timeZone: calendar.timeZone,
    dates: [...calendar.dates],
    dateRanges: calendar.dateRanges.map((range) => ({
      $typeName: 'carillon.v1.DateRange' as const,
      ...range,
    })),
    weekdays: calendar.weekdays.map(weekdays.toMessage),
    yearlyDays: [...calendar.yearlyDays],
    crons: calendar.crons.map(({ expression, dialect }) => ({
      $typeName: 'carillon.v1.CronExclusion' as const,
      expression,
      dialect: cronDialects.toMessage(dialect),
    })),
    createTime: timestampFromDate(calendar.createdAt),
    updateTime: timestampFromDate(calendar.updatedAt),
    jobCount: BigInt(calendar.jobCount),
  };
}
