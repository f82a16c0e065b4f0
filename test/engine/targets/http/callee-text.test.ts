import { describe, expect, it } from 'vitest';
import { cutUtf8, jsonObjectFrom, neutralText } from '../../../../src/engine/targets/http/callee-text.ts';

describe('neutralText', () => {
  it.each([
    ['plain', 'plain'],
    ['two\r\nlines\tand   blanks ', 'two lines and blanks'],
    ['\u001b[31mred\u001b[0m', '[31mred [0m'],
    ['a\0b', 'a b'],
    ['abc\u202edef\u2066', 'abc def'],
    ['zero\u200bwidth\ufeff', 'zero width'],
    ['\u009b31m', '31m'],
    ['half \ud800 pair', 'half \ufffd pair'],
    ['', ''],
  ])('turns %j into %j', (text, expected) => {
    expect(neutralText(text, 100)).toBe(expected);
  });

  it('cuts at the bound, not through a surrogate pair', () => {
    expect(neutralText('abcdef', 6)).toBe('abcdef');
    expect(neutralText('abcdefg', 6)).toBe('abcdef…');
    expect(neutralText('abcde😀', 6)).toBe('abcde…');
    expect(neutralText('abcd😀f', 6)).toBe('abcd😀…');
  });
});

describe('cutUtf8', () => {
  it.each([
    ['abc', 3, 'abc'],
    ['abcd', 3, 'abc'],
    ['aé', 2, 'a'],
    ['aé', 3, 'aé'],
    ['😀😀', 7, '😀'],
    ['😀', 3, ''],
  ])('cuts %j to %d bytes: %j', (text, max, expected) => {
    expect(cutUtf8(Buffer.from(text), max).toString()).toBe(expected);
  });

  it('does not go back for ever in bytes that are no text', () => {
    expect(cutUtf8(Buffer.alloc(100, 0x80), 50).length).toBe(47);
  });
});

describe('jsonObjectFrom', () => {
  const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

  it.each(['', 'text', '1', '"{}"', '[{}]', 'null', '{', '{"a":1} x', "{'a':1}", '\u00a0x'])(
    'says that %j is no object',
    (text) => {
      expect(jsonObjectFrom(text)).toBeUndefined();
    },
  );

  it('reads an object, with blanks around it', () => {
    expect(jsonObjectFrom(' \n{"a":[1,{"b":null}]}\n')).toEqual({ a: [1, { b: null }] });
  });

  it('takes 32 levels and no more, whatever the number', () => {
    expect(jsonObjectFrom(nested(32))).toBeDefined();
    expect(jsonObjectFrom(nested(33))).toBeUndefined();
    expect(jsonObjectFrom(nested(100_000))).toBeUndefined();
    expect(jsonObjectFrom(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)).toBeUndefined();
  });

  it('replaces NUL and lone surrogates, which a database refuses, in keys and values', () => {
    expect(jsonObjectFrom('{"a\\u0000":["b\\u0000",{"c":"\\ud800"}],"\\uDFFFd":1}')).toEqual({
      'a\ufffd': ['b\ufffd', { c: '\ufffd' }],
      '\ufffdd': 1,
    });
    expect(jsonObjectFrom('{"smile":"\\ud83d\\ude00"}')).toEqual({ smile: '😀' });
  });

  it('keeps a member that is named __proto__ a member', () => {
    const object = jsonObjectFrom('{"__proto__":{"x":"\\u0000"}}') as object;
    expect(Object.keys(object)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(object)).toBe(Object.prototype);
  });
});
