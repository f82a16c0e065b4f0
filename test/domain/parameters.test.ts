import { expect, it } from 'vitest';
import type { Parameters } from '../../src/domain/job.ts';
import { mergeParameters } from '../../src/domain/parameters.ts';

const base: Parameters = {
  text: 'base',
  object: { a: 1, deep: { x: 1, y: 2 } },
  list: [
    { name: 'p', value: '1' },
    { name: 'q', value: '2' },
  ],
};

it.each<[string, Parameters | null, Parameters]>([
  ['keeps all of the job when a run says nothing', null, base],
  ['keeps all of the job when a run is empty', {}, base],
  ['takes the text as a whole', { text: 'run' }, { ...base, text: 'run' }],
  ['takes an empty text as a text', { text: '' }, { ...base, text: '' }],
  [
    'overrides the object by key of its top level',
    { object: { b: 2, deep: { z: 3 } } },
    { ...base, object: { a: 1, b: 2, deep: { z: 3 } } },
  ],
  ['takes null as a value', { object: { a: null } }, { ...base, object: { a: null, deep: { x: 1, y: 2 } } }],
  [
    'overrides the list by name, in its place, and adds what is new',
    {
      list: [
        { name: 'r', value: '3' },
        { name: 'p', value: '9' },
      ],
    },
    {
      ...base,
      list: [
        { name: 'p', value: '9' },
        { name: 'q', value: '2' },
        { name: 'r', value: '3' },
      ],
    },
  ],
])('%s', (_, override, merged) => {
  expect(mergeParameters(base, override)).toEqual(merged);
});

it('takes what a run says when the job says nothing', () => {
  const run: Parameters = { text: 't', object: { a: 1 }, list: [{ name: 'p', value: '1' }] };
  expect(mergeParameters({}, run)).toEqual(run);
  expect(mergeParameters({}, {})).toEqual({});
});

it('takes __proto__ as a key like any other', () => {
  const merged = mergeParameters(base, { object: JSON.parse('{"__proto__": {"polluted": true}}') });
  expect(Object.keys(merged.object!)).toContain('__proto__');
  expect('polluted' in {}).toBe(false);
});
