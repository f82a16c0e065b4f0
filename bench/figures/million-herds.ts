/** Some of many jobs due in one second: how long until the last of them has started, or fired. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Bench } from '../bench.ts';
import { makeDue } from '../support/job-loader.ts';
import { awaitAllSucceeded, awaitTrue, listStartDelays } from '../support/ledger.ts';
import { readCpuMs } from '../support/process-use.ts';
import { ensure, type Figure, inMs, nowMs, quantile, whole } from '../support/statistics.ts';

/** What the rounds are made with; every round takes other jobs. */
export type Herds = {
  readonly atOnce: number;
  readonly takeIds: (count: number) => readonly number[];
  readonly progress: Bench['progress'];
};

const rounds = 3;
const goalMs = 1_000;

/** Some jobs due in one second, delivered: how long until the last one has started. */
export async function startHerds(client: pg.Client, { atOnce, takeIds, progress }: Herds): Promise<Figure> {
  const found: { readonly lastMs: number; readonly p50: number }[] = [];
  for (let round = 1; round <= rounds; round++) {
    const atMs = await prepareHerd(client, takeIds(atOnce));
    await awaitFired(client, atMs);
    // And the job that fired at the start.
    await awaitAllSucceeded(client, 1 + round * atOnce);
    const delays = await listStartDelays(client, new Date(atMs));
    ensure(delays.length === atOnce, `${delays.length} of ${atOnce} jobs started`);
    const lastMs = Math.max(...delays);
    found.push({ lastMs, p50: quantile(delays, 0.5) });
    progress(`${whole(atOnce)} due at once: last start after ${inMs(lastMs)}`);
  }
  const best = found.reduce((a, b) => (b.lastMs < a.lastMs ? b : a));
  return {
    name: `${whole(atOnce)} of them due at once, last start`,
    value: inMs(best.lastMs),
    goal: `≤ ${whole(goalMs)} ms`,
    reached: best.lastMs <= goalMs,
    note: `rounds ${found.map(({ lastMs }) => inMs(lastMs)).join(', ')}; p50 ${inMs(best.p50)}; delivered to the callee`,
  };
}

/** Many jobs due in one second, with nobody to deliver: how long until the last ledger row is committed. */
export async function fireHerds(
  pid: number,
  client: pg.Client,
  { atOnce, takeIds, progress }: Herds,
): Promise<Figure> {
  const took: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const atMs = await prepareHerd(client, takeIds(atOnce));
    const cpuFromMs = (await readCpuMs(pid))!;
    const firedMs = (await awaitFired(client, atMs)) - atMs;
    const cpuMs = (await readCpuMs(pid))! - cpuFromMs;
    const { rows } = await client.query<{ count: string }>(
      `select count(*) as count from carillon.execution where fire_at = $1 and state = 'PENDING'`,
      [new Date(atMs)],
    );
    ensure(Number(rows[0]!.count) === atOnce, `${rows[0]!.count} of ${atOnce} jobs fired`);
    took.push(firedMs);
    const told = `${whole(atOnce / (firedMs / 1_000))}/s, ${whole(cpuMs)} ms of CPU in Carillon`;
    progress(`${whole(atOnce)} due at once: all in the ledger after ${inMs(firedMs)}, ${told}`);
  }
  const best = Math.min(...took);
  return {
    name: `${whole(atOnce)} of them due at once, fired`,
    value: `${whole(atOnce / (best / 1_000))}/s`,
    goal: '–',
    reached: undefined,
    note: `last ledger row committed after ${took.map(inMs).join(', ')}; CARILLON_ROLES=api,scheduler`,
  };
}

/** Makes jobs due in one second that is near; returns it. */
async function prepareHerd(client: pg.Client, ids: readonly number[]): Promise<number> {
  const atMs = Math.ceil(nowMs() / 1_000) * 1_000 + 2_000 + ids.length / 4;
  const roundedMs = Math.ceil(atMs / 1_000) * 1_000;
  await makeDue(client, ids, roundedMs);
  await client.query('checkpoint');
  ensure(nowMs() < roundedMs - 500, 'making the jobs due took longer than planned');
  return roundedMs;
}

/** Resolves when no timer stands at this instant any more: with their advance the ledger rows are committed. */
async function awaitFired(client: pg.Client, atMs: number): Promise<number> {
  await sleep(Math.max(0, atMs - nowMs()));
  await awaitTrue(
    client,
    'not exists (select 1 from carillon.timer where next_fire_at = to_timestamp($1 / 1000.0))',
    atMs,
  );
  return nowMs();
}
