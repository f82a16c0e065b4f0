/** Chance that can be had again: a test prints its seed, and takes one from the environment. */

/** A stream of random numbers. */
export type Random = {
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number;
  /** True so often, 0 to 1. */
  chance(share: number): boolean;
  /** One of a list. */
  pick<T>(list: readonly T[]): T;
};

/** The seed of a test, printed under its name: TEST_SEED, or a new one. */
export function seedOf(what: string): number {
  const seed = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
  console.log(`${what}: TEST_SEED=${seed}`);
  return seed;
}

/** The numbers of a seed (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    below: (limit) => Math.floor(next() * limit),
    chance: (share) => next() < share,
    pick: (list) => list[Math.floor(next() * list.length)]!,
  };
}
