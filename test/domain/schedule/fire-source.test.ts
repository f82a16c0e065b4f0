/** The fire times of one schedule: bounds, jitter, fixed delay; counting and looking back agree with going forward. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FireSource } from '../../../src/domain/schedule/fire-source.ts';
import { jitterShiftMs } from '../../../src/domain/schedule/jitter.ts';
import type { Schedule } from '../../../src/domain/schedule/schedule.ts';

const noon = Date.parse('2026-11-21T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;

const interval = (everyMs: number, more: Partial<Schedule> = {}): Schedule => ({
  name: 'a',
  repeatCount: 0,
  spec: { kind: 'interval', everyMs, mode: 'FIXED_RATE', anchorMs: noon },
  ...more,
});

const cron = (expression: string, more: Partial<Schedule> = {}): Schedule => ({
  name: 'a',
  repeatCount: 0,
  spec: {
    kind: 'cron',
    expression,
    dialect: 'UNIX',
    timeZone: 'Europe/Berlin',
    gap: 'RUN_AT_GAP_END',
    ambiguous: 'FIRST',
  },
  ...more,
});

const once = (atMs: number, more: Partial<Schedule> = {}): Schedule => ({
  name: 'a',
  repeatCount: 0,
  spec: { kind: 'once', atMs },
  ...more,
});

/** The fire times in (after, until], one by one. */
function firesIn(source: FireSource, afterMs: number, untilMs: number): number[] {
  const fires: number[] = [];
  for (let at = source.next(afterMs); at !== undefined && at <= untilMs; at = source.next(at)) fires.push(at);
  return fires;
}

const schedules = fc
  .record({
    base: fc.constantFrom(
      interval(7_000),
      interval(10),
      interval(hour),
      cron('*/5 * * * *'),
      cron('30 2 * * *'),
      cron('0,20,59 1-3 * * 1-5'),
      once(noon + hour),
    ),
    jitterMs: fc.constantFrom(0, 5, minute, 3 * hour),
    startMs: fc.option(fc.integer({ min: noon - hour, max: noon + hour }), { nil: undefined }),
    lengthMs: fc.option(fc.integer({ min: 0, max: 30 * hour }), { nil: undefined }),
    seed: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  })
  .map(({ base, jitterMs, startMs, lengthMs, seed }) => {
    const endMs = lengthMs === undefined ? undefined : (startMs ?? noon) + lengthMs;
    return new FireSource({ ...base, jitterMs, startMs, endMs }, seed, 'job.schedules[0]');
  });

/** Spans around now, and over a change of clocks in Berlin; short for dense schedules. */
const spans = fc
  .tuple(fc.constantFrom(noon, Date.parse('2027-03-28T00:00:00Z')), fc.integer({ min: -hour, max: 2 * hour }))
  .map(([at, offset]) => at + offset);

describe('the fire times of a schedule', () => {
  it('are as many, and end with the same, whether one goes forward, counts or looks back', () => {
    fc.assert(
      fc.property(schedules, spans, fc.integer({ min: 0, max: 100_000 }), (source, afterMs, length) => {
        const untilMs = afterMs + length;
        const fires = firesIn(source, afterMs, untilMs);
        expect(source.count(afterMs, untilMs, 1_000_000)).toBe(fires.length);
        expect(source.last(afterMs, untilMs)).toBe(fires.at(-1));
        expect(fires).toEqual([...new Set(fires)].sort((a, b) => a - b));
      }),
      { numRuns: 400 },
    );
  });

  it('are the same over a long span of a cron expression', () => {
    for (const expression of ['30 2 * * *', '0 12 29 2 *', '*/7 3 * 6 1']) {
      const source = new FireSource(cron(expression, { jitterMs: minute }), 99, 'a');
      const untilMs = noon + 3 * 366 * 24 * hour;
      const fires = firesIn(source, noon, untilMs);
      expect(source.count(noon, untilMs, 100_000), expression).toBe(fires.length);
      expect(source.last(noon, untilMs), expression).toBe(fires.at(-1));
    }
  });

  it('are counted up to a cap', () => {
    expect(new FireSource(interval(10), 1, 'a').count(noon, noon + hour, 50)).toBe(50);
  });
});

describe('jitter', () => {
  const plain = new FireSource(interval(minute), 42, 'a');
  const moved = new FireSource(interval(minute, { jitterMs: 30_000 }), 42, 'a');

  it('moves each fire time later, below its window, the same for everyone who asks', () => {
    const before = firesIn(plain, noon - 1, noon + 2 * hour);
    const after = firesIn(moved, noon - 1, noon + 2 * hour + 30_000).slice(0, before.length);
    const shifts = after.map((at, i) => at - before[i]!);
    expect(shifts.every((shift) => shift >= 0 && shift < 30_000)).toBe(true);
    expect(new Set(shifts).size).toBeGreaterThan(100);
    expect(
      firesIn(new FireSource(interval(minute, { jitterMs: 30_000 }), 42, 'a'), noon, noon + hour),
    ).toEqual(firesIn(moved, noon, noon + hour));
  });

  it('differs from job to job', () => {
    const other = new FireSource(interval(minute, { jitterMs: 30_000 }), 43, 'a');
    expect(firesIn(other, noon, noon + hour)).not.toEqual(firesIn(moved, noon, noon + hour));
  });

  it('is capped before the next fire time, however wide its window', () => {
    const wide = new FireSource(interval(minute, { jitterMs: 24 * hour }), 7, 'a');
    firesIn(wide, noon, noon + 2 * hour).forEach((at, i, all) => {
      expect(Math.floor((at - noon) / minute)).toBe(Math.floor((all[0]! - noon) / minute) + i);
    });
  });

  it('never passes the end', () => {
    const source = new FireSource(once(noon, { jitterMs: hour, endMs: noon + 10 }), 3, 'a');
    expect(source.next(noon - 1)).toBeLessThanOrEqual(noon + 10);
    expect(new FireSource(once(noon, { jitterMs: hour, endMs: noon }), 3, 'a').next(noon - 1)).toBe(noon);
  });

  it('spreads evenly', () => {
    const eighths = Array.from({ length: 8 }, () => 0);
    for (let n = 0; n < 8_000; n++) eighths[jitterShiftMs(371_000_000_000_000 + n, noon, 8)]!++;
    for (const count of eighths) expect(count).toBeGreaterThan(900);
  });

  it('is told in the note of a fire time', () => {
    const at = moved.next(noon - 1)!;
    const named = plain.next(noon - 1)!;
    expect(moved.noteOf(at)).toEqual({ clock: undefined, movedByMs: at - named });
  });
});

describe('a fixed delay', () => {
  const source = new FireSource(
    { ...interval(minute), spec: { kind: 'interval', everyMs: minute, mode: 'FIXED_DELAY', anchorMs: noon } },
    1,
    'a',
  );

  it('fires at its anchor first, waits for the finish, and counts from what is due then', () => {
    expect(source.next(noon - 1)).toBe(noon);
    expect(source.next(noon - 1, { runs: 0, delay: { waitsForMs: noon } })).toBeUndefined();
    expect(source.next(noon - 1, { runs: 0, delay: { dueMs: noon + 90_000 } })).toBe(noon + 90_000);
  });

  it('is followed after one interval when it was skipped', () => {
    expect(source.next(noon)).toBe(noon + minute);
    expect(source.next(noon + 90_000, { runs: 0, delay: { dueMs: noon + 90_000 } })).toBe(noon + 150_000);
  });
});
