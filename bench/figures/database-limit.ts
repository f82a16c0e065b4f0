/** What this Postgres does on this machine without Carillon: the budget that the other figures are read against. */
import { performance } from 'node:perf_hooks';
import type pg from 'pg';
import type { Bench } from '../bench.ts';
import { type Figure, whole } from '../support/statistics.ts';

const roundMs = 3_000;
const rounds = 2;
const insertRows = 2_000;
const batchRows = 500;

export async function measureDatabaseLimit({ database, progress }: Bench): Promise<readonly Figure[]> {
  const url = await database.create('bench_limit');
  const clients = await Promise.all(Array.from({ length: 16 }, () => database.connect(url)));
  const [first, second] = clients as [pg.Client, pg.Client];
  await first.query(`
    create table ledger (id bigint generated always as identity primary key, job_id bigint not null,
      fire_at timestamptz not null default clock_timestamp(), started_at timestamptz, finished_at timestamptz,
      state text not null default 'PENDING', message text not null default '') with (fillfactor = 60);
    create table open_row (id bigint primary key, holder bigint) with (fillfactor = 50, autovacuum_enabled = off);
    create index on open_row (id) where holder is null`);

  const commits = await best(
    clients,
    () => 1,
    async (client) => {
      await client.query({ name: 'one', text: 'insert into ledger (job_id) values (1)' });
    },
  );
  progress(`${whole(commits)} single-row commits/s from 16 connections`);
  const inserts = await best(
    [first, second],
    () => insertRows,
    async (client) => {
      const text = `insert into ledger (job_id) select n from generate_series(1, ${insertRows}) n`;
      await client.query({ name: 'many', text });
    },
  );
  progress(`${whole(inserts)} rows/s inserted in batches of ${insertRows}`);
  const executions = await best([first, second], () => batchRows, runBatch);
  progress(`${whole(executions)} executions/s inserted, claimed and completed in batches of ${batchRows}`);
  const common = { goal: '–', reached: undefined };
  return [
    {
      ...common,
      name: 'raw: single-row commits/s, 16 connections',
      value: whole(commits),
      note: 'plain SQL, prepared',
    },
    {
      ...common,
      name: 'raw: rows/s inserted',
      value: whole(inserts),
      note: `batches of ${insertRows}, 2 connections`,
    },
    {
      ...common,
      name: 'raw: executions/s (insert, claim, complete)',
      value: whole(executions),
      note: `three statements for ${batchRows}, 2 connections, 2 tables, 3 indexes`,
    },
  ];
}

/** The least that executions need: a ledger row and an open row, both claimed, both completed. */
async function runBatch(client: pg.Client): Promise<void> {
  await client.query({
    name: 'insert',
    text: `with made as (insert into ledger (job_id) select n from generate_series(1, ${batchRows}) n returning id)
           insert into open_row (id) select id from made`,
  });
  const { rows } = await client.query<{ ids: string }>({
    name: 'claim',
    text: `with picked as materialized (
             select id from open_row where holder is null order by id limit ${batchRows} for update skip locked
           ), held as (
             update open_row o set holder = 1 from picked p where o.id = p.id returning o.id
           ), started as (
             update ledger l set state = 'RUNNING', started_at = clock_timestamp() from held h where l.id = h.id
             returning l.id
           ) select array_agg(id)::text as ids from started`,
  });
  await client.query({
    name: 'complete',
    text: `with gone as (delete from open_row where id = any ($1::bigint[]) returning id)
           update ledger l set state = 'SUCCEEDED', finished_at = clock_timestamp() from gone g where l.id = g.id`,
    values: [rows[0]!.ids],
  });
}

/** The best rate of a few rounds in which every connection repeats the body. */
async function best(
  clients: readonly pg.Client[],
  worth: () => number,
  body: (client: pg.Client) => Promise<void>,
): Promise<number> {
  let bestRate = 0;
  for (let round = 0; round < rounds; round++) {
    const startedMs = performance.now();
    let done = 0;
    const repeat = async (client: pg.Client): Promise<void> => {
      while (performance.now() - startedMs < roundMs) {
        await body(client);
        done += worth();
      }
    };
    await Promise.all(clients.map(repeat));
    bestRate = Math.max(bestRate, (done / (performance.now() - startedMs)) * 1_000);
  }
  return bestRate;
}
