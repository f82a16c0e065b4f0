import { FireSource } from './fire-source.ts';
import type { Schedule } from './schedule.ts';

const minuteMs = 60_000;

/** No interval is shorter than 10 ms. */
const mostInAMinute = minuteMs / 10;

/**
 * How many fire times a schedule has in its fullest minute behind an instant, 60 s that begin with a fire time; 0 when
 * it never fires again. It is asked for the minute of the next fire time, which may lie in the middle of what an
 * expression names, and for the first one that begins behind that: an expression names the same seconds in each of
 * its minutes. Jitter, which moves fire times and makes none, and calendars are not looked at; a fixed delay counts
 * as if its executions took no time; `repeatCount` bounds the whole.
 */
export function firesInFullestMinute(schedule: Schedule, spreadSeed: number, afterMs: number): number {
  const source = new FireSource({ ...schedule, jitterMs: undefined }, spreadSeed, '');
  const countFrom = (firstMs: number | undefined): number =>
    firstMs === undefined ? 0 : source.count(firstMs - 1, firstMs + minuteMs - 1, mostInAMinute);
  const firstMs = source.next(afterMs);
  if (firstMs === undefined) return 0;
  const wholeMs = source.next(Math.ceil(firstMs / minuteMs) * minuteMs - 1);
  const count = Math.max(countFrom(firstMs), countFrom(wholeMs));
  return schedule.repeatCount > 0 ? Math.min(count, schedule.repeatCount) : count;
}
