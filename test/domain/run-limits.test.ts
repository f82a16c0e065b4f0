import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Bound,
  bookStarts,
  nextStartMs,
  RunBounds,
  type RunLimits,
  refusalOf,
  roomIn,
  startsLeft,
} from '../../src/domain/run-limits.ts';

const nowMs = 1_700_000_000_000;
const bound = (limits: RunLimits, more: Partial<Bound> = {}): Bound => ({
  key: 'queue 1',
  owner: 'queue "mail"',
  limits,
  running: 0,
  bookedUntilMs: 0,
  nowMs,
  ...more,
});

describe('a start rate', () => {
  it.each([
    ['an idle bucket holds count starts', { count: 5, periodMs: 1_000 }, 0, 5],
    ['one that was used long ago is full', { count: 5, periodMs: 1_000 }, nowMs - 1, 5],
    ['what is booked is missing', { count: 5, periodMs: 1_000 }, nowMs + 400, 3],
    ['a fraction of a start is none', { count: 5, periodMs: 1_000 }, nowMs + 401, 2],
    ['a bucket that is used up is empty', { count: 5, periodMs: 1_000 }, nowMs + 1_000, 0],
    ['what is booked further ahead is no debt', { count: 5, periodMs: 1_000 }, nowMs + 9_000, 0],
    ['thirds are not lost by rounding', { count: 3, periodMs: 1_000 }, nowMs + 2_000 / 3, 1],
  ])('%s', (_, rate, bookedUntilMs, left) => {
    expect(startsLeft(rate, bookedUntilMs, nowMs)).toBe(left);
  });

  it('lets at most count go at once, and count more in each period, however they are asked for', () => {
    fc.assert(
      fc.property(
        fc.record({ count: fc.integer({ min: 1, max: 50 }), periodMs: fc.integer({ min: 1, max: 10_000 }) }),
        fc.array(fc.record({ afterMs: fc.nat(3_000), wanted: fc.nat(80) }), { maxLength: 40 }),
        (rate, asks) => {
          let atMs = nowMs;
          let bookedMs = 0;
          const starts: number[] = [];
          for (const { afterMs, wanted } of asks) {
            atMs += afterMs;
            const taken = Math.min(wanted, startsLeft(rate, bookedMs, atMs));
            bookedMs = bookStarts(rate, bookedMs, atMs, taken);
            for (let n = 0; n < taken; n++) starts.push(atMs);
          }
          // One expectation for all pairs: there are millions of them.
          let mostTooMany = 0;
          for (const [i, from] of starts.entries()) {
            for (let last = i; last < starts.length; last++) {
              const allowed = rate.count + ((starts[last]! - from) * rate.count) / rate.periodMs;
              mostTooMany = Math.max(mostTooMany, last - i + 1 - allowed);
            }
          }
          expect(mostTooMany).toBeLessThanOrEqual(1e-3);
        },
      ),
    );
  });

  it('says when the next start is there: then, and not a millisecond before', () => {
    const rate = { count: 4, periodMs: 1_000 };
    const bookedMs = bookStarts(rate, 0, nowMs, 4);
    expect(nextStartMs(rate, bookedMs, nowMs)).toBe(250);
    expect(startsLeft(rate, bookedMs, nowMs + 249)).toBe(0);
    expect(startsLeft(rate, bookedMs, nowMs + 250)).toBe(1);
    expect(nextStartMs(rate, 0, nowMs)).toBe(0);
  });
});

describe('a bound', () => {
  it.each([
    ['without limits', {}, {}, Number.POSITIVE_INFINITY],
    ['with places', { maxRunning: 4 }, { running: 1 }, 3],
    ['that was lowered below what runs', { maxRunning: 4 }, { running: 9 }, 0],
    [
      'with fewer starts than places',
      { maxRunning: 9, startRate: { count: 2, periodMs: 1_000 } },
      { running: 1 },
      2,
    ],
  ] as const)('%s has room for as many as it allows', (_, limits, more, room) => {
    expect(roomIn(bound(limits, more))).toBe(room);
  });

  it('says in words why it lets nothing start', () => {
    expect(refusalOf(bound({ maxRunning: 4 }, { running: 3 }))).toBeUndefined();
    expect(refusalOf(bound({ maxRunning: 4 }, { running: 4 }))).toBe(
      'a place within max_running of queue "mail": 4 of 4 run',
    );
    const startRate = { count: 10, periodMs: 1_000 };
    expect(refusalOf(bound({ startRate }, { bookedUntilMs: nowMs + 1_000 }))).toBe(
      'the start rate of queue "mail": 10 in 1000 ms',
    );
  });
});

describe('bounds together', () => {
  const job = bound({ maxRunning: 2 }, { key: 'job 7', running: 1 });
  const namespace = bound({ maxRunning: 3 }, { key: 'namespace a', running: 0 });

  it('let those start whose bounds all have room, and a refused one takes nothing of the others', () => {
    const bounds = new RunBounds([job, namespace]);
    const taken: string[] = [];
    for (const [name, ...keys] of [
      ['first', 'job 7', 'namespace a'],
      ['of a full job', 'job 7', 'namespace a'],
      ['of another job', 'job 8', 'namespace a'],
      ['of a third job', 'job 9', 'namespace a'],
      ['of a full namespace', 'job 10', 'namespace a'],
      ['elsewhere', 'job 11', 'namespace b'],
    ] as const) {
      if (bounds.roomFor(keys) === 0) continue;
      bounds.take(keys);
      taken.push(name);
    }
    expect(taken).toEqual(['first', 'of another job', 'of a third job', 'elsewhere']);
  });

  it('wait for a start rate that has refused somebody, and not for places, which whoever frees them tells of', () => {
    const rated = bound({ startRate: { count: 1, periodMs: 400 } }, { key: 'namespace r' });
    const both = bound({ maxRunning: 1, startRate: { count: 5, periodMs: 100 } }, { key: 'queue 2' });
    const bounds = new RunBounds([job, rated, both]);
    expect(bounds.waitMs).toBeUndefined();
    bounds.take(['job 7']);
    expect(bounds.roomFor(['job 7'])).toBe(0);
    bounds.take(['queue 2']);
    expect(bounds.roomFor(['queue 2'])).toBe(0);
    expect(bounds.waitMs).toBeUndefined();
    bounds.take(['namespace r']);
    expect(bounds.roomFor(['namespace r'])).toBe(0);
    expect(bounds.waitMs).toBe(400);
  });
});
