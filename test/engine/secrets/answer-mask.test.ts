import { createSecretKey } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AnswerMask, formsOf, formsOfKey, maskOf, noMask } from '../../../src/engine/secrets/answer-mask.ts';

const maskFor = (...values: string[]): AnswerMask => new AnswerMask(values.flatMap(formsOf));

const escaped = (text: string, what: RegExp, hex: (code: string) => string): string =>
  text.replace(what, (each) => `\\u${hex(each.charCodeAt(0).toString(16).padStart(4, '0'))}`);

/** What encoders make of a text within JSON. */
const encoders: Readonly<Record<string, (text: string) => string>> = {
  'JSON.stringify': (text) => JSON.stringify(text).slice(1, -1),
  PHP: (text) => JSON.stringify(text).slice(1, -1).replaceAll('/', '\\/'),
  'ASP.NET': (text) => escaped(text.replaceAll('\\', '\\\\'), /["&'+<>`]/g, (code) => code.toUpperCase()),
  Gson: (text) => escaped(JSON.stringify(text).slice(1, -1), /[&'<=>]/g, (code) => code),
};

describe('a text', () => {
  it.each([
    ['got sk-marked-1 twice: sk-marked-1', 'got *** twice: ***'],
    ['sk-marked-1', '***'],
    ['sk-marked-1sk-marked-1', '***'],
    ['sk-marked-', 'sk-marked-'],
    ['SK-MARKED-1', 'SK-MARKED-1'],
    ['', ''],
  ])('of %j is %j', (text, masked) => {
    expect(maskFor('sk-marked-1').text(text)).toBe(masked);
  });

  it.each([
    ['Bearer marked/token+', 'token marked/token+ expired'],
    ['Basic dXNlcjpwYXNz', 'as dXNlcjpwYXNz'],
    ['AWS4-HMAC-SHA256  marked-signature', 'marked-signature'],
  ])('has not what follows the scheme of %j', (value, text) => {
    const masked = maskFor(value).text(`${value} or ${text}`);
    expect(masked).toContain('***');
    expect(masked).not.toContain(value.split(/ +/)[1]);
  });

  describe.each(Object.entries(encoders))('of %s', (_, encoded) => {
    it.each(['quo"te\\d', 'a/b/c/d+e=', '<&>\'x"y/', 'Basic dXNl+3f8+d29yZA==', 'Bearer marked-token'])(
      'has not %j, also where it is cut or holds JSON as text',
      (value) => {
        const mask = maskFor(value);
        const written = encoded(value);
        expect(mask.text(`["\\u00e9\\\\${written}\\n${written}`)).toBe('["\\u00e9\\\\***\\n***');
        const nested = JSON.stringify([`{"text":"${written}"}`]);
        expect(mask.text(nested)).toBe(JSON.stringify(['{"text":"***"}']));
        expect(mask.jsonFrom(JSON.parse(nested), nested)).toEqual(['{"text":"***"}']);
      },
    );
  });

  it('stays as it is where its escapes are no part of a value', () => {
    const mask = maskFor('marked+token');
    for (const text of ['\\', '\\u', '\\u00', 'marked\\u002', '\\u002Bmarked', '\\\\u002b\\x\\u00zz\\']) {
      expect(mask.text(text)).toBe(text);
      expect(mask.text(`${text} marked\\u002btoken`)).toBe(`${text} ***`);
    }
  });

  it('has no value of less than eight characters masked, which would be found in anything', () => {
    expect(maskFor('1234567').text('1234567')).toBe('1234567');
    expect(maskFor('12345678').text('12345678')).toBe('***');
    expect(maskFor('Bearer 1234567').text('1234567')).toBe('1234567');
  });

  it('has one mark for values that overlap', () => {
    expect(maskFor('abcdefghij', 'ghijklmnop').text('<abcdefghijklmnop>')).toBe('<***>');
  });

  it('has a long value masked where all of it stands, and no other one that begins alike', () => {
    const value = `${'ab'.repeat(40)}${'c'.repeat(8_000)}`;
    expect(maskFor(value).text(`<${value}c>`)).toBe('<***c>');
    for (const length of [8_079, 70, 64, 63]) {
      const alike = `<${value.slice(0, length)}>`;
      expect(maskFor(value).text(alike)).toBe(alike);
      expect(maskFor(value).text(alike + value)).toBe(`${alike}***`);
    }
  });

  it.each([
    [
      'that begins within what is alike',
      `${'a'.repeat(64)}SECRETTAIL`,
      (value: string) => `a${value}`,
      'a***',
    ],
    ['twice, the second within the first', 'ab'.repeat(50), (value: string) => `${value}abab`, '***'],
    [
      'behind a part of it that is longer than its head',
      `${'ab'.repeat(40)}c${'ab'.repeat(40)}d`,
      (value: string) => value.slice(0, -1) + value.slice(81),
      `${'ab'.repeat(40)}c${'ab'.repeat(40)}${'ab'.repeat(40)}d`,
    ],
  ])('has a value masked %s', (_, value, textOf, masked) => {
    expect(maskFor(value).text(textOf(value))).toBe(masked);
  });

  it('shows no value, whatever stands before it and behind it, and nothing else is masked', () => {
    const letters = fc.stringMatching(/^[ab]{0,150}$/);
    const value = fc.stringMatching(/^[ab]{8,150}$/);
    fc.assert(
      fc.property(value, letters, letters, fc.boolean(), (secret, before, behind, twice) => {
        const text = before + secret + behind + (twice ? secret : '');
        const isMasked = new Uint8Array(text.length);
        for (let at = text.indexOf(secret); at !== -1; at = text.indexOf(secret, at + 1)) {
          isMasked.fill(1, at, at + secret.length);
        }
        const expected = [...text].map((each, i) => (isMasked[i] ? '*' : each)).join('');
        expect(maskFor(secret).text(text)).toBe(expected.replace(/\*+/g, '***'));
      }),
    );
  });

  it('is searched in steps that its length bounds, whatever the value and the text are made of', () => {
    const text = 'a'.repeat(1_000_000);
    const mask = maskFor(`b${'a'.repeat(8_000)}`, `${'a'.repeat(8_000)}b`, 'a'.repeat(8_191), 'a'.repeat(8));
    expect(mask.text(text)).toBe('***');
    expect(maskFor(`${'a'.repeat(8_000)}b`, `b${'a'.repeat(8_000)}`).text(text)).toBe(text);
    expect(maskFor(`${'a'.repeat(64)}b`, `${'ab'.repeat(4_000)}b`).text(text)).toBe(text);
  });

  it('has a value masked as often as it stands there', () => {
    expect(maskFor('abcdefgh').text('abcdefgh '.repeat(200_000))).toBe('*** '.repeat(200_000));
    expect(maskFor('a/cdefgh').text('a\\/cdefgh '.repeat(200_000))).toBe('*** '.repeat(200_000));
  });

  it('is as it was without a value', () => {
    expect(noMask.text('sk-marked-1')).toBe('sk-marked-1');
    expect(maskOf('').text('')).toBe('');
    expect(maskOf('').cutText('a')).toBe('a');
  });
});

it('has the base64 of a signing secret masked, with its prefix and without its padding', () => {
  const key = Buffer.alloc(32, 0xfb);
  const mask = maskOf('', formsOfKey(createSecretKey(key)));
  const base64 = key.toString('base64');
  expect(mask.text(`whsec_${base64} ${base64.replace(/=+$/, '')} ${base64.replaceAll('/', '\\/')}`)).toBe(
    'whsec_***= *** ***=',
  );
});

describe('a text that was cut', () => {
  it.each([
    ['<sk-marked-', '<***'],
    ['<s', '<***'],
    ['<sk-marked-1', '<***'],
    ['<sk-marked-1 ', '<*** '],
    ['<', '<'],
    ['sk-mark', '***'],
  ])('%j is %j', (text, masked) => {
    expect(maskFor('sk-marked-1').cutText(text)).toBe(masked);
  });

  it('shows nothing of a value wherever it is cut, and however JSON writes it', () => {
    const value = fc.stringMatching(/^[A-Za-z0-9"\\/+=_ -]{8,300}$/).filter((text) => text.trim() === text);
    fc.assert(
      fc.property(
        value,
        fc.array(fc.constantFrom('é', '\n', '{', '}'), { maxLength: 20 }),
        fc.nat(),
        fc.constantFrom((text: string) => text, ...Object.values(encoders)),
        (secret, noise, at, encoded) => {
          const text = noise.join('') + encoded(secret) + noise.join('');
          const cut = text.slice(0, at % (text.length + 1));
          const masked = maskFor(secret).cutText(cut).replaceAll('***', '');
          // Of an escape that the cut goes through nothing can be known.
          expect(masked).toMatch(/^[é\n{}]*(?:\\(?:u\w{0,3})?)?$/);
        },
      ),
    );
  });
});

describe('JSON', () => {
  const value = { a: ['x sk-marked-1', { b: 12_345_678, c: true, d: null, e: 1 }], 'k sk-marked-1': 'v' };

  it('has values masked in texts, numbers and names', () => {
    expect(maskFor('sk-marked-1', '12345678').json(value)).toEqual({
      a: ['x ***', { b: '***', c: true, d: null, e: 1 }],
      'k ***': 'v',
    });
  });

  it('stays the same object where there are none', () => {
    expect(maskFor('sk-other-value').json(value)).toBe(value);
    expect(noMask.json(value)).toBe(value);
  });

  it('keeps a member named __proto__', () => {
    const read = JSON.parse('{"__proto__": {"a": "sk-marked-1"}}');
    expect(JSON.stringify(maskFor('sk-marked-1').json(read))).toBe('{"__proto__":{"a":"***"}}');
  });

  it.each(['marked/token', 'marked+token=', "marked'<&>token", 'marked"\\token'])(
    'that was read from a text has %j masked in whatever way the text escapes it',
    (secret) => {
      const escaped = [...secret]
        .map((each) => (/\w/.test(each) ? each : `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`))
        .join('');
      const text = `{"a":"${escaped}"}`;
      expect(JSON.parse(text)).toEqual({ a: secret });
      expect(maskFor(secret).jsonFrom(JSON.parse(text), text)).toEqual({ a: '***' });
    },
  );

  it.each([
    ['a', '{"a":"b\\nc"}', [`cat_${'x'.repeat(60)}`]],
    [
      'escapes that are no part of a value',
      '{"a":"\\u002b\\/\\"marked\\/tokens"}',
      ['marked/token+', 'm"/+=&<>'],
    ],
    ['the head of a value', `{"a":"\\n${'x/'.repeat(40)}"}`, [`${'x/'.repeat(40)}y`]],
  ])('that was read from a text is not gone through where that holds %s', (_, text, values) => {
    const read = {
      get a(): never {
        throw new Error('it was gone through');
      },
    };
    expect(maskFor(...values).jsonFrom(read, text)).toBe(read);
  });

  it.each<[string, number]>([
    ['12345678', 12_345_678],
    ['-1234567', -1_234_567],
    ['1.234567', 81.234567],
    ['1.5e+300', 1.5e300],
    ['12345678', -0.12345678],
  ])('has %s masked in the number %d', (secret, number) => {
    const text = String(number).replace(secret, '***');
    expect(maskFor(secret).json([number, 1_234_567, 0.5])).toEqual([text, 1_234_567, 0.5]);
  });
});
