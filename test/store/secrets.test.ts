import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Database, run } from '../../src/store/database.ts';
import { PgSecretStore } from '../../src/store/secret-store.ts';
import { awaitThat } from '../support/await-that.ts';
import { openDatabase } from '../support/open-database.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase();
const secrets = new PgSecretStore();
let database: Database;

beforeAll(() => {
  database = openDatabase(testDatabase.url, 4);
});

afterAll(() => database.close());

/** So many that their namespace alone is no cheap way to those that name a secret. */
beforeAll(async () => {
  await insertJob(database.db, 'filler', 'none', { kind: 'worker' });
  await run(
    database.db,
    `insert into carillon.job (namespace, group_name, name, description, labels, schedules, target, parameters,
                               priority, overlap, misfire, retry, attempt_timeout_ms)
     select namespace, group_name, name || n, description, labels, schedules, target, parameters,
            priority, overlap, misfire, retry, attempt_timeout_ms
       from carillon.job, generate_series(1, 2000) n`,
  );
  await run(database.db, 'analyze carillon.job');
});

const signedBy = (secret: string): object => ({ kind: 'http', signingSecretName: secret });

const insertJob = (
  db: Parameters<typeof run>[0],
  name: string,
  secret: string,
  target = signedBy(secret),
): Promise<unknown> =>
  run(
    db,
    `insert into carillon.job (namespace, group_name, name, description, labels, schedules, target, parameters,
                               priority, overlap, misfire, retry, attempt_timeout_ms)
     values ('default', 'default', $1, '', '{}', '[]', $2::jsonb, '{}', 0, 'SKIP', '{}', '{}', 1000)`,
    [name, JSON.stringify(target)],
  );

const insert = (name: string) =>
  database.transaction((tx) => secrets.insert(tx, 'default', name, { kind: 'SIGNING', value: Buffer.of(1) }));

it('is not removed while a job begins to name it: whoever removes it waits and then leaves it', async () => {
  await insert('hook');
  let removal: ReturnType<PgSecretStore['remove']> | undefined;
  await database.transaction(async (tx) => {
    expect(await secrets.use(tx, 'default', ['hook', 'none'])).toEqual(new Map([['hook', 'SIGNING']]));
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

it.each([
  ['job_signing_secret_idx', "j.target ->> 'signingSecretName' ="],
  ['job_client_certificate_idx', "j.target #>> '{tls,clientCertificateSecretName}' ="],
  [
    'job_text_secrets_idx',
    "jsonb_path_query_array(coalesce(j.target -> 'secretHeaders', j.target -> 'secretMetadata'), '$.*') ?",
  ],
])('finds its jobs by %s', async (index, named) => {
  const plan = await database.transaction(async (tx) => {
    await run(tx, 'set local enable_seqscan = off');
    return run<{ 'QUERY PLAN': string }>(
      tx,
      `explain select id from carillon.job j
        where j.namespace = 'default' and ${named} 'hook' and j.deleted_at is null`,
    );
  });
  expect(plan.map((row) => row['QUERY PLAN']).join('\n')).toContain(index);
});

it('is used by the jobs that show it as their certificate, too', async () => {
  await insert('shown');
  for (const kind of ['grpc', 'socket']) {
    await insertJob(database.db, `${kind} user`, 'shown', {
      kind,
      tls: { clientCertificateSecretName: 'shown' },
    });
  }
  const removal = await database.transaction((tx) => secrets.remove(tx, 'default', 'shown'));
  expect(removal).toMatchObject({
    kind: 'used',
    count: 2,
    jobs: [{ name: 'grpc user' }, { name: 'socket user' }],
  });
});

it('is used by the jobs that send it in a header or in metadata, under whatever name', async () => {
  await insert('sent');
  const others = { 'X-Other': 'other', Authorization: 'sent' };
  await insertJob(database.db, 'http header', 'sent', { kind: 'http', secretHeaders: others });
  await insertJob(database.db, 'grpc metadata', 'sent', {
    kind: 'grpc',
    secretMetadata: { 'x-key': 'sent' },
  });
  // Named like the header, not like the secret.
  await insertJob(database.db, 'none', 'sent', { kind: 'http', secretHeaders: { sent: 'other' } });
  const removal = await database.transaction((tx) => secrets.remove(tx, 'default', 'sent'));
  expect(removal).toMatchObject({
    kind: 'used',
    count: 2,
    jobs: [{ name: 'http header' }, { name: 'grpc metadata' }],
  });
});

it('cannot be named once it is removed', async () => {
  await insert('gone');
  expect(await database.transaction((tx) => secrets.remove(tx, 'default', 'gone'))).toEqual({
    kind: 'deleted',
  });
  expect(await database.transaction((tx) => secrets.use(tx, 'default', ['gone']))).toEqual(new Map());
  expect(await database.transaction((tx) => secrets.lock(tx, 'default', 'gone'))).toBeUndefined();
});
