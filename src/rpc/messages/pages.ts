import type { Page } from '../../engine/operations.ts';

const defaultPageSize = 50;
const maxPageSize = 500;

/** The page that a list request asks for: 50 where no size is given, 500 at most. */
export function pageFromMessage(request: { readonly pageSize: number; readonly pageToken: string }): Page {
  const size = request.pageSize === 0 ? defaultPageSize : Math.min(request.pageSize, maxPageSize);
  return { size, token: request.pageToken };
}
