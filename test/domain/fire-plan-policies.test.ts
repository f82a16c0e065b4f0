/** Plans under the overlap policies, with calendars and with fixed delays. */
import { describe, expect, it } from 'vitest';
import type { FireSituation, PlannedRow } from '../../src/domain/fire-situation.ts';
import { jobDefaults } from '../../src/domain/job.ts';
import type { Fire } from '../../src/domain/schedule/timetable.ts';
import { every, minute, noon, plan, second, short } from './fire-plans.ts';

describe('planning under the overlap policies', () => {
  const openOne = { openExecutionId: 7, bufferedCount: 0 };
  const inShort = (row: PlannedRow): string => `${short(row)}${row.buffered ? ' buffered' : ''}`;
  const missedThree = {
    nowMs: noon + 3.5 * minute,
    misfire: { ...jobDefaults.misfire, policy: 'RUN_ALL', graceMs: minute } as const,
  };

  it.each([
    ['SKIP', ['0 CATCH_UP', '60 OVERLAP', '120 OVERLAP', '180 OVERLAP']],
    ['BUFFER_ONE', ['0 CATCH_UP', '60 CATCH_UP buffered', '120 OVERLAP', '180 OVERLAP']],
    ['BUFFER_ALL', ['0 CATCH_UP', '60 CATCH_UP buffered', '120 CATCH_UP buffered', '180 SCHEDULE buffered']],
    ['CANCEL_OTHER', ['0 OVERLAP', '60 OVERLAP', '120 OVERLAP', '180 SCHEDULE']],
    ['ALLOW', ['0 CATCH_UP', '60 CATCH_UP', '120 CATCH_UP', '180 SCHEDULE']],
  ] as const)('sends a catch-up through %s, oldest first', (overlap, rows) => {
    expect(plan(every(minute), { ...missedThree, overlap }).rows.map(inShort)).toEqual(rows);
  });

  it('buffers behind what is open, and says whether that is to be canceled', () => {
    const buffered = plan(every(minute), { overlap: 'BUFFER_ALL', occupancy: openOne });
    expect(buffered.rows.map(inShort)).toEqual(['0 SCHEDULE buffered']);
    expect(buffered.replacesOpenAtMs).toBeUndefined();
    const replacing = plan(every(minute), { overlap: 'CANCEL_OTHER', occupancy: openOne });
    expect(replacing.rows.map(inShort)).toEqual(['0 SCHEDULE buffered']);
    expect(replacing.replacesOpenAtMs).toBe(noon);
  });

  it('runs only the last of several under CANCEL_OTHER, and says what took their place', () => {
    const planned = plan(every(minute), { ...missedThree, overlap: 'CANCEL_OTHER' });
    expect(planned.rows[0]!.message).toBe('replaced by the execution of 2026-11-21T12:01:00.000Z');
    expect(planned.replacesOpenAtMs).toBeUndefined();
  });
});

describe('planning with calendars', () => {
  /** Excludes the fire times for which the condition holds, in seconds after noon. */
  const excluding = (isExcluded: (second: number) => boolean): FireSituation['exclusions'] => {
    const isOpen = (fire: Fire): boolean => !isExcluded((fire.atMs - noon) / second);
    return {
      isEmpty: false,
      apply: (fire) => (isOpen(fire) ? { kind: 'open', fire } : { kind: 'excluded', by: 'calendar "c"' }),
      lastOpenUntil: (fireTimes, untilMs, afterMs, progress) => {
        let fire = fireTimes.lastUntil(untilMs, afterMs, progress);
        while (fire && !isOpen(fire)) fire = fireTimes.lastUntil(fire.atMs - 1, afterMs, progress);
        return fire;
      },
    };
  };

  it('records what is excluded, which neither runs nor uses up a repeat count', () => {
    const planned = plan(every(second, { repeatCount: 2 }), {
      nowMs: noon + 4 * second,
      overlap: 'ALLOW',
      exclusions: excluding((at) => at === 1 || at === 2),
    });
    expect(planned.rows.map(short)).toEqual(['0 SCHEDULE', '1 CALENDAR', '2 CALENDAR', '3 SCHEDULE']);
    expect(planned.rows[1]!.message).toBe('excluded by calendar "c"');
    expect(planned.progress).toEqual([{ runs: 2 }]);
  });

  it('runs the last missed fire time that is open', () => {
    const planned = plan(every(minute), {
      nowMs: noon + 5.5 * minute,
      misfire: { ...jobDefaults.misfire, graceMs: minute },
      overlap: 'ALLOW',
      exclusions: excluding((at) => at >= 180 && at <= 240),
    });
    expect(planned.rows.map(short)).toEqual([
      ...['0 MISFIRE', '60 MISFIRE', '120 CATCH_UP', '180 CALENDAR', '240 CALENDAR', '300 SCHEDULE'],
    ]);
  });

  it('counts only what is open towards the runs of a catch-up', () => {
    const planned = plan(every(minute), {
      nowMs: noon + 9.5 * minute,
      misfire: { ...jobDefaults.misfire, policy: 'RUN_ALL', graceMs: minute, maxCatchUp: 2 },
      overlap: 'ALLOW',
      exclusions: excluding((at) => at >= 180 && at <= 480),
    });
    expect(planned.rows.map(short)).toEqual([
      ...['0 MISFIRE', '60 CATCH_UP', '120 CATCH_UP', '180 CALENDAR', '240 CALENDAR', '300 CALENDAR'],
      ...['360 CALENDAR', '420 CALENDAR', '480 CALENDAR', '540 SCHEDULE'],
    ]);
  });

  it('says CALENDAR rather than PAUSED of what both leave out', () => {
    const planned = plan(every(second), {
      nowMs: noon + second,
      pausedUntilMs: Number.POSITIVE_INFINITY,
      exclusions: excluding((at) => at === 0),
    });
    expect(planned.rows.map(short)).toEqual(['0 CALENDAR', '1 PAUSED']);
  });
});

it('passes over a fire time that has its row already', () => {
  const planned = plan(every(second), {
    nowMs: noon + 2 * second,
    overlap: 'ALLOW',
    taken: new Set([noon + second]),
  });
  expect(planned.rows.map(short)).toEqual(['0 SCHEDULE', '2 SCHEDULE']);
});

describe('planning a fixed delay', () => {
  const delayed = every(second, {
    spec: { kind: 'interval', everyMs: second, mode: 'FIXED_DELAY', anchorMs: noon },
  });

  it('fires once and then waits for the finish, however late it is', () => {
    const planned = plan(delayed, { nowMs: noon + 10 * second, overlap: 'ALLOW' });
    expect(planned.rows.map(short)).toEqual(['0 SCHEDULE']);
    expect(planned.nextFireMs).toBeUndefined();
    expect(planned.progress).toEqual([{ runs: 0, delay: { waitsForMs: noon } }]);
  });

  it('goes on after one interval when it was skipped', () => {
    const planned = plan(delayed, { occupancy: { openExecutionId: 7, bufferedCount: 0 } });
    expect(planned.rows.map(short)).toEqual(['0 OVERLAP']);
    expect(planned.nextFireMs).toBe(noon + second);
  });

  it('waits for nothing once it has made all its runs', () => {
    const planned = plan({ ...delayed, repeatCount: 1 }, {});
    expect(planned.progress).toEqual([{ runs: 1, delay: { dueMs: noon + second } }]);
    expect(planned.nextFireMs).toBeUndefined();
  });
});
