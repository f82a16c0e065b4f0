import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Calendar } from '../../src/domain/schedule/calendar.ts';
import { PgCalendarStore } from '../../src/store/calendar-store.ts';
import { type Database, run } from '../../src/store/database.ts';
import { awaitThat } from '../support/await-that.ts';
import { openDatabase } from '../support/open-database.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase();
const calendars = new PgCalendarStore();
let database: Database;

beforeAll(() => {
  database = openDatabase(testDatabase.url, 4);
});

afterAll(() => database.close());

let names = 0;

/** A calendar with every part, under a name of its own. */
const someCalendar = (parts: Partial<Calendar> = {}): Calendar => ({
  namespace: 'default',
  name: `calendar ${names++}`,
  description: 'days off',
  timeZone: 'Europe/Berlin',
  dates: ['2026-12-25'],
  dateRanges: [{ firstDate: '2026-07-01', lastDate: '2026-07-31' }],
  weekdays: ['SUNDAY'],
  yearlyDays: ['01-01'],
  crons: [{ expression: '* 0-7 * * *', dialect: 'UNIX' }],
  ...parts,
});

const put = (calendar: Calendar) => database.transaction((tx) => calendars.put(tx, calendar));

const use = (jobId: number, ...used: readonly string[]) =>
  database.transaction((tx) => calendars.use(tx, jobId, 'default', used));

const remove = (name: string) => database.transaction((tx) => calendars.remove(tx, 'default', name));

/** A row that calendars can be used by; what else a job has plays no part here. */
async function addJob(name = `job ${names++}`): Promise<number> {
  const rows = await run<{ id: number }>(
    database.db,
    `insert into carillon.job (namespace, group_name, name, description, labels, schedules, target, parameters,
                               priority, overlap, misfire, retry, attempt_timeout_ms)
     values ('default', 'default', $1, '', '{}', '[]', '{}', '{}', 0, 'SKIP', '{}', '{}', 1000) returning id`,
    [name],
  );
  return rows[0]!.id;
}

