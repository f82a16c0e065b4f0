/**
 * How far jitter moves a fire time: a hash of the job's id and the fire time,
 * below a width. No chance is involved, so that every instance and every
 * preview agree.
 *
 * @param seed the job's id
 * @param fireMs the fire time before it is moved
 * @param widthMs whole milliseconds, at least 1
 * @returns 0 to widthMs - 1
 */
export function jitterShiftMs(seed: number, fireMs: number, widthMs: number): number {
  let h = 0x9e3779b9;
  for (const part of [
    seed % twoTo32,
    Math.floor(seed / twoTo32),
    fireMs % twoTo32,
    Math.floor(fireMs / twoTo32),
  ]) {
    // The finalizer of MurmurHash3: every bit of the input changes half of the bits of the result.
    h = Math.imul(h ^ part, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
  }
  return (h >>> 0) % widthMs;
}

const twoTo32 = 4_294_967_296;
