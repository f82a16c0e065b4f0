import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Database, run } from '../../src/store/database.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { awaitThat } from '../support/await-that.ts';
import { openDatabase } from '../support/open-database.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase();
let database: Database;
let store: Store;
const sessions: pg.Client[] = [];

beforeAll(() => {
  database = openDatabase(testDatabase.url, 4);
  store = createStore(database);
});

beforeEach(async () => {
  await run(store.db, 'truncate carillon.leader_lease');
});

afterEach(async () => {
  await Promise.all(sessions.splice(0).map((session) => session.end()));
});

afterAll(() => database.close());

const minute = 60_000;
const [one, two] = [1, 2];

async function openSession(): Promise<pg.Client> {
  const session = await store.connect('test');
  sessions.push(session);
  return session;
}

const holdsTerm = (instanceId: number, term: number): Promise<boolean> =>
  store.transaction((tx) => store.leases.findTerm(tx, instanceId, term));

/** Resolves when a session of this database waits for a lock. */
const awaitWaiter = (): Promise<unknown> =>
  awaitThat('a session that waits for a lock', async () => {
    const waiting = await run(
      store.db,
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return waiting.length > 0;
  });

describe('the lease', () => {
  it('is taken by the first who asks and by nobody else while it lasts (I8)', async () => {
    const [a, b] = [await openSession(), await openSession()];
    expect(await store.leases.read(a)).toBeUndefined();
    expect(await store.leases.take(a, one, minute)).toBe(1);
    expect(await store.leases.take(b, two, minute)).toBeUndefined();
    expect(await store.leases.take(a, one, minute)).toBeUndefined();
    expect(await store.leases.read(b)).toMatchObject({ instanceId: one, term: 1 });
    expect((await store.leases.read(b))?.remainingMs).toBeGreaterThan(0);
    expect(await holdsTerm(one, 1)).toBe(true);
    expect(await holdsTerm(two, 1)).toBe(false);
    expect(await holdsTerm(one, 2)).toBe(false);
  });

  it('goes to one of many who ask at once, and terms only grow (I8)', async () => {
    const contenders = await Promise.all(Array.from({ length: 5 }, openSession));
    for (let round = 1; round <= 3; round++) {
      const deadTerm = round - 1;
      const terms = await Promise.all(
        contenders.map((session, i) => store.leases.take(session, i + 1, minute, deadTerm)),
      );
      expect(terms.filter((term) => term !== undefined)).toEqual([round]);
    }
  });

  it('can be taken by another with a higher term once it has expired', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await store.leases.take(a, one, 0);
    expect(await holdsTerm(one, 1)).toBe(false);
    expect(await store.leases.take(b, two, minute)).toBe(2);
    expect(await holdsTerm(two, 2)).toBe(true);
  });

  it('can be taken before it expires when the session of its term is known to be gone', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await store.leases.take(a, one, minute);
    expect(await store.leases.take(b, two, minute, 7)).toBeUndefined();
    expect(await store.leases.take(b, two, minute, 1)).toBe(2);
    expect(await holdsTerm(one, 1)).toBe(false);
  });

  it('is renewed by its holder in its term, and is not revived once it has expired', async () => {
    const session = await openSession();
    await store.leases.take(session, one, minute);
    expect(await store.leases.renew(session, one, 1, 2 * minute)).toBe(true);
    expect((await store.leases.read(session))?.remainingMs).toBeGreaterThan(minute);
    expect(await store.leases.renew(session, two, 1, minute)).toBe(false);
    expect(await store.leases.renew(session, one, 2, minute)).toBe(false);
    expect(await store.leases.renew(session, one, 1, 0)).toBe(true);
    expect(await store.leases.renew(session, one, 1, minute)).toBe(false);
  });

  it('is free at once when its holder resigns, and the term still grows', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await store.leases.take(a, one, minute);
    await store.leases.resign(a, one, 1);
    expect(await holdsTerm(one, 1)).toBe(false);
    expect(await store.leases.awaitSessionEnd(b, 1, minute)).toBe(true);
    expect(await store.leases.take(b, two, minute)).toBe(2);
  });

  it('is not given up by an older term', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await store.leases.take(a, one, 0);
    await store.leases.take(b, two, minute);
    await store.leases.resign(a, one, 1);
    expect(await holdsTerm(two, 2)).toBe(true);
  });

  it('tells the others when the session of its leader is gone', async () => {
    const [leader, other] = [await store.connect('leader'), await openSession()];
    await store.leases.take(leader, one, minute);
    expect(await store.leases.awaitSessionEnd(other, 1, 1)).toBe(false);
    const gone = store.leases.awaitSessionEnd(other, 1, minute);
    await awaitWaiter();
    await leader.end();
    expect(await gone).toBe(true);
    expect(await store.leases.take(other, two, minute, 1)).toBe(2);
  });
});

describe('the fence', () => {
  it('makes a takeover wait for a transaction that fires, and lets renewals through (I7)', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await store.leases.take(a, one, minute);
    const gate = Promise.withResolvers<void>();
    const fenced = Promise.withResolvers<boolean>();
    const firing = store.transaction(async (tx) => {
      fenced.resolve(await store.leases.findTerm(tx, one, 1));
      await gate.promise;
    });
    expect(await fenced.promise).toBe(true);
    expect(await store.leases.renew(a, one, 1, minute)).toBe(true);
    let taken: number | undefined;
    const takeover = store.leases.take(b, two, minute, 1).then((term) => {
      taken = term;
    });
    await awaitWaiter();
    expect(taken).toBeUndefined();
    gate.resolve();
    await firing;
    await takeover;
    expect(taken).toBe(2);
    expect(await holdsTerm(one, 1)).toBe(false);
  });

  it('refuses an older term whose transaction waited for the takeover', async () => {
    const [a, b] = [await openSession(), await openSession()];
    await store.leases.take(a, one, minute);
    await b.query('begin');
    await b.query('select from carillon.leader_lease for update');
    const fenced = holdsTerm(one, 1);
    await awaitWaiter();
    await b.query('update carillon.leader_lease set instance_id = 2, term = 2');
    await b.query('commit');
    expect(await fenced).toBe(false);
  });

  it('gives commands the present term, 0 before the first', async () => {
    const present = () => store.transaction((tx) => store.leases.lockCurrentTerm(tx));
    expect(await present()).toBe(0);
    const session = await openSession();
    await store.leases.take(session, one, 0);
    await store.leases.take(session, one, minute);
    expect(await present()).toBe(2);
  });
});
