import { afterAll, beforeAll, expect, it } from 'vitest';
import { AuditDesk } from '../../../src/engine/audit/audit-desk.ts';
import type { AuditFilter } from '../../../src/engine/audit/audit-operations.ts';
import { auditRow } from '../../../src/engine/audit/audit-rows.ts';
import type { Database } from '../../../src/store/database.ts';
import { createStore } from '../../../src/store/store.ts';
import { caller } from '../../support/caller.ts';
import { openDatabase } from '../../support/open-database.ts';
import { useTestDatabase } from '../../support/postgres.ts';
import { refusalOf } from '../job-desk.ts';

const testDatabase = useTestDatabase();
let database: Database;
let desk: AuditDesk;

const count = 40;

beforeAll(async () => {
  database = openDatabase(testDatabase.url, 2);
  const store = createStore(database);
  desk = new AuditDesk({ store, refusals: { flush: () => Promise.resolve() } });
  const large = { text: 'x'.repeat(32_000) };
  const rows = Array.from({ length: count }, (_, n) =>
    auditRow(caller, {
      namespace: n % 2 === 0 ? 'even' : 'odd',
      object: { type: 'job', name: `n${n}` },
      before: large,
      after: large,
      details: large,
    }),
  );
  await store.audits.insert(store.db, rows);
});
afterAll(() => database.close());

/** The names of a filter's events page by page. */
async function pagesOf(filter: AuditFilter, size: number): Promise<(string | null)[][]> {
  const pages: (string | null)[][] = [];
  let token = '';
  do {
    const page = await desk.list(filter, { size, token });
    pages.push(page.events.map(({ objectName }) => objectName));
    token = page.nextPageToken;
  } while (token !== '');
  return pages;
}

it('cuts a page of large events short, and goes on behind it', async () => {
  const pages = await pagesOf({}, 500);
  expect(pages.map((page) => page.length)).toEqual([21, 19]);
  expect(pages.flat()).toEqual(Array.from({ length: count }, (_, n) => `n${count - 1 - n}`));
});

it('gives pages of the size that was asked for, newest first', async () => {
  expect((await pagesOf({ namespaces: ['odd'] }, 7)).map((page) => page.length)).toEqual([7, 7, 6]);
});

it('refuses the page token of another filter, and of another choice of namespaces', async () => {
  const { nextPageToken: token } = await desk.list({ namespaces: ['odd'] }, { size: 1, token: '' });
  for (const filter of [{}, { namespaces: ['even'] }, { namespace: 'odd' }]) {
    const { reason } = await refusalOf(desk.list(filter, { size: 1, token }));
    expect(reason).toBe('INVALID_PAGE_TOKEN');
  }
});
