import { systemRandom } from './random.ts';

/** Spans of a growing wait, in milliseconds. */
export type Backoff = { readonly initialMs: number; readonly maxMs: number; readonly multiplier: number };

/**
 * The wait before try number `n` + 1 (n counts from 1): initial × multiplier^(n-1),
 * cut to the maximum, plus a random part of it between 0 and `jitter` so that
 * many waiters do not come back at once. Never shorter than without jitter.
 */
export function backoffMs(
  backoff: Backoff,
  n: number,
  jitter = 0,
  random: () => number = systemRandom,
): number {
  const base = Math.min(backoff.initialMs * backoff.multiplier ** (n - 1), backoff.maxMs);
  return base + base * jitter * random();
}
