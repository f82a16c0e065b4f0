import type { AmbiguousPolicy, GapPolicy, Schedule } from '../../../src/domain/schedule/schedule.ts';
import { compileTimetable, type Timetable } from '../../../src/domain/schedule/timetable.ts';

export type CronOptions = {
  readonly zone?: string;
  readonly gap?: GapPolicy;
  readonly ambiguous?: AmbiguousPolicy;
};

/** A schedule with one cron expression. */
export function cron(expression: string, options: CronOptions = {}): Schedule {
  const { zone = 'UTC', gap = 'RUN_AT_GAP_END', ambiguous = 'FIRST' } = options;
  return {
    name: '0',
    repeatCount: 0,
    spec: { kind: 'cron', expression, dialect: 'UNIX', timeZone: zone, gap, ambiguous },
  };
}

/** The first fire times behind an instant, as local times with their offsets. */
export function firesOf(timetable: Timetable, after: string, count: number): string[] {
  const fires: string[] = [];
  let fire = timetable.next(Date.parse(after), []);
  for (; fire && fires.length < count; fire = timetable.next(fire.atMs, []))
    fires.push(timetable.describe(fire).localTime);
  return fires;
}

/** The first fire times of an expression. */
export const cronFires = (
  expression: string,
  after: string,
  count: number,
  options: CronOptions = {},
): string[] => firesOf(compileTimetable([cron(expression, options)], 42), after, count);
