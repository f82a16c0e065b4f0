import { expect, it } from 'vitest';
import { batchesOf } from '../../../src/engine/workers/assignment-batches.ts';
import type { Assignment } from '../../../src/engine/workers/worker-messages.ts';

const sizesOf = (parameters: Assignment['parameters'], count: number): number[] =>
  batchesOf(Array.from({ length: count }, () => ({ parameters }) as Assignment)).map(({ length }) => length);

const mib = 1_024 * 1_024;

it.each([
  ['without parameters', {}, [1_000]],
  ['with a small text', { text: 'hello' }, [1_000]],
  ['with a text of 1 MiB', { text: 'x'.repeat(mib) }, Array(1_000).fill(1)],
  ['with a text that takes 3 bytes a character', { text: '€'.repeat(mib / 12) }, Array(250).fill(4)],
  ['with an object', { object: { list: Array(mib / 64).fill('x') } }, Array(125).fill(8)],
  [
    'with a list',
    { list: Array.from({ length: 1_000 }, (_, n) => ({ name: `${n}`, value: 'x'.repeat(1_021) })) },
    Array(500).fill(2),
  ],
])('assignments %s go out in messages of about 1 MiB', (_, parameters, most) => {
  const sizes = sizesOf(parameters, 1_000);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(1_000);
  expect(sizes.length).toBeGreaterThanOrEqual(most.length * 0.9);
  expect(sizes.length).toBeLessThanOrEqual(most.length * 1.1);
});

it('no assignments are no message', () => {
  expect(batchesOf([])).toEqual([]);
});
