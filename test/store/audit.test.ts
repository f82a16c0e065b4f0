import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditConditions, AuditRow } from '../../src/store/audit-store.ts';
import { type Database, run } from '../../src/store/database.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { openDatabase } from '../support/open-database.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase();
let database: Database;
let store: Store;

beforeAll(() => {
  database = openDatabase(testDatabase.url, 3);
  store = createStore(database);
});
afterAll(() => database.close());

const row = (changes: Partial<AuditRow> = {}): AuditRow => ({
  actor: 'ann',
  method: 'carillon.v1.JobService/Add',
  namespace: 'default',
  objectType: 'job',
  objectId: null,
  objectName: null,
  peer: '192.0.2.1:99',
  requestId: 'r',
  outcome: 'OK',
  before: null,
  after: null,
  details: null,
  ...changes,
});

const insert = (...rows: AuditRow[]): Promise<void> => store.audits.insert(store.db, rows);

/** The object names of a filter's events, in their order, page by page. */
async function listNames(conditions: AuditConditions, limit = 100): Promise<(string | null)[]> {
  const names: (string | null)[] = [];
  let beforeId: number | undefined;
  do {
    const { events, endedAt } = await store.audits.list(store.db, conditions, { beforeId, limit });
    names.push(...events.map(({ objectName }) => objectName));
    beforeId = endedAt;
  } while (beforeId !== undefined);
  return names;
}

describe('an event', () => {
  it('is read as it was written, with an id and the time of the database', async () => {
    const written = row({
      actor: '祝 \u{1F319}',
      objectId: 2 ** 52,
      objectName: 'default/g/"{x},\\',
      before: { list: [1, { a: null }], text: 'quote " backslash \\' },
      after: { constructor: true },
      details: { changed: 1 },
      requestId: 'whole',
    });
    await insert(written);
    const { events } = await store.audits.list(store.db, { requestId: 'whole' }, { limit: 10 });
    const [clock] = await run<{ now: Date }>(store.db, 'select clock_timestamp() as now');
    expect(events).toEqual([{ ...written, id: expect.any(Number), at: expect.any(Date) }]);
    expect(Math.abs(clock!.now.getTime() - events[0]!.at.getTime())).toBeLessThan(60_000);
    expect(1_704_067_200_000 + events[0]!.id / 4_096).toBeCloseTo(events[0]!.at.getTime(), -4);
  });

  it('holds what Postgres cannot store as a replacement character', async () => {
    await insert(row({ requestId: 'odd', objectName: 'a\0b\ud800', details: { text: '\0' } }));
    const { events } = await store.audits.list(store.db, { requestId: 'odd' }, { limit: 10 });
    expect(events).toMatchObject([{ objectName: 'a\ufffdb\ufffd', details: { text: '\ufffd' } }]);
  });

  it('is written once under an id, however often that is tried', async () => {
    const ids = await store.triggers.drawIds(store.db, 2);
    const rows = [row({ requestId: 'once' }), row({ requestId: 'once' })];
    for (let n = 0; n < 3; n++) await store.audits.insert(store.db, rows, ids);
    const { events } = await store.audits.list(store.db, { requestId: 'once' }, { limit: 10 });
    expect(events.map(({ id }) => id)).toEqual(ids.toReversed());
  });

  it.each([
    ['update', `update carillon.audit_event set actor = 'eve'`],
    ['delete', 'delete from carillon.audit_event'],
    ['truncate', 'truncate carillon.audit_event'],
  ])('is kept as it was written: %s is refused', async (word, statement) => {
    await insert(row());
    await expect(run(store.db, statement)).rejects.toMatchObject({
      code: '42501',
      message: `audit events are kept as they were written: ${word} refused`,
    });
  });

  it('is deleted by a transaction that says it is the retention, which still cannot update', async () => {
    await insert(row({ requestId: 'old' }));
    const retain = (statement: string): Promise<unknown> =>
      store.transaction(async (tx) => {
        await run(tx, `set local carillon.audit_retention = 'on'`);
        await run(tx, statement);
      });
    await expect(retain(`update carillon.audit_event set actor = 'eve'`)).rejects.toMatchObject({
      code: '42501',
    });
    await retain(`delete from carillon.audit_event where request_id = 'old'`);
    expect(await listNames({ requestId: 'old' })).toEqual([]);
    await expect(run(store.db, 'delete from carillon.audit_event')).rejects.toMatchObject({ code: '42501' });
  });
});