/** Resolves when a session of this database waits for a lock. */
const awaitWaiter = (): Promise<unknown> =>
  awaitThat('a session that waits for a lock', async () => {
    const waiting = await run(
      database.db,
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return waiting.length > 0;
  });

describe('putting a calendar', () => {
  it('makes it, with all its parts', async () => {
    const calendar = someCalendar();
    const { calendar: stored, created } = await put(calendar);
    expect(created).toBe(true);
    expect(stored).toMatchObject({ ...calendar, jobCount: 0 });
    expect(stored.updatedAt).toEqual(stored.createdAt);
    expect(await calendars.find(database.db, 'default', calendar.name)).toEqual(stored);
  });

  it('replaces one of the same name, which is a change', async () => {
    const calendar = someCalendar();
    const first = await put(calendar);
    // Times are read to the millisecond.
    await run(database.db, 'select pg_sleep(0.002)');
    const second = await put({ ...calendar, dates: [] });
    expect(second.created).toBe(false);
    expect(second.calendar.dates).toEqual([]);
    expect(second.calendar.createdAt).toEqual(first.calendar.createdAt);
    expect(second.calendar.updatedAt > first.calendar.updatedAt).toBe(true);
  });

  it('again as it is changes nothing, neither time nor revision', async () => {
    const calendar = someCalendar();
    const first = await put(calendar);
    const again = await put(calendar);
    expect(again).toEqual({ calendar: first.calendar, created: false, before: first.calendar });
    const [loaded] = await calendars.load(database.db, [calendar]);
    expect(loaded?.revision).toBe(1);
  });

  it('does not touch one of the same name in another namespace', async () => {
    const calendar = someCalendar();
    await put(calendar);
    const other = await put({ ...calendar, namespace: 'other', dates: [] });
    expect(other.created).toBe(true);
    expect((await calendars.find(database.db, 'default', calendar.name))?.dates).toEqual(calendar.dates);
  });

  it('stores text that Postgres cannot keep with a replacement for it', async () => {
    const { calendar } = await put(someCalendar({ description: 'a\0b\ud800' }));
    expect(calendar.description).toBe('a\ufffdb\ufffd');
  });

  it('is done by one of two that come at the same time, and the other one replaces it', async () => {
    const calendar = someCalendar();
    const both = await Promise.all([put(calendar), put({ ...calendar, description: 'other' })]);
    expect(both.map(({ created }) => created).toSorted()).toEqual([false, true]);
  });

  it('does not wait for a job that begins to use it', async () => {
    const calendar = someCalendar();
    await put(calendar);
    const jobId = await addJob();
    await database.transaction(async (tx) => {
      await calendars.use(tx, jobId, 'default', [calendar.name]);
      expect((await put({ ...calendar, dates: [] })).created).toBe(false);
    });
  });
});

it('finds no calendar under a name that none has', async () => {
  expect(await calendars.find(database.db, 'default', 'nobody')).toBeUndefined();
});

it('lists the calendars of a namespace by name, page by page', async () => {
  const namespace = 'listed';
  for (const name of ['c', 'a', 'b']) await put(someCalendar({ namespace, name }));
  const page = async (after?: string) =>
    (await calendars.list(database.db, { namespace, after, limit: 2 })).map(({ name }) => name);
  expect(await page()).toEqual(['a', 'b']);
  expect(await page('b')).toEqual(['c']);
  expect(await page('c')).toEqual([]);
});

describe('using calendars', () => {
  it('counts the jobs that do, each once', async () => {
    const { name } = (await put(someCalendar())).calendar;
    for (const jobId of [await addJob(), await addJob()]) expect(await use(jobId, name, name)).toEqual([]);
    expect((await calendars.find(database.db, 'default', name))?.jobCount).toBe(2);
  });

  it('replaces what the job used before', async () => {
    const [before, after] = [someCalendar(), someCalendar()];
    await put(before);
    await put(after);
    const jobId = await addJob();
    await use(jobId, before.name);
    await use(jobId, after.name);
    const counts = [before, after].map(
      async ({ name }) => (await calendars.find(database.db, 'default', name))?.jobCount,
    );
    expect(await Promise.all(counts)).toEqual([0, 1]);
  });

  it('names those that do not exist, in the order they were given', async () => {
    const { name } = (await put(someCalendar())).calendar;
    await put(someCalendar({ namespace: 'other', name: 'elsewhere' }));
    expect(await use(await addJob(), 'zebra', name, 'elsewhere')).toEqual(['zebra', 'elsewhere']);
  });

  it('ends for jobs that are deleted', async () => {
    const { name } = (await put(someCalendar())).calendar;
    const [one, other] = [await addJob(), await addJob()];
    await use(one, name);
    await use(other, name);
    await database.transaction((tx) => calendars.clearUses(tx, [one]));
    expect((await calendars.find(database.db, 'default', name))?.jobCount).toBe(1);
  });
});

describe('removing a calendar', () => {
  it('removes one that no job uses, once', async () => {
    const { name } = (await put(someCalendar())).calendar;
    expect(await remove(name)).toMatchObject({ kind: 'deleted' });
    expect(await remove(name)).toEqual({ kind: 'missing' });
    expect(await calendars.find(database.db, 'default', name)).toBeUndefined();
  });

  it('leaves one that jobs use, and names some of them', async () => {
    const { name } = (await put(someCalendar())).calendar;
    for (let i = 0; i < 7; i++) await use(await addJob(`user ${i}`), name);
    expect(await remove(name)).toEqual({
      kind: 'used',
      count: 7,
      jobs: [0, 1, 2, 3, 4].map((i) => ({ namespace: 'default', group: 'default', name: `user ${i}` })),
    });
    expect((await calendars.find(database.db, 'default', name))?.jobCount).toBe(7);
  });

  it('waits for a job that begins to use it, and then leaves it', async () => {
    const { name } = (await put(someCalendar())).calendar;
    const jobId = await addJob();
    const removal = await database.transaction(async (tx) => {
      await calendars.use(tx, jobId, 'default', [name]);
      const removing = remove(name);
      await awaitWaiter();
      return { removing };
    });
    expect(await removal.removing).toMatchObject({ kind: 'used', count: 1 });
  });

  it('makes a job that wants to use it meanwhile wait, and then find it missing', async () => {
    const { name } = (await put(someCalendar())).calendar;
    const jobId = await addJob();
    const { using } = await database.transaction(async (tx) => {
      expect(await calendars.remove(tx, 'default', name)).toMatchObject({ kind: 'deleted' });
      const using = use(jobId, name);
      await awaitWaiter();
      return { using };
    });
    expect(await using).toEqual([name]);
  });
});

describe('loading calendars', () => {
  it('gives the definition to whoever does not hold the present version, and the version to all', async () => {
    const [one, other] = [someCalendar(), someCalendar()];
    await put(one);
    await put(other);
    const load = (...wanted: Parameters<typeof calendars.load>[1]) => calendars.load(database.db, wanted);
    const [first] = await load(one);
    expect(first).toEqual({ ...pickName(one), id: first!.id, revision: 1, calendar: one });
    const known = { id: first!.id, revision: first!.revision };
    expect(await load({ ...pickName(one), known })).toEqual([
      { ...pickName(one), ...known, calendar: undefined },
    ]);

    await put({ ...one, dates: [] });
    const both = await load(
      { ...pickName(one), known },
      { ...pickName(other), known },
      { namespace: 'x', name: 'y' },
    );
    const byName = new Map(both.map(({ name, revision, calendar }) => [name, [revision, calendar?.dates]]));
    expect(byName).toEqual(
      new Map([
        [one.name, [2, []]],
        [other.name, [1, other.dates]],
      ]),
    );
  });
});

const pickName = ({ namespace, name }: Calendar) => ({ namespace, name });
