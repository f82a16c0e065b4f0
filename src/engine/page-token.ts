import { createHash } from 'node:crypto';
import { DomainError } from '../domain/errors.ts';
import type { Page } from './operations.ts';

/** The most rows of a page. */
const maxPageSize = 500;

const defaultPageSize = 50;

/** How many rows a page has: 0 takes 50, more than 500 is cut. */
export const pageSize = (asked: number): number =>
  asked === 0 ? defaultPageSize : Math.min(asked, maxPageSize);

/** A digest of a list's filter and order, which its page tokens carry. */
const digestOf = (list: unknown): string =>
  createHash('sha256').update(JSON.stringify(list)).digest('base64url').slice(0, 16);

/** Writes where the next page of a list begins. Opaque to callers and bound to the list. */
export function pageTokenFrom(list: unknown, position: unknown): string {
  return Buffer.from(JSON.stringify([digestOf(list), position])).toString('base64url');
}

/**
 * Reads where a page begins; undefined for an empty token. Refuses with
 * INVALID_PAGE_TOKEN what is not a token of this very list.
 */
export function positionFromPageToken<T>(
  list: unknown,
  token: string,
  isPosition: (value: unknown) => value is T,
): T | undefined {
  if (token === '') return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    throw invalidPageToken('it cannot be read');
  }
  if (!Array.isArray(parsed) || parsed.length !== 2 || !isPosition(parsed[1]))
    throw invalidPageToken('it cannot be read');
  if (parsed[0] !== digestOf(list))
    throw invalidPageToken('it belongs to a list with another filter or order');
  return parsed[1];
}

/** Refuses a page token. */
export function invalidPageToken(why: string): DomainError {
  return new DomainError('INVALID_PAGE_TOKEN', `page_token: ${why}; use next_page_token of the page before`, {
    metadata: { why },
    violations: [{ field: 'page_token', description: `${why}; use next_page_token of the page before` }],
  });
}

const isText = (value: unknown): value is string => typeof value === 'string';

/** A page of what is listed by name. */
export async function pageByName<Item extends { readonly name: string }>(
  list: unknown,
  page: Page,
  read: (after: string | undefined, limit: number) => Promise<readonly Item[]>,
): Promise<{ readonly items: readonly Item[]; readonly nextPageToken: string }> {
  const size = pageSize(page.size);
  const found = await read(positionFromPageToken(list, page.token, isText), size + 1);
  const items = found.slice(0, size);
  const last = items.at(-1);
  return { items, nextPageToken: found.length > size && last ? pageTokenFrom(list, last.name) : '' };
}
