import { expect, it } from 'vitest';
import { heldBytes } from '../../src/platform/held-bytes.ts';

const many = 10_000;

it.each<[what: string, make: () => unknown, atLeast: number]>([
  ['empty objects', () => Array.from({ length: many }, () => ({})), 56 * many],
  ['empty lists', () => Array.from({ length: many }, () => []), 16 * many],
  ['numbers', () => Array.from({ length: many }, (_, i) => i), 8 * many],
  ['members', () => Object.fromEntries(Array.from({ length: many }, (_, i) => [`${i}`, i])), 24 * many],
  ['a text', () => 'x'.repeat(many), many],
  ['objects in objects', () => Array.from({ length: many }, () => ({ a: { b: 'c' } })), 112 * many],
])('what is weighed weighs no less than the runtime takes for it: %s', (_, make, atLeast) => {
  expect(heldBytes(make())).toBeGreaterThanOrEqual(atLeast);
});

it.each([
  ['nothing', null],
  ['undefined', undefined],
  ['a number', 1],
])('%s weighs nothing of its own', (_, value) => {
  expect(heldBytes(value)).toBe(0);
});
