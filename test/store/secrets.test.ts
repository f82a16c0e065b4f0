import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Database, run } from '../../src/store/database.ts';
import { PgSecretStore } from '../../src/store/secret-store.ts';
import { awaitThat } from '../support/await-that.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase();
const secrets = new PgSecretStore();
let database: Database;

beforeAll(() => {
  database = new Database({ url: testDatabase.url, poolSize: 4, clock: systemClock, logger: silentLogger });
});

afterAll(() => database.close());

const insertJob = (db: Parameters<typeof run>[0], name: string, secret: string): Promise<unknown> =>
  run(
    db,
    `insert into carillon.job (namespace, group_name, name, description, labels, schedules, target, parameters,
                               priority, overlap, misfire, retry, attempt_timeout_ms)
     values ('default', 'default', $1, '', '{}', '[]', $2::jsonb, '{}', 0, 'SKIP', '{}', '{}', 1000)`,
    [name, JSON.stringify({ kind: 'http', signingSecretName: secret })],
  );

const insert = (name: string) =>
  database.transaction((tx) => secrets.insert(tx, 'default', name, Buffer.of(1)));

it('is not removed while a job begins to name it: whoever removes it waits and then leaves it', async () => {
  await insert('hook');
  let removal: ReturnType<PgSecretStore['remove']> | undefined;
  await database.transaction(async (tx) => {
    expect(await secrets.use(tx, 'default', 'hook')).toBe(true);
    removal = database.transaction((other) => secrets.remove(other, 'default', 'hook'));
    await awaitThat('the removal waits', async () => {
      const waiting = await run(
        database.db,
        `select from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock' and query like '%lock_secret_to_remove%'`,
      );
      return waiting.length > 0 || undefined;
    });
    await insertJob(tx, 'begins', 'hook');
  });
  expect(await removal).toEqual({
    kind: 'used',
    count: 1,
    jobs: [{ namespace: 'default', group: 'default', name: 'begins' }],
  });
});

it('names five of the jobs that use it, and counts all', async () => {
  await insert('popular');
  for (let n = 0; n < 6; n++) await insertJob(database.db, `user ${n}`, 'popular');
  const removal = await database.transaction((tx) => secrets.remove(tx, 'default', 'popular'));
  expect(removal).toMatchObject({ kind: 'used', count: 6, jobs: { length: 5 } });
});

it('finds its jobs by job_signing_secret_idx', async () => {
  const plan = await database.transaction(async (tx) => {
    await run(tx, 'set local enable_seqscan = off');
    return run<{ 'QUERY PLAN': string }>(
      tx,
      `explain select id from carillon.job j
        where j.namespace = 'default' and j.target ->> 'signingSecretName' = 'hook' and j.deleted_at is null`,
    );
  });
  expect(plan.map((row) => row['QUERY PLAN']).join('\n')).toContain('job_signing_secret_idx');
});

it('cannot be named once it is removed', async () => {
  await insert('gone');
  expect(await database.transaction((tx) => secrets.remove(tx, 'default', 'gone'))).toEqual({
    kind: 'deleted',
  });
  expect(await database.transaction((tx) => secrets.use(tx, 'default', 'gone'))).toBe(false);
  expect(await database.transaction((tx) => secrets.lock(tx, 'default', 'gone'))).toBeUndefined();
});
