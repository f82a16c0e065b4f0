import type { Output } from './output.ts';

/** One page of a list. */
export type Page<Item> = { readonly items: readonly Item[]; readonly nextPageToken: string };

/** What a list takes to ask for a page. */
export type PageRequest = { readonly pageSize: number; readonly pageToken: string };

/** The most that the service gives in one page. */
const largestPage = 500;

/**
 * The first `limit` items of a list, page by page; says on standard error when
 * there are more, so that nobody takes a part for the whole.
 */
export async function takeItems<Item>(
  limit: number,
  output: Output,
  fetchPage: (request: PageRequest) => Promise<Page<Item>>,
): Promise<readonly Item[]> {
  const items: Item[] = [];
  let pageToken = '';
  do {
    const pageSize = Math.min(limit - items.length, largestPage);
    const page = await fetchPage({ pageSize, pageToken });
    items.push(...page.items);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && items.length < limit);
  if (pageToken !== '') output.remark(`there are more than these ${items.length}; --limit shows more`);
  return items;
}
