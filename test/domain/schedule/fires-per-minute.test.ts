import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firesInFullestMinute } from '../../../src/domain/schedule/fires-per-minute.ts';
import type { Schedule } from '../../../src/domain/schedule/schedule.ts';
import { compileTimetable } from '../../../src/domain/schedule/timetable.ts';
import { cronSpec, scheduleOf } from './schedules.ts';

const afterMs = Date.parse('2026-11-21T09:59:50.500Z');

const every = (everyMs: number, mode: 'FIXED_RATE' | 'FIXED_DELAY' = 'FIXED_RATE'): Schedule['spec'] => ({
  kind: 'interval',
  everyMs,
  mode,
  anchorMs: afterMs,
});

describe('the fullest minute of a schedule', () => {
  it.each<[string, Schedule, number]>([
    ['of each second', scheduleOf(cronSpec('* * * * * *')), 60],
    ['of each minute', scheduleOf(cronSpec('* * * * *')), 1],
    ['of every tenth second', scheduleOf(cronSpec('*/10 * * * * *')), 6],
    ['of each second in an hour that is nearly over', scheduleOf(cronSpec('* * 9 * * *')), 60],
    ['of each second in one minute of the year', scheduleOf(cronSpec('* 0 0 1 1 *')), 60],
    ['of each second in an hour, Quartz', scheduleOf(cronSpec('* * 3 ? * 2', { dialect: 'QUARTZ' })), 60],
    [
      'of each second in a zone with half an hour',
      scheduleOf(cronSpec('* 30 3 * * *', { timeZone: 'Asia/Kolkata' })),
      60,
    ],
    [
      'of each second where clocks go back',
      scheduleOf(cronSpec('* * * * * *', { timeZone: 'Europe/Berlin' })),
      60,
    ],
    [
      'of a gap whose fire times fall together',
      scheduleOf(cronSpec('0,1 30 2 * * *', { timeZone: 'Europe/Berlin' })),
      2,
    ],
    ['of an interval', scheduleOf(every(1_000)), 60],
    ['of the shortest interval', scheduleOf(every(10)), 6_000],
    ['of an interval that does not divide the minute', scheduleOf(every(7_000)), 9],
    ['of an interval of more than a minute', scheduleOf(every(61_000)), 1],
    ['of a fixed delay, as if nothing took time', scheduleOf(every(500, 'FIXED_DELAY')), 120],
    ['of an instant', scheduleOf({ kind: 'once', atMs: afterMs + 1 }), 1],
    ['of an instant that has passed', scheduleOf({ kind: 'once', atMs: afterMs }), 0],
    ['has no more than the repeat count', scheduleOf(every(1_000), { repeatCount: 3 }), 3],
    [
      'has no more than lies between start and end',
      scheduleOf(every(1_000), { startMs: afterMs, endMs: afterMs + 9_000 }),
      9,
    ],
    [
      'begins at a start that lies ahead',
      scheduleOf(cronSpec('* * * * * *'), { startMs: afterMs + 86_430_000 }),
      60,
    ],
    ['is not filled by jitter', scheduleOf(cronSpec('* * * * *'), { jitterMs: 59_000 }), 1],
  ])('%s', (_what, schedule, expected) => {
    expect(firesInFullestMinute(schedule, 1, afterMs)).toBe(expected);
  });

  it('is as full as the fullest of all minutes that are walked', () => {
    const field = (values: fc.Arbitrary<number>, most: number) =>
      fc.oneof(
        fc.constant('*'),
        fc.uniqueArray(values, { minLength: 1, maxLength: most }).map((list) => list.join(',')),
      );
    const expressions = fc
      .tuple(field(fc.integer({ min: 0, max: 59 }), 20), field(fc.integer({ min: 0, max: 59 }), 3))
      .map(([seconds, minutes]) => `${seconds} ${minutes} * * * *`);
    fc.assert(
      fc.property(expressions, fc.integer({ min: 0, max: 7_200_000 }), (expression, laterMs) => {
        const schedule = scheduleOf(cronSpec(expression, { timeZone: 'Europe/Berlin' }));
        const timetable = compileTimetable([schedule], 1);
        const fires: number[] = [];
        for (let fire = timetable.next(afterMs + laterMs, []); fire && fires.length < 200; ) {
          fires.push(fire.atMs);
          fire = timetable.next(fire.atMs, []);
        }
        const fullest = Math.max(
          ...fires.map((first) => fires.filter((at) => at >= first && at < first + 60_000).length),
        );
        expect(firesInFullestMinute(schedule, 1, afterMs + laterMs)).toBe(fullest);
      }),
      { numRuns: 200 },
    );
  });
});
