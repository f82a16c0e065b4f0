import { expect, it } from 'vitest';
import { Turn } from '../../src/platform/turn.ts';

/** Counts the passes of the event loop until it is asked. */
function countPasses(): () => number {
  let passes = 0;
  let isOver = false;
  const count = (): void => {
    passes++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  return () => {
    isOver = true;
    return passes;
  };
}

it('a turn goes on at once while it lasts', async () => {
  const turn = new Turn(60_000);
  await turn.pass();
  const passes = countPasses();
  for (let i = 0; i < 1_000; i++) await turn.pass();
  expect(passes()).toBe(0);
});

it('work gets one turn in each pass of the event loop, in its order, however much of it waits', async () => {
  const order: string[] = [];
  const passes = countPasses();
  const work = async (name: string): Promise<void> => {
    const turn = new Turn(0);
    for (let i = 0; i < 3; i++) {
      await turn.pass();
      order.push(name);
    }
  };
  await Promise.all(['a', 'b', 'c'].map(work));
  expect(order).toEqual(['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c']);
  expect(passes()).toBeGreaterThanOrEqual(8);
});
