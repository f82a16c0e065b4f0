import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/domain/errors.ts';
import { isFeedPosition } from '../../src/domain/feed-position.ts';
import { cursorFromText, cursorText, type StreamCursor } from '../../src/engine/stream-cursor.ts';

const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

/** A snapshot as Postgres writes it. */
const position = fc
  .tuple(fc.bigInt(1n, 2n ** 63n), fc.uniqueArray(fc.bigInt(0n, 1000n), { maxLength: 5 }))
  .map(([xmin, above]) => {
    const xip = above.sort((a, b) => (a < b ? -1 : 1)).map((n) => xmin + n);
    return `${xmin}:${xmin + 1001n}:${xip.join(',')}`;
  });

const cursors: fc.Arbitrary<StreamCursor> = fc
  .record({
    epoch: fc.uuid(),
    since: position,
    backlog: fc.array(
      fc.record({ executionId: count, seq: count, stage: count, untilSeq: count, untilStage: count }),
      { maxLength: 5 },
    ),
    batch: fc.option(fc.record({ until: position, event: count, seq: count }), { nil: undefined }),
  })
  .map(({ batch, ...cursor }) => (batch ? { ...cursor, batch } : cursor));

const textOf = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('a cursor', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(cursors, (cursor) => {
        expect(cursorFromText(cursorText(cursor))).toEqual(cursor);
      }),
      { numRuns: 200 },
    );
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['no list', { epoch: 'e' }],
    ['too few parts', ['e', '1:1:']],
    ['half a batch', ['e', '1:1:', [], '1:1:', 0]],
    ['too many parts', ['e', '1:1:', [], '1:1:', 0, 0, 0]],
    ['an epoch that is no text', [1, '1:1:', []]],
    ['an epoch that is too long', ['e'.repeat(65), '1:1:', []]],
    ['a position that is none', ['e', "1'; drop", []]],
    ['a position that Postgres cannot read', ['e', '5:3:', []]],
    ['half a backlog entry', ['e', '1:1:', [1, 2, 3, 4]]],
    ['a negative seq', ['e', '1:1:', [1, -2, 3, 4, 5]]],
    ['a seq with a fraction', ['e', '1:1:', [1, 2.5, 3, 4, 5]]],
    ['an id that no number holds', ['e', '1:1:', [2 ** 53, 2, 3, 4, 5]]],
    ['too long a backlog', ['e', '1:1:', Array.from({ length: 5_005 }, () => 1)]],
    ['a backlog that is no list', ['e', '1:1:', '12345']],
    ['an event that is no number', ['e', '1:1:', [], '1:1:', '0', 0]],
  ])('is refused with %s in it', (_, value) => {
    expect(() => cursorFromText(value === undefined ? '' : textOf(value))).toThrow(DomainError);
  });

  it('is refused when it is any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => cursorFromText(text)).toThrow(DomainError);
      }),
      { numRuns: 200 },
    );
  });
});

describe('a feed position', () => {
  it.each(['1:1:', '10:20:', '10:20:10', '10:20:10,15,15,19', '18446744073709551615:18446744073709551615:'])(
    'is one: %s',
    (text) => {
      expect(isFeedPosition(text)).toBe(true);
    },
  );

  it.each([
    '',
    '10:20',
    '10:20:,',
    '10:20:9',
    '10:20:20',
    '10:20:15,12',
    '20:10:',
    '0:10:',
    '1:18446744073709551616:',
    '-1:1:',
    '1:1: ',
    '١:١:',
  ])('is none, as Postgres would refuse it: %j', (text) => {
    expect(isFeedPosition(text)).toBe(false);
  });
});
