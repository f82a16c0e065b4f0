import type { CronSchedule, Schedule } from '../../../src/domain/schedule/schedule.ts';
import { compileTimetable, type Timetable } from '../../../src/domain/schedule/timetable.ts';

/** A schedule without bounds; what is not said takes the defaults of the API. */
export function scheduleOf(spec: Schedule['spec'], more: Partial<Omit<Schedule, 'spec'>> = {}): Schedule {
  return { name: 'main', repeatCount: 0, ...more, spec };
}

/** A cron schedule in UTC; what is not said takes the defaults of the API. */
export function cronSpec(expression: string, more: Partial<CronSchedule> = {}): CronSchedule {
  return {
    kind: 'cron',
    expression,
    dialect: 'UNIX',
    timeZone: 'UTC',
    gap: 'RUN_AT_GAP_END',
    ambiguous: 'FIRST',
    ...more,
  };
}

/** The timetable of one cron schedule. */
export function cronTimetable(
  expression: string,
  more: Partial<CronSchedule> = {},
  spreadSeed = 1,
): Timetable {
  return compileTimetable([scheduleOf(cronSpec(expression, more))], spreadSeed);
}

/** The first fire times strictly after an instant, at most `count`, as ISO instants without milliseconds. */
export function firesAfter(timetable: Timetable, after: string, count: number): string[] {
  const fires: string[] = [];
  let fire = timetable.next(Date.parse(after), []);
  for (; fire && fires.length < count; fire = timetable.next(fire.atMs, [])) fires.push(isoOf(fire.atMs));
  return fires;
}

/** The first fire times strictly after an instant as clocks there show them. */
export function localFiresAfter(timetable: Timetable, after: string, count: number): string[] {
  const fires: string[] = [];
  let fire = timetable.next(Date.parse(after), []);
  for (; fire && fires.length < count; fire = timetable.next(fire.atMs, []))
    fires.push(timetable.describe(fire).localTime);
  return fires;
}

/** Every fire time in (after, until]. */
export function firesBetween(timetable: Timetable, after: string, until: string): string[] {
  const fires: string[] = [];
  const untilMs = Date.parse(until);
  let fire = timetable.next(Date.parse(after), []);
  for (; fire && fire.atMs <= untilMs; fire = timetable.next(fire.atMs, [])) fires.push(isoOf(fire.atMs));
  return fires;
}

const isoOf = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');
