import { describe, expect, it } from 'vitest';
import { Batcher } from '../../src/platform/batcher.ts';
import { settle } from './manual-clock.ts';

/** A batcher whose batches end when the test says so. */
function batcherOf(options: { readonly maxItems?: number; readonly lanes?: number } = {}) {
  const batches: {
    readonly items: readonly number[];
    readonly end: () => void;
    readonly fail: (e: Error) => void;
  }[] = [];
  const batcher = new Batcher<number, string>({
    maxItems: 100,
    ...options,
    flush: (items) =>
      new Promise((resolve, reject) => {
        batches.push({ items, end: () => resolve(items.map((item) => `result ${item}`)), fail: reject });
      }),
  });
  return { batcher, batches, sizes: () => batches.map((batch) => batch.items.length) };
}

describe('a batcher', () => {
  it('puts what arrives in one turn into one batch, and gives each item its own result', async () => {
    const { batcher, batches } = batcherOf();
    const results = Promise.all([batcher.add(1), batcher.add(2), batcher.add(3)]);
    await settle();
    expect(batches.map((batch) => batch.items)).toEqual([[1, 2, 3]]);
    batches[0]!.end();
    expect(await results).toEqual(['result 1', 'result 2', 'result 3']);
  });

  it('makes the next batch of what arrives while one is under way', async () => {
    const { batcher, batches } = batcherOf();
    const results = [batcher.add(1)];
    await settle();
    for (let item = 2; item <= 5; item++) {
      results.push(batcher.add(item));
      await settle();
    }
    expect(batches).toHaveLength(1);
    batches[0]!.end();
    await settle();
    expect(batches[1]!.items).toEqual([2, 3, 4, 5]);
    batches[1]!.end();
    expect(await Promise.all(results)).toHaveLength(5);
  });

  it('bounds a batch and keeps the order', async () => {
    const { batcher, batches, sizes } = batcherOf({ maxItems: 2 });
    const results = Promise.all([1, 2, 3, 4, 5].map((item) => batcher.add(item)));
    for (let i = 0; i < 3; i++) {
      await settle();
      batches[i]!.end();
    }
    expect(await results).toEqual([1, 2, 3, 4, 5].map((item) => `result ${item}`));
    expect(sizes()).toEqual([2, 2, 1]);
  });

  it('has at most as many batches under way as it has lanes', async () => {
    const { batcher, batches, sizes } = batcherOf({ maxItems: 1, lanes: 2 });
    const results = Promise.all([batcher.add(1), batcher.add(2), batcher.add(3)]);
    await settle();
    expect(sizes()).toEqual([1, 1]);
    batches[1]!.end();
    await settle();
    expect(batches[2]?.items).toEqual([3]);
    batches[0]!.end();
    batches[2]!.end();
    await results;
  });

  it('shares what waits out among its free lanes', async () => {
    const { batcher, batches, sizes } = batcherOf({ lanes: 3 });
    const results = Promise.all([1, 2, 3, 4, 5, 6, 7].map((item) => batcher.add(item)));
    await settle();
    expect(sizes()).toEqual([3, 2, 2]);
    for (const batch of batches) batch.end();
    expect(await results).toHaveLength(7);
  });

  it('rejects every item of a batch that fails, and goes on with the next', async () => {
    const { batcher, batches } = batcherOf();
    const failing = Promise.allSettled([batcher.add(1), batcher.add(2)]);
    await settle();
    const next = batcher.add(3);
    batches[0]!.fail(new Error('no database'));
    expect((await failing).map((result) => result.status)).toEqual(['rejected', 'rejected']);
    await settle();
    batches[1]!.end();
    expect(await next).toBe('result 3');
  });

  it('rejects the items of a batch whose flush throws at once', async () => {
    const batcher = new Batcher<number, string>({
      maxItems: 10,
      flush: () => {
        throw new Error('thrown');
      },
    });
    await expect(batcher.add(1)).rejects.toThrow('thrown');
    await batcher.drain();
  });

  it('drains: resolves when nothing waits and nothing is under way', async () => {
    const { batcher, batches } = batcherOf({ maxItems: 1 });
    await batcher.drain();
    const results = Promise.allSettled([batcher.add(1), batcher.add(2)]);
    let drained = false;
    const draining = batcher.drain().then(() => {
      drained = true;
    });
    await settle();
    batches[0]!.fail(new Error('failed'));
    await settle();
    expect(drained).toBe(false);
    batches[1]!.end();
    await draining;
    await results;
  });
});
