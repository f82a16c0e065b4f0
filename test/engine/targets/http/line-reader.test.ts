import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineReader } from '../../../../src/engine/targets/http/line-reader.ts';
import { chunked } from './chunked.ts';

type Read = { text: string; bytes: number };

function read(chunks: readonly Buffer[], maxLineBytes = 100, crEndsLine = false): Read[] {
  const lines: Read[] = [];
  const onLine = (text: string, bytes: number): void => void lines.push({ text, bytes });
  const reader = new LineReader({ maxLineBytes, crEndsLine, onLine });
  for (const chunk of chunks) reader.push(chunk);
  reader.end();
  return lines;
}

const texts = (text: string, crEndsLine = false) =>
  read([Buffer.from(text)], 100, crEndsLine).map((l) => l.text);

describe('LineReader', () => {
  it.each([
    ['', []],
    ['a', ['a']],
    ['a\n', ['a']],
    ['a\nb', ['a', 'b']],
    ['a\r\nb\r\n', ['a', 'b']],
    ['\n\n', ['', '']],
    ['a\rb\n', ['a\rb']],
    ['a\r\r\n', ['a\r']],
    ['a\r', ['a']],
    ['\ufeffa\n\ufeffb', ['a', '\ufeffb']],
  ])('cuts %j at LF and CRLF', (text, expected) => {
    expect(texts(text)).toEqual(expected);
  });

  it.each([
    ['a\rb\n', ['a', 'b']],
    ['a\r\nb', ['a', 'b']],
    ['a\r\r\nb', ['a', '', 'b']],
    ['a\n\rb', ['a', '', 'b']],
    ['a\r', ['a']],
  ])('cuts %j at CR, too, where CR ends a line', (text, expected) => {
    expect(texts(text, true)).toEqual(expected);
  });

  it('keeps a line of exactly the bound, with either line end', () => {
    const line = 'x'.repeat(100);
    expect(read([Buffer.from(`${line}\r\n${line}\n${line}`)]).map((l) => l.text)).toEqual([line, line, line]);
  });

  it('cuts a longer line between characters and says how long it was', () => {
    expect(read([Buffer.from(`a${'é'.repeat(80)}\r\nb`)])).toEqual([
      { text: `a${'é'.repeat(49)}`, bytes: 161 },
      { text: 'b', bytes: 1 },
    ]);
  });

  it('counts a line that is far longer than what it keeps', () => {
    const chunk = Buffer.alloc(65_536, 'x');
    const lines = read([...Array.from({ length: 160 }, () => chunk), Buffer.from('\nnext')]);
    expect(lines).toEqual([
      { text: 'x'.repeat(100), bytes: 10_485_760 },
      { text: 'next', bytes: 4 },
    ]);
  });

  it('reads the same lines wherever the chunks break', () => {
    const piece = fc.constantFrom('\n', '\r\n', '\r', 'a', 'é', '😀', '\ufeff', 'x'.repeat(30), '\xff\xfe');
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 40 }),
        fc.array(fc.nat()),
        fc.boolean(),
        (pieces, cuts, crEndsLine) => {
          const bytes = Buffer.from(pieces.join(''), 'utf8');
          const whole = read([bytes], 40, crEndsLine);
          expect(read(chunked(bytes, cuts), 40, crEndsLine)).toEqual(whole);
          expect(
            read(
              [...bytes].map((byte) => Buffer.of(byte)),
              40,
              crEndsLine,
            ),
          ).toEqual(whole);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('reads the same lines of bytes that are no text wherever the chunks break', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat()), (raw, cuts) => {
        const bytes = Buffer.from(raw);
        expect(read(chunked(bytes, cuts), 20)).toEqual(read([bytes], 20));
      }),
      { numRuns: 500 },
    );
  });
});
