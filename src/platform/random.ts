/** An even draw from 0 up to 1; for spreading waits, never for secrets. */
export const systemRandom: () => number = Math.random;
