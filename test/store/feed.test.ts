import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { boundsOfPosition, type FeedPosition } from '../../src/domain/feed-position.ts';
import { type Database, run } from '../../src/store/database.ts';
import type { FeedEvent } from '../../src/store/feed-store.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { awaitThat } from '../support/await-that.ts';
import { openDatabase } from '../support/open-database.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase();
let database: Database;
let store: Store;
let writers: pg.Client[];

beforeAll(async () => {
  database = openDatabase(testDatabase.url, 2);
  store = createStore(database);
  writers = Array.from({ length: 3 }, () => new pg.Client({ connectionString: testDatabase.url }));
  await Promise.all(writers.map((writer) => writer.connect()));
});

afterAll(async () => {
  await Promise.all(writers.map((writer) => writer.end()));
  await database.close();
});

/** Writes a feed row with one event of an execution with this id; returns the number of its transaction. */
async function insertEvent(session: pg.Client, id: number): Promise<bigint> {
  const { rows } = await session.query<{ xid: string }>(
    `insert into carillon.feed (execution_id, job_id, event, attempt, first_seq, last_seq)
     values (array[$1::bigint], array[1], array[1], array[0], array[0], array[0]) returning xid::text`,
    [id],
  );
  return BigInt(rows[0]!.xid);
}

const idsOf = (events: readonly FeedEvent[]): number[] => events.map((event) => event.executionId);

async function readBetween(since: FeedPosition, until: FeedPosition): Promise<number[]> {
  const ids: number[] = [];
  for await (const events of store.feed.readBetween(store.db, since, until)) ids.push(...idsOf(events));
  return ids;
}

const present = async (): Promise<FeedPosition> => (await store.feed.readPosition(store.db)).position;

/**
 * The present, when no transaction is under way that began before this one, but for `own`. Those of other databases
 * count as well: positions are of the cluster.
 */
const presentBehind = (xid: bigint, ...own: readonly bigint[]): Promise<FeedPosition> =>
  awaitThat('older transactions have ended', async () => {
    const position = await present();
    const older = boundsOfPosition(position)
      .xip.map(BigInt)
      .filter((other) => other <= xid);
    return older.every((other) => own.includes(other)) && position;
  });

type Step = { readonly what: 'insert' | 'commit' | 'abort' | 'read'; readonly writer: number };

const steps = fc.array(
  fc.record<Step>({
    what: fc.constantFrom('insert', 'insert', 'commit', 'abort', 'read'),
    writer: fc.integer({ min: 0, max: 2 }),
  }),
  { minLength: 5, maxLength: 30 },
);

let lastId = 0;

