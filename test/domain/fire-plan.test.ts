import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jobDefaults, type MisfirePolicy, type OverlapPolicy } from '../../src/domain/job.ts';
import type { Schedule, ScheduleProgress } from '../../src/domain/schedule/schedule.ts';
import { compileTimetable } from '../../src/domain/schedule/timetable.ts';
import { every, minute, noon, plan, second, short } from './fire-plans.ts';

describe('planning the fires of a due job', () => {
  it('runs a fire time that is due and computes the next one', () => {
    const planned = plan(every(10 * second), { nowMs: noon + 3 });
    expect(planned.rows.map(short)).toEqual(['0 SCHEDULE']);
    expect(planned.nextFireMs).toBe(noon + 10 * second);
    expect(planned.lastFireMs).toBe(noon);
  });

  it('fires late ones within the grace as if on time, each through the overlap policy', () => {
    const planned = plan(every(10 * second), { nowMs: noon + 25 * second });
    expect(planned.rows.map(short)).toEqual(['0 SCHEDULE', '10 OVERLAP', '20 OVERLAP']);
    expect(plan(every(10 * second), { nowMs: noon + 25 * second, overlap: 'ALLOW' }).rows.map(short)).toEqual(
      ['0 SCHEDULE', '10 SCHEDULE', '20 SCHEDULE'],
    );
  });

  it('advances from now, never step by step from the old value', () => {
    expect(plan(every(7 * second), { nowMs: noon + 24 * 3600 * second }).nextFireMs).toBeGreaterThan(
      noon + 24 * 3600 * second,
    );
  });

  it.each([
    ['SKIP', ['0 MISFIRE', '60 MISFIRE', '120 MISFIRE', '180 SCHEDULE']],
    ['RUN_LAST', ['0 MISFIRE', '60 MISFIRE', '120 CATCH_UP', '180 SCHEDULE']],
    ['RUN_ALL', ['0 CATCH_UP', '60 CATCH_UP', '120 CATCH_UP', '180 SCHEDULE']],
  ] as const)('handles missed fire times by %s', (policy, rows) => {
    const misfire = { ...jobDefaults.misfire, policy, graceMs: 30 * second };
    const planned = plan(every(minute), { nowMs: noon + 190 * second, misfire, overlap: 'ALLOW' });
    expect(planned.rows.map(short)).toEqual(rows);
  });

  it('bounds RUN_ALL by its count, latest first to be kept, oldest first to run', () => {
    const misfire = { ...jobDefaults.misfire, policy: 'RUN_ALL', graceMs: 0, maxCatchUp: 2 } as const;
    const planned = plan(every(minute), { nowMs: noon + 4.5 * minute, misfire, overlap: 'ALLOW' });
    expect(planned.rows.map(short)).toEqual([
      '0 MISFIRE',
      '60 MISFIRE',
      '120 MISFIRE',
      '180 CATCH_UP',
      '240 CATCH_UP',
    ]);
  });

  it('bounds RUN_ALL by its window', () => {
    const misfire = {
      ...jobDefaults.misfire,
      policy: 'RUN_ALL',
      graceMs: 0,
      catchUpWindowMs: 2 * minute,
    } as const;
    const planned = plan(every(minute), { nowMs: noon + 4.5 * minute, misfire, overlap: 'ALLOW' });
    expect(planned.rows.map(short)).toEqual([
      '0 MISFIRE',
      '60 MISFIRE',
      '120 MISFIRE',
      '180 CATCH_UP',
      '240 CATCH_UP',
    ]);
  });

  it('collapses a long gap into one counted row that names its range', () => {
    const planned = plan(every(second), { nowMs: noon + 3 * 3600 * second + 500 });
    const [gap, ...rest] = planned.rows;
    expect(short(gap!)).toBe('0 MISFIRE 10740');
    expect(gap?.message).toContain(
      '10740 fire times from 2026-11-21T12:00:00.000Z to 2026-11-21T14:58:59.000Z',
    );
    expect(short(rest[0]!)).toBe('10740 CATCH_UP');
    const accounted = planned.rows.reduce((sum, row) => sum + (row.skippedCount || 1), 0);
    expect(accounted).toBe(3 * 3600 + 1);
  });

  it('makes no burst of what lies within the grace: the older ones count as missed', () => {
    const planned = plan(every(10), { nowMs: noon + 30 * second, overlap: 'ALLOW' });
    expect(planned.rows.filter((row) => row.cause === 'SCHEDULE' && row.state === 'PENDING')).toHaveLength(
      100,
    );
    expect(planned.rows.filter((row) => row.cause === 'CATCH_UP')).toHaveLength(1);
    expect(planned.rows.reduce((sum, row) => sum + (row.skippedCount || 1), 0)).toBe(3_001);
  });

  it('skips while an execution is open, and says which', () => {
    const planned = plan(every(second), { occupancy: { openExecutionId: 77, bufferedCount: 0 } });
    expect(planned.rows.map(short)).toEqual(['0 OVERLAP']);
    expect(planned.rows[0]?.message).toBe('execution 77 was still open');
  });

  it('holds what falls into a pause, and runs what comes behind its end', () => {
    const held = plan(every(second), { nowMs: noon + 2 * second, pausedUntilMs: Number.POSITIVE_INFINITY });
    expect(held.rows.map(short)).toEqual(['0 PAUSED', '1 PAUSED', '2 PAUSED']);
    expect(held.nextFireMs).toBe(noon + 3 * second);
    const lifted = plan(every(second), { nowMs: noon + 2 * second, pausedUntilMs: noon + 2 * second });
    expect(lifted.rows.map(short)).toEqual(['0 PAUSED', '1 PAUSED', '2 SCHEDULE']);
    expect(plan(every(second), { pausedUntilMs: noon - second }).rows.map(short)).toEqual(['0 SCHEDULE']);
  });

  it('makes exactly as many runs as the repeat count says; skipped ones do not use it up', () => {
    const three = every(second, { repeatCount: 3 });
    const all = plan(three, { nowMs: noon + 9 * second, overlap: 'ALLOW' });
    expect(all.rows.map(short)).toEqual(['0 SCHEDULE', '1 SCHEDULE', '2 SCHEDULE']);
    expect(all.nextFireMs).toBeUndefined();
    expect(all.progress).toEqual([{ runs: 3 }]);
    const skipped = plan(three, {
      nowMs: noon + 2 * second,
      occupancy: { openExecutionId: 1, bufferedCount: 0 },
    });
    expect(skipped.progress).toEqual([]);
    expect(skipped.nextFireMs).toBe(noon + 3 * second);
  });

  it('finishes when no schedule fires again', () => {
    const once: Schedule = { name: 'once', repeatCount: 0, spec: { kind: 'once', atMs: noon } };
    expect(plan(once, {})).toMatchObject({ nextFireMs: undefined, lastFireMs: noon });
    const ended = plan(every(second, { endMs: noon }), {});
    expect(ended.rows.map(short)).toEqual(['0 SCHEDULE']);
    expect(ended.nextFireMs).toBeUndefined();
  });

  it('writes one row for an instant that two schedules name, and counts it for both', () => {
    const timetable = compileTimetable(
      [every(second, { repeatCount: 2 }), every(2 * second, { name: 'b', repeatCount: 2 })],
      1,
    );
    const planned = plan(every(second), { fireTimes: timetable, overlap: 'ALLOW' });
    expect(planned.rows.map((row) => row.schedule)).toEqual(['tick']);
    expect(planned.progress).toEqual([{ runs: 1 }, { runs: 1 }]);
  });
});

