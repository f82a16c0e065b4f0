import { expect, it } from 'vitest';
import { backoffMs } from '../../src/platform/backoff.ts';

const backoff = { initialMs: 100, maxMs: 1_000, multiplier: 2 };

it.each([
  [1, 100],
  [2, 200],
  [3, 400],
  [4, 800],
  [5, 1_000],
  [60, 1_000],
  [5_000, 1_000],
])('waits behind try %i for %i ms', (n, ms) => {
  expect(backoffMs(backoff, n)).toBe(ms);
});

it.each([
  [0, 400],
  [0.5, 500],
  [1, 600],
])('adds jitter for a draw of %d and never takes any away', (draw, ms) => {
  expect(backoffMs(backoff, 3, 0.5, () => draw)).toBe(ms);
});

it('draws differently for many waiters', () => {
  expect(new Set(Array.from({ length: 20 }, () => backoffMs(backoff, 3, 0.5))).size).toBeGreaterThan(1);
});
