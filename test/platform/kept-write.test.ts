import { describe, expect, it } from 'vitest';
import { writeUntilDone } from '../../src/platform/kept-write.ts';
import { ManualClock, settle } from './manual-clock.ts';

/** A write that fails as often as it is told. */
function writing(failures: number) {
  const clock = new ManualClock();
  const stopping = new AbortController();
  const told: unknown[] = [];
  let tries = 0;
  const result = writeUntilDone(
    async () => {
      if (++tries <= failures) throw new Error(`failure ${tries}`);
      return 'written';
    },
    { clock, signal: stopping.signal, onFailure: (error) => void told.push(error) },
  );
  return { clock, stopping, told, result, tries: () => tries };
}

describe('a write that is kept', () => {
  it('is tried again with growing waits until it succeeds, and tells of the first failure only', async () => {
    const { clock, told, result, tries } = writing(2);
    await settle();
    expect(tries()).toBe(1);
    await clock.advance(49);
    expect(tries()).toBe(1);
    await clock.advance(26);
    expect(tries()).toBe(2);
    await clock.advance(99);
    expect(tries()).toBe(2);
    await clock.advance(51);
    expect(await result).toBe('written');
    expect(told).toEqual([new Error('failure 1')]);
  });

  it('is given up with its failure once it is to stop, at once also while it waits', async () => {
    const { stopping, result, tries } = writing(9);
    await settle();
    stopping.abort();
    await expect(result).rejects.toThrow('failure 2');
    expect(tries()).toBe(2);
  });
});