describe('accounting for every fire time', () => {
  it('writes one row or counts it in one, in order, whatever the situation (I2)', () => {
    const situations = fc.record({
      everyMs: fc.constantFrom(10, 700, second, 7 * second, minute),
      lateMs: fc.oneof(
        fc.integer({ min: 0, max: 300_000 }),
        fc.integer({ min: 0, max: 40_000 }).map((eighths) => eighths / 8),
      ),
      graceMs: fc.constantFrom(0, second, 60 * second),
      policy: fc.constantFrom<MisfirePolicy>('SKIP', 'RUN_LAST', 'RUN_ALL'),
      maxCatchUp: fc.integer({ min: 1, max: 5 }),
      catchUpWindowMs: fc.constantFrom(0, 10 * second, 3_600 * second),
      overlap: fc.constantFrom<OverlapPolicy>('SKIP', 'BUFFER_ONE', 'BUFFER_ALL', 'CANCEL_OTHER', 'ALLOW'),
      pausedUntilMs: fc.option(fc.integer({ min: noon - minute, max: noon + 400 * second }), {
        nil: undefined,
      }),
      openExecutionId: fc.option(fc.constant(7), { nil: undefined }),
    });
    fc.assert(
      fc.property(situations, ({ everyMs, lateMs, pausedUntilMs, openExecutionId, overlap, ...misfire }) => {
        const nowMs = noon + lateMs;
        const planned = plan(every(everyMs), {
          nowMs,
          misfire,
          overlap,
          pausedUntilMs,
          occupancy: { openExecutionId, bufferedCount: 0 },
        });
        const accounted = planned.rows.reduce((sum, row) => sum + (row.skippedCount || 1), 0);
        expect(accounted).toBe(Math.floor(lateMs / everyMs) + 1);
        const fireTimes = planned.rows.map((row) => row.fireMs);
        expect(fireTimes).toEqual([...new Set(fireTimes)].sort((a, b) => a - b));
        expect(planned.lastFireMs).toBe(noon + Math.floor(lateMs / everyMs) * everyMs);
        expect(planned.nextFireMs).toBe(planned.lastFireMs! + everyMs);
        const runs = planned.rows.filter((row) => row.state === 'PENDING');
        expect(runs.length).toBeLessThanOrEqual(2 * misfire.maxCatchUp + 1);
        const heldUntil = pausedUntilMs ?? Number.NEGATIVE_INFINITY;
        expect(runs.filter((row) => row.fireMs < heldUntil)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('holds what a pause covered and treats the rest by the misfire policy when it ended inside the gap', () => {
    const planned = plan(every(minute), {
      nowMs: noon + 10.5 * minute,
      pausedUntilMs: noon + 3 * minute,
      misfire: { ...jobDefaults.misfire, graceMs: minute },
      overlap: 'ALLOW',
    });
    expect(planned.rows.map(short)).toEqual([
      ...['0 PAUSED', '60 PAUSED', '120 PAUSED'],
      ...['180 MISFIRE', '240 MISFIRE', '300 MISFIRE', '360 MISFIRE', '420 MISFIRE', '480 MISFIRE'],
      ...['540 CATCH_UP', '600 SCHEDULE'],
    ]);
  });

  it('counts a fire time within the grace as on time to the millisecond', () => {
    const misfire = { ...jobDefaults.misfire, graceMs: minute };
    const at = (lateMs: number) =>
      plan(every(3_600 * second), { nowMs: noon + lateMs, misfire }).rows.map(short);
    expect(at(minute)).toEqual(['0 SCHEDULE']);
    expect(at(minute + 1)).toEqual(['0 CATCH_UP']);
  });

  it('leaves schedules that have made all their runs out of the count', () => {
    const often = every(second, { name: 'often', repeatCount: 2 });
    const timetable = compileTimetable([often, every(minute, { name: 'minutely' })], 1);
    const situation = { fireTimes: timetable, progress: [{ runs: 2 }], overlap: 'ALLOW' } as const;
    const missed = plan(often, { ...situation, nowMs: noon + 4.5 * minute });
    expect(missed.rows.map(short)).toEqual([
      '0 MISFIRE',
      '60 MISFIRE',
      '120 MISFIRE',
      '180 CATCH_UP',
      '240 SCHEDULE',
    ]);
    const onTime = plan(often, {
      ...situation,
      nowMs: noon + 59 * second,
      misfire: { ...jobDefaults.misfire, maxCatchUp: 5 },
    });
    expect(onTime.rows.map(short)).toEqual(['0 SCHEDULE']);
  });

  it('ends for fire times a millisecond apart and a clock with fractions', () => {
    const schedules = [0, 1, 2].map((ms) =>
      every(10, {
        name: `${ms}`,
        spec: { kind: 'interval', everyMs: 10, mode: 'FIXED_RATE', anchorMs: noon + ms },
      }),
    );
    const planned = plan(schedules[0]!, {
      fireTimes: compileTimetable(schedules, 1),
      nowMs: noon + 2.5,
      misfire: { ...jobDefaults.misfire, maxCatchUp: 1 },
      overlap: 'ALLOW',
    });
    expect(planned.rows.map(({ fireMs, cause }) => [fireMs - noon, cause])).toEqual([
      [0, 'SCHEDULE'],
      [1, 'CATCH_UP'],
      [2, 'SCHEDULE'],
    ]);
  });

  it('looks for the last fire time of a long gap in few steps, also when it lies far back', () => {
    const until = noon + 30 * 86_400 * second;
    const dense = compileTimetable([every(second, { endMs: until })], 1);
    let steps = 0;
    const fireTimes = {
      next: (afterMs: number, progress: readonly ScheduleProgress[]) => {
        steps++;
        return dense.next(afterMs, progress);
      },
      count: dense.count.bind(dense),
      tally: dense.tally.bind(dense),
      lastUntil: dense.lastUntil.bind(dense),
      only: dense.only.bind(dense),
      chargedFor: dense.chargedFor.bind(dense),
      afterRun: dense.afterRun.bind(dense),
    };
    const planned = plan(every(second), { fireTimes, nowMs: until + 100 * 86_400 * second });
    expect(planned.rows.map(short)).toEqual(['0 MISFIRE 2592000', '2592000 CATCH_UP']);
    expect(planned.nextFireMs).toBeUndefined();
    expect(steps).toBeLessThan(300);
  });
});