describe('the feed', () => {
  it('shows each committed event exactly once to a reader that goes from position to position, however transactions interleave', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (script) => {
        const committed: number[] = [];
        const open: (number[] | undefined)[] = [undefined, undefined, undefined];
        const positions = [await present()];
        const reads: number[][] = [];
        const read = async (): Promise<void> => {
          const { position, events } = await store.feed.readSince(store.db, positions.at(-1)!);
          positions.push(position);
          reads.push(idsOf(events));
        };
        const end = async (writer: number, how: 'commit' | 'rollback'): Promise<void> => {
          const written = open[writer];
          if (!written) return;
          open[writer] = undefined;
          await writers[writer]!.query(how);
          if (how === 'commit') committed.push(...written);
        };
        for (const { what, writer } of script) {
          if (what === 'read') await read();
          else if (what === 'commit') await end(writer, 'commit');
          else if (what === 'abort') await end(writer, 'rollback');
          else {
            if (!open[writer]) await writers[writer]!.query('begin');
            open[writer] = [...(open[writer] ?? []), ++lastId];
            await insertEvent(writers[writer]!, lastId);
          }
        }
        // Transactions that were open all the while.
        for (let writer = 0; writer < 3; writer++) await end(writer, 'commit');
        await read();
        await read();
        expect(reads.flat().sort((a, b) => a - b)).toEqual(committed.sort((a, b) => a - b));
        expect(reads.at(-1)).toEqual([]);
        // Read again later, what lay between two positions is the same and in the same order.
        for (const [i, ids] of reads.entries()) {
          expect(await readBetween(positions[i]!, positions[i + 1]!)).toEqual(ids);
        }
        const all = await readBetween(positions[0]!, positions.at(-1)!);
        expect(all.sort((a, b) => a - b)).toEqual(committed);
      }),
      { numRuns: 25 },
    );
  });

  it('reads a long past in parts, in one order', async () => {
    const since = await present();
    await run(
      store.db,
      `insert into carillon.feed (execution_id, job_id, event, attempt, first_seq, last_seq)
       select array[n, -n], array[1, 1], array[1, 0], array[0, 1], array[0, 1], array[0, 3] from generate_series(1, 450) n`,
    );
    const until = await present();
    const parts: (readonly FeedEvent[])[] = [];
    for await (const events of store.feed.readBetween(store.db, since, until)) parts.push(events);
    expect(parts.map((part) => part.length)).toEqual([400, 400, 100]);
    const { events } = await store.feed.readSince(store.db, since);
    expect(parts.flat()).toEqual(events);
    expect(events.slice(0, 2)).toEqual([
      { executionId: 1, jobId: 1, attempt: 0, kind: 'state', state: 'PENDING' },
      { executionId: -1, jobId: 1, attempt: 1, kind: 'logs', firstSeq: 1, lastSeq: 3 },
    ]);
  });

  it('keeps the positions behind what was cleaned away, and those before it expire', async () => {
    const { epoch, position: before } = await store.feed.readPosition(store.db);
    const between = await presentBehind(await insertEvent(writers[0]!, ++lastId));
    expect(await store.feed.isKept(store.db, before, epoch)).toBe(true);
    expect(await store.feed.clean(store.db, 3_600_000)).toBe(0);
    expect(await store.feed.isKept(store.db, before, epoch)).toBe(true);
    expect(await store.feed.clean(store.db, -1_000)).toBeGreaterThan(0);
    expect(await store.feed.isKept(store.db, before, epoch)).toBe(false);
    expect(await store.feed.isKept(store.db, between, epoch)).toBe(true);
    expect((await store.feed.readSince(store.db, between)).events).toEqual([]);
  });

  it('keeps positions while an old transaction is under way, and not those that have yet to see it', async () => {
    const [old, young] = [writers[0]!, writers[1]!];
    const { epoch } = await store.feed.readPosition(store.db);
    await old.query('begin');
    const oldXid = await insertEvent(old, ++lastId);
    const position = await presentBehind(await insertEvent(young, ++lastId), oldXid);
    await store.feed.clean(store.db, -1_000);
    expect(await store.feed.isKept(store.db, position, epoch)).toBe(true);
    await old.query('commit');
    expect((await store.feed.readSince(store.db, position)).events).toHaveLength(1);
    await store.feed.clean(store.db, -1_000);
    expect(await store.feed.isKept(store.db, position, epoch)).toBe(false);
  });

  it('keeps no position of another epoch, and none that lies ahead', async () => {
    const { epoch, position } = await store.feed.readPosition(store.db);
    expect(await store.feed.isKept(store.db, position, 'another')).toBe(false);
    expect(await store.feed.isKept(store.db, '999999999:999999999:', epoch)).toBe(false);
  });

  it('begins a new epoch when its rows come from another cluster, and else does not', async () => {
    const { epoch } = await store.feed.readPosition(store.db);
    expect(await store.feed.renewEpochIfForeign(store.db)).toBe(false);
    await run(
      store.db,
      `insert into carillon.feed (xid, execution_id, job_id, event, attempt, first_seq, last_seq)
       values ('999999999', '{1}', '{1}', '{1}', '{0}', '{0}', '{0}')`,
    );
    expect(await store.feed.renewEpochIfForeign(store.db)).toBe(true);
    const renewed = await store.feed.readPosition(store.db);
    expect(renewed.epoch).not.toBe(epoch);
    expect((await store.feed.readSince(store.db, renewed.position)).events).toEqual([]);
  });
});