describe('listing', () => {
  beforeAll(async () => {
    for (let n = 0; n < 5; n++) await insert(row({ actor: 'list', objectName: `n${n}` }));
    await insert(
      row({ actor: 'list', namespace: 'a', objectName: 'in a', objectId: 7, outcome: 'JOB_NOT_FOUND' }),
      row({ actor: 'list', namespace: 'b', objectName: 'in b', objectType: 'secret', method: 'x/Y' }),
      row({ actor: 'list', namespace: null, objectName: 'in none' }),
    );
  });

  it.each<[AuditConditions, string[]]>([
    [{}, ['in none', 'in b', 'in a', 'n4', 'n3', 'n2', 'n1', 'n0']],
    [{ namespace: 'a' }, ['in a']],
    [{ namespaces: ['a', 'b'] }, ['in b', 'in a']],
    [{ namespaces: ['b'] }, ['in b']],
    [{ namespaces: [] }, []],
    [{ namespace: 'a', namespaces: ['b'] }, []],
    [{ objectId: 7 }, ['in a']],
    [{ objectName: 'n3' }, ['n3']],
    [{ objectType: 'secret' }, ['in b']],
    [{ methods: ['x/Y', 'x/Z'] }, ['in b']],
    [{ outcomes: ['JOB_NOT_FOUND', 'JOB_PAUSED'] }, ['in a']],
    [{ requestId: 'other' }, []],
    [{ startAt: new Date(0), endAt: new Date(1) }, []],
    [{ startAt: new Date('2199-01-01T00:00:00Z') }, []],
  ])('shows what fits %j, newest first', async (conditions, names) => {
    expect(await listNames({ actor: 'list', ...conditions })).toEqual(names);
  });

  it('finds by an id also the event of that id, which is how a Trigger is found by its execution', async () => {
    const [id, later] = await store.triggers.drawIds(store.db, 2);
    await store.audits.insert(
      store.db,
      [row({ objectName: 'made it', objectId: 5 }), row({ objectName: 'canceled it', objectId: id! })],
      [id!, later!],
    );
    expect(await listNames({ objectId: id! })).toEqual(['canceled it', 'made it']);
    expect(await listNames({ objectId: id! }, 1)).toEqual(['canceled it', 'made it']);
  });

  it('shows nothing of another actor', async () => {
    expect(await listNames({ actor: 'nobody' })).toEqual([]);
  });

  it('takes the start into a span of time and leaves the end out', async () => {
    const { events } = await store.audits.list(store.db, { actor: 'list' }, { limit: 8 });
    const at = events[3]!.at;
    expect(await listNames({ actor: 'list', startAt: at, endAt: new Date(at.getTime() + 1) })).toContain(
      events[3]!.objectName,
    );
    const before = await listNames({ actor: 'list', endAt: at });
    const after = await listNames({ actor: 'list', startAt: at });
    expect([...after, ...before]).toEqual(events.map(({ objectName }) => objectName));
  });

  it('goes from page to page without gap or repeat', async () => {
    const all = await listNames({ actor: 'list' });
    for (const limit of [1, 2, 3, 7, 8]) expect(await listNames({ actor: 'list' }, limit)).toEqual(all);
  });

  it('looks at so many rows a page, and says where it stopped, however few of them fit', async () => {
    await run(
      store.db,
      `insert into carillon.audit_event (id, actor, method, namespace, object_type, peer, request_id, outcome)
       select carillon.next_id() + n::bigint * 4096 * 10, 'crowd', 'm', 'crowd', 'job', 'p', n::text, 'OK'
         from generate_series(1, 45000) n`,
    );
    const page = await store.audits.list(store.db, { actor: 'crowd', requestId: '3' }, { limit: 10 });
    expect(page.events).toEqual([]);
    expect(page.endedAt).toBeDefined();
    const { events } = await store.audits.list(
      store.db,
      { actor: 'crowd', requestId: '3' },
      { beforeId: page.endedAt!, limit: 10 },
    );
    expect(events).toEqual([]);
    expect(await listNames({ actor: 'crowd', requestId: '3' })).toHaveLength(1);
    expect(await listNames({ namespace: 'crowd', requestId: '4' })).toHaveLength(1);
  });
});
