/** What the database says of the work: figures are taken from it, and it proves that all of the work was done. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { ensure, nowMs } from './statistics.ts';

/** How many executions stand in each state, by state or by state and reason where there is one. */
export async function countStates(client: pg.Client): Promise<ReadonlyMap<string, number>> {
  const { rows } = await client.query<{ state: string; count: number }>(
    `select concat_ws(' ', state, reason) as state, count(*)::integer as count
       from carillon.execution group by 1 order by 1`,
  );
  return new Map(rows.map(({ state, count }) => [state, count]));
}

/** Waits until nothing is open; then every execution must have succeeded, or was skipped because another one ran. */
export async function awaitAllSucceeded(
  client: pg.Client,
  rowsExpected: number,
): Promise<{ readonly succeeded: number; readonly overlapped: number }> {
  const limitMs = nowMs() + 120_000;
  for (;;) {
    const { rows } = await client.query<{ open: boolean }>(
      'select exists (select 1 from carillon.open_execution) as open',
    );
    if (!rows[0]!.open) break;
    ensure(nowMs() < limitMs, 'executions are still open after two minutes');
    await sleep(100);
  }
  const states = await countStates(client);
  const succeeded = states.get('SUCCEEDED') ?? 0;
  const overlapped = states.get('SKIPPED OVERLAP') ?? 0;
  const total = [...states.values()].reduce((sum, count) => sum + count, 0);
  const told = JSON.stringify(Object.fromEntries(states));
  ensure(total === rowsExpected, `the ledger has ${total} rows and not ${rowsExpected}: ${told}`);
  ensure(succeeded + overlapped === total, `not all executions succeeded: ${told}`);
  return { succeeded, overlapped };
}

/** The milliseconds from fire time to start of scheduled executions; those of one fire time when it is given. */
export async function listStartDelays(client: pg.Client, fireAt?: Date): Promise<readonly number[]> {
  const { rows } = await client.query<{ ms: number }>(
    `select (extract(epoch from started_at - fire_at) * 1000)::float8 as ms from carillon.execution
      where cause = 'SCHEDULE' and started_at is not null and ($1::timestamptz is null or fire_at = $1)`,
    [fireAt ?? null],
  );
  return rows.map((row) => row.ms);
}

/** Of one scheduled execution: the milliseconds from its fire time until its ledger row was written, and until it started. */
export type StartDelay = { readonly writtenMs: number; readonly startedMs: number };

/** Those of the executions whose fire time is at or behind an instant. */
export async function listStartDelaysSince(client: pg.Client, since: Date): Promise<readonly StartDelay[]> {
  const { rows } = await client.query<StartDelay>(
    `select (extract(epoch from created_at - fire_at) * 1000)::float8 as "writtenMs",
            (extract(epoch from started_at - fire_at) * 1000)::float8 as "startedMs"
       from carillon.execution where cause = 'SCHEDULE' and started_at is not null and fire_at >= $1`,
    [since],
  );
  return rows;
}

/** Executions by second from the first start to the last finish of all that are in the ledger. */
export async function findRate(
  client: pg.Client,
): Promise<{ readonly count: number; readonly rate: number }> {
  const { rows } = await client.query<{ count: number; seconds: number }>(
    `select count(*)::integer as count,
            extract(epoch from max(finished_at) - min(started_at))::float8 as seconds
       from carillon.execution where state = 'SUCCEEDED'`,
  );
  const { count, seconds } = rows[0]!;
  return { count, rate: count / seconds };
}

/** Asks every 10 ms until an SQL condition holds, in which $1 is the value. */
export async function awaitTrue(client: pg.Client, condition: string, value: number): Promise<void> {
  const limitMs = nowMs() + 120_000;
  for (;;) {
    const { rows } = await client.query<{ holds: boolean }>({
      name: condition.slice(0, 60),
      text: `select ${condition} as holds`,
      values: [value],
    });
    if (rows[0]!.holds) return;
    ensure(nowMs() < limitMs, `after two minutes still not: ${condition}`);
    await sleep(10);
  }
}
