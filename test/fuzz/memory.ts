/**
 * Whether an instance grows while it is fuzzed, told from two things:
 *
 * - what it holds, when all garbage is collected: a leak is in there, and
 *   nothing else is;
 * - how large its process is behind each round: what it takes of the machine,
 *   and a leak outside of what V8 and its buffers count. It rises and falls by
 *   what V8 lets lie, so it is its peaks that have to level off.
 */

/** As operators run it (package.json, bin/carillon.js): how much garbage there is at most depends on it. */
export const operatorFlags: readonly string[] = ['--max-semi-space-size=8'];

/** So many rounds pass before anything is weighed: until then code is compiled and caches are filled. */
export const warmUpRounds = 5;

/** By how much of what is held at the first weighing the last one may be above it: code that V8 compiles late. */
const heldGrowth = 0.1;

/** How much higher the peak of the last third may be than the one before it, in MiB. */
const peakGrowthMiB = 64;

/** What was measured, in MiB and in the order of time. */
export type MemoryCourse = {
  /** What was held, at each weighing. */
  readonly held: readonly number[];
  /** The size of the process behind each round. */
  readonly resident: readonly number[];
};

/** How an instance has grown more than it may, in words. One that was weighed once only has nothing to be compared with. */
export function growthOf({ held, resident }: MemoryCourse): readonly string[] {
  const faults: string[] = [];
  const [first, last] = [held[0] ?? Number.NaN, held.at(-1) ?? Number.NaN];
  if (last > first * (1 + heldGrowth)) {
    faults.push(`holds ${inWords(last)}, and held ${inWords(first)} when it was warm`);
  }
  const lastThird = Math.ceil((resident.length * 2) / 3);
  const [before, after] = [peakOf(resident.slice(0, lastThird)), peakOf(resident.slice(lastThird))];
  if (after > before + peakGrowthMiB) {
    faults.push(`peaks at ${inWords(after)} in the last third, and at ${inWords(before)} before`);
  }
  return faults;
}

/** A course in one line. */
export function describeMemory({ held, resident }: MemoryCourse): string {
  const note = held.length < 2 ? ' (too short to tell whether it holds more and more)' : '';
  return `held ${held.map((mib) => mib.toFixed(1)).join(', ')} MiB${note}; resident up to ${inWords(peakOf(resident))}`;
}

const peakOf = (mib: readonly number[]): number => Math.max(...mib);

const inWords = (mib: number): string => `${mib.toFixed(1)} MiB`;
