import pg from 'pg';
import { afterEach, expect, it } from 'vitest';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { awaitThat } from '../support/await-that.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const databases: TestDatabase[] = [];
const sessions: pg.Client[] = [];

afterEach(async () => {
  await Promise.all(sessions.splice(0).map((session) => session.end().catch(() => undefined)));
  await Promise.all(databases.splice(0).map((database) => database.drop()));
});

async function emptyDatabase(): Promise<{ readonly url: string; readonly session: pg.Client }> {
  const database = await createTestDatabase({ empty: true });
  databases.push(database);
  return { url: database.url, session: await openSession(database.url) };
}

async function openSession(url: string): Promise<pg.Client> {
  const session = new pg.Client({ connectionString: url });
  session.on('error', () => undefined);
  await session.connect();
  sessions.push(session);
  return session;
}

/** Every table, column, index, constraint, function and sequence of the schema, with its comment. */
async function describeSchema(session: pg.Client): Promise<unknown[]> {
  const { rows } = await session.query(`
    select 'column' as kind, table_name || '.' || column_name as name, data_type || coalesce(column_default, '') as what
      from information_schema.columns where table_schema = 'carillon'
    union all select 'index', indexname, indexdef from pg_indexes where schemaname = 'carillon'
    union all select 'constraint', conname, pg_get_constraintdef(oid) from pg_constraint
      where connamespace = to_regnamespace('carillon')
    union all select 'function', proname, prosrc from pg_proc where pronamespace = to_regnamespace('carillon')
    union all select 'comment', relname, obj_description(oid, 'pg_class') from pg_class
      where relnamespace = to_regnamespace('carillon')
    order by 1, 2, 3`);
  return rows;
}

const appliedIn = async (session: pg.Client): Promise<string[]> =>
  (await session.query<{ name: string }>('select name from carillon.migration order by version')).rows.map(
    (row) => row.name,
  );

const names = async (): Promise<string[]> => (await readMigrations()).map((migration) => migration.name);

it('brings an empty database up, and a second time finds nothing to do', async () => {
  const { url, session } = await emptyDatabase();
  expect(await migrate(url)).toEqual(await names());
  const schema = await describeSchema(session);
  expect(await migrate(url)).toEqual([]);
  expect(await describeSchema(session)).toEqual(schema);
  expect(await appliedIn(session)).toEqual(await names());
});

it('makes the same schema whoever comes first when several migrate at once', async () => {
  const { url, session } = await emptyDatabase();
  const done = await Promise.all([migrate(url), migrate(url), migrate(url)]);
  expect(done.flat()).toEqual(await names());
  expect(await appliedIn(session)).toEqual(await names());
});

it('refuses a migration whose text was changed after it ran', async () => {
  const { url, session } = await emptyDatabase();
  await migrate(url);
  await session.query(`update carillon.migration set checksum = 'other' where version = 1`);
  const [first] = await names();
  await expect(migrate(url)).rejects.toThrow(
    `migration ${first} differs from what was applied to this database`,
  );
});

it('refuses a database that a newer version has migrated, and changes nothing', async () => {
  const { url, session } = await emptyDatabase();
  await migrate(url);
  await session.query(`insert into carillon.migration values (9999, '9999_later', 'x')`);
  const schema = await describeSchema(session);
  await expect(migrate(url)).rejects.toThrow('the database was migrated by a newer version (9999_later)');
  expect(await describeSchema(session)).toEqual(schema);
});

it('leaves whole migrations only when one fails, and goes on from there', async () => {
  const { url, session } = await emptyDatabase();
  // In the way of a statement in the middle of the first migration.
  await session.query('create schema carillon; create table carillon.instance (id int)');
  const [first] = await names();
  await expect(migrate(url)).rejects.toThrow(`migration ${first} failed`);
  expect(await appliedIn(session)).toEqual([]);
  const { rows } = await session.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'carillon'::regnamespace and relkind in ('r', 'S') order by 1`,
  );
  expect(rows.map((row) => row.name)).toEqual(['instance', 'migration']);
  await session.query('drop table carillon.instance');
  expect(await migrate(url)).toEqual(await names());
});

it('leaves whole migrations only when it is killed half-way, and goes on from there', async () => {
  const { url, session } = await emptyDatabase();
  await session.query('create schema carillon');
  // An uncommitted table of the same name holds the migration up in the middle.
  const blocker = await openSession(url);
  await blocker.query('begin; create table carillon.instance (id int)');
  const migrating = expect(migrate(url)).rejects.toThrow();
  const pid = await awaitThat('the migration that waits', async () => {
    const { rows } = await session.query<{ pid: number }>(
      `select pid from pg_stat_activity
        where datname = current_database() and application_name = 'carillon migrate' and wait_event_type = 'Lock'`,
    );
    return rows[0]?.pid;
  });
  await session.query('select pg_terminate_backend($1)', [pid]);
  await migrating;
  await blocker.query('rollback');
  expect(await appliedIn(session)).toEqual([]);
  expect((await session.query(`select to_regclass('carillon.job') as job`)).rows).toEqual([{ job: null }]);
  expect(await migrate(url)).toEqual(await names());
});

it('numbers its files without a gap', async () => {
  const versions = (await readMigrations()).map((migration) => migration.version);
  expect(versions).toEqual(versions.map((_, i) => i + 1));
});
