/**
 * What `H` stands for: a value within a range that a seed fixes. The same job
 * gets the same value on every instance and in every preview; jobs whose ids
 * follow each other end up far apart.
 */
export const spreadWithin = (seed: number, first: number, width: number): number =>
  first + (mix(seed) % width);

/** Mixes a seed into an even spread of 32-bit numbers. */
function mix(seed: number): number {
  let h = (seed % 4294967296) ^ Math.floor(seed / 4294967296);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
