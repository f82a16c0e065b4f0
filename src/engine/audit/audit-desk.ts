import type { Store } from '../../store/store.ts';
import type { Page } from '../operations.ts';
import { pageSize, pageTokenFrom, positionFromPageToken } from '../page-token.ts';
import type { AuditEvent, AuditFilter, AuditOperations } from './audit-operations.ts';
import type { RefusedCalls } from './refused-calls.ts';

export type AuditDeskOptions = {
  readonly store: Pick<Store, 'db' | 'audits'>;
  readonly refusals: Pick<RefusedCalls, 'flush'>;
};

/** What the events of one page may weigh, in bytes of JSON: clients take messages of 4 MiB. */
const maxPageBytes = 2 * 1_024 * 1_024;

const isId = (value: unknown): value is number => Number.isSafeInteger(value);

/** What the outside may ask of the audit. */
export class AuditDesk implements AuditOperations {
  readonly #options: AuditDeskOptions;

  constructor(options: AuditDeskOptions) {
    this.#options = options;
  }

  async list(
    filter: AuditFilter,
    page: Page,
  ): Promise<{ readonly events: readonly AuditEvent[]; readonly nextPageToken: string }> {
    const { store, refusals } = this.#options;
    const list = ['audit', filter];
    const beforeId = positionFromPageToken(list, page.token, isId);
    await refusals.flush();
    const found = await store.audits.list(store.db, filter, { beforeId, limit: pageSize(page.size) });
    const events = lightEnough(found.events);
    const endedAt = events.length < found.events.length ? events.at(-1)!.id : found.endedAt;
    return { events, nextPageToken: endedAt === undefined ? '' : pageTokenFrom(list, endedAt) };
  }
}

/** The first events that together weigh no more than a page may; one at least. */
function lightEnough(events: readonly AuditEvent[]): readonly AuditEvent[] {
  let bytes = 0;
  const end = events.findIndex((event, i) => {
    bytes += Buffer.byteLength(JSON.stringify(event));
    return i > 0 && bytes > maxPageBytes;
  });
  return end < 0 ? events : events.slice(0, end);
}
