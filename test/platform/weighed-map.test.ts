import { expect, it } from 'vitest';
import { WeighedMap } from '../../src/platform/weighed-map.ts';

it('weighs what its entries weigh, whatever was set again, renewed or deleted', () => {
  const map = new WeighedMap<string, number>();
  map.set('a', 1, 10);
  map.set('b', 2, 20);
  expect([map.size, map.weight, [...map.keys()]]).toEqual([2, 30, ['a', 'b']]);
  map.set('a', 3, 5);
  expect([map.get('a'), map.size, map.weight, [...map.keys()]]).toEqual([3, 2, 25, ['b', 'a']]);
  map.renew('b');
  map.renew('nobody');
  expect([map.size, map.weight, [...map.keys()]]).toEqual([2, 25, ['a', 'b']]);
  map.delete('b');
  map.delete('nobody');
  expect([map.get('b'), map.size, map.weight]).toEqual([undefined, 1, 5]);
});
