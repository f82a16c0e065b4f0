import { expect, it } from 'vitest';
import { DomainError } from '../../src/domain/errors.ts';
import { pageSize, pageTokenFrom, positionFromPageToken } from '../../src/engine/page-token.ts';

const list = { namespace: 'a', order: 'key' };
const isNumber = (value: unknown): value is number => typeof value === 'number';

const reasonOf = (token: string, of: unknown = list): string => {
  try {
    return `read ${positionFromPageToken(of, token, isNumber)}`;
  } catch (error) {
    if (error instanceof DomainError) return `${error.reason} ${error.details.violations?.[0]?.field}`;
    throw error;
  }
};

it.each([
  [0, 50],
  [1, 1],
  [500, 500],
  [501, 500],
  [2_000_000_000, 500],
])('makes pages of %i rows have %i', (asked, size) => {
  expect(pageSize(asked)).toBe(size);
});

it('begins at the position of its token, and without a token at the beginning', () => {
  expect(reasonOf(pageTokenFrom(list, 42))).toBe('read 42');
  expect(reasonOf('')).toBe('read undefined');
});

it.each([
  ['another filter', { ...list, namespace: 'b' }],
  ['another order', { ...list, order: 'key desc' }],
  ['another kind of list', ['executions', list]],
])('refuses the token of a list with %s', (_, other) => {
  expect(reasonOf(pageTokenFrom(other, 42))).toBe('INVALID_PAGE_TOKEN page_token');
});

it.each([
  ['junk', 'junk'],
  ['text that is no base64url', '%%%'],
  ['JSON that is no token', Buffer.from('{"a":1}').toString('base64url')],
  ['a position of another shape', pageTokenFrom(list, 'x')],
  ['a token with too much in it', Buffer.from('["x",1,2]').toString('base64url')],
  ['a cut token', pageTokenFrom(list, 42).slice(0, -4)],
  ['null', Buffer.from('null').toString('base64url')],
])('refuses %s as a token', (_, token) => {
  expect(reasonOf(token)).toBe('INVALID_PAGE_TOKEN page_token');
});
