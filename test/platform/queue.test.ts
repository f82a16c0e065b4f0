import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Queue } from '../../src/platform/queue.ts';

type Item = { readonly n: number };

describe('a queue', () => {
  it('gives what an array gives, in the same order', () => {
    // Steps of up to 3,000, so that places are given back on the way.
    const steps = fc.array(fc.integer({ min: -3_000, max: 3_000 }), { maxLength: 12 });
    fc.assert(
      fc.property(steps, (counts) => {
        const queue = new Queue<Item>();
        const array: Item[] = [];
        let n = 0;
        for (const count of counts) {
          for (let i = 0; i < count; i++, n++) {
            queue.push({ n });
            array.push({ n });
          }
          const taken = Array.from({ length: Math.max(0, -count) }, () => queue.take());
          const expected = array.splice(0, taken.length);
          expect(taken.slice(0, expected.length)).toEqual(expected);
          expect(taken.slice(expected.length).every((item) => item === undefined)).toBe(true);
          expect(queue.length).toBe(array.length);
          expect([...queue]).toEqual(array);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('begins with what it is given', () => {
    const queue = new Queue([{ n: 1 }, { n: 2 }]);
    expect([queue.length, queue.take(), queue.take(), queue.take()]).toEqual([
      2,
      { n: 1 },
      { n: 2 },
      undefined,
    ]);
  });
});
