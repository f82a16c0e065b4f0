import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSplitter } from '../../src/cli/line-splitter.ts';

function linesOf(chunks: readonly Buffer[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (const chunk of chunks) splitter.push(chunk);
  splitter.end();
  return lines;
}

describe('a line splitter', () => {
  it('finds the same lines wherever the bytes are cut, also within a character', () => {
    const text = fc.array(fc.constantFrom('a', '\n', '\r\n', 'é', '😀', ' '), { maxLength: 60 });
    fc.assert(
      fc.property(text, fc.array(fc.nat(), { maxLength: 8 }), (pieces, places) => {
        const bytes = Buffer.from(pieces.join(''));
        const cuts = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length];
        cuts.sort((a, b) => a - b);
        const chunks = cuts.slice(1).map((end, i) => bytes.subarray(cuts[i], end));
        const expected = pieces.join('').split(/\r?\n/);
        if (expected.at(-1) === '') expected.pop();
        expect(linesOf(chunks)).toEqual(expected);
      }),
    );
  });

  it.each([
    ['nothing', '', []],
    ['an empty line', '\n', ['']],
    ['a CR within a line', 'a\rb\n', ['a\rb']],
    ['bytes that are no UTF-8', Buffer.from([0x61, 0xff, 0x0a]), ['a\ufffd']],
  ])('takes %s as it is', (_, bytes, lines) => {
    expect(linesOf([Buffer.from(bytes)])).toEqual(lines);
  });

  it('keeps the beginning of a line that is too long, and goes on behind it', () => {
    const [long, next] = linesOf([...Array(100).fill(Buffer.alloc(10_000, 'x')), Buffer.from('\nnext\n')]);
    expect(long).toHaveLength(65_537);
    expect(next).toBe('next');
  });
});
