/**
 * A million active jobs: what they cost a leader that has nothing to do, and
 * what happens when many of them are due in one second.
 *
 *   BENCH_JOBS=100000   another number of jobs; a tenth of them is due at once, up to 100,000
 *
 * The jobs go straight into the tables, as Add would leave them: calling Add a
 * million times would measure Add. The figure fails when the leader's search
 * for due rows reads others.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { migrate } from '../../src/store/migrate.ts';
import type { Bench } from '../bench.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { explainDue } from '../support/due-plan.ts';
import { loadJobs, makeDue } from '../support/job-loader.ts';
import { awaitTrue } from '../support/ledger.ts';
import { ManyJobs, zones } from '../support/many-jobs.ts';
import { readCpuMs, readRss } from '../support/process-use.ts';
import { measureStatements } from '../support/statement-costs.ts';
import { ensure, type Figure, inMs, nowMs, whole } from '../support/statistics.ts';
import { fireHerds, startHerds } from './million-herds.ts';

const jobs = Number(process.env.BENCH_JOBS ?? 1_000_000);
const firedAtOnce = Math.min(100_000, Math.floor(jobs / 10));
const startedAtOnce = Math.min(10_000, firedAtOnce);
/** Nothing but what is made due fires for so long. */
const quietMs = 45 * 60_000;
/** Longer than every interval at which a leader does something. */
const idleMs = 65_000;
const restMs = 15_000;
const goals = { idlePercent: 2, rssMb: 200 };

const secondsOf = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

export async function measureMillionJobs({ database, callee, progress }: Bench): Promise<readonly Figure[]> {
  ensure(Number.isInteger(jobs) && jobs >= 1_000, 'BENCH_JOBS must be a whole number from 1000 on');
  const name = 'bench_million';
  const url = await database.create(name);
  await migrate(url);
  const client = await database.connect(url);
  const { rows } = await client.query<{ id: string }>('select carillon.next_id() as id');
  const firstId = Number(rows[0]!.id);
  /** Jobs that were not taken before, spread over the whole table; good for ten times. */
  let taken = 0;
  const takeIds = (count: number): readonly number[] => {
    const step = Math.floor(jobs / count);
    const offset = taken++;
    return Array.from({ length: count }, (_, i) => firstId + i * step + (offset % step));
  };
  const figures = [...(await load(client, firstId, `${callee.url}/`, progress))];

  let carillon = await start(url, client, takeIds(1), figures, progress);
  try {
    figures.push(...(await idle(carillon.pid, client, progress)));
    figures.push(...(await statements(url, progress)));
    const { text, problems } = await explainDue(client, takeIds(Math.min(1_000, firedAtOnce)));
    for (const line of text) progress(line);
    ensure(
      problems.length === 0,
      `the search for due jobs reads more than it should:\n${problems.join('\n')}`,
    );
    figures.push(await startHerds(client, { atOnce: startedAtOnce, takeIds, progress }));
    figures.push(await restedMemory(carillon.pid));
    await carillon.stop();
    carillon = await CarillonProcess.start(url, { CARILLON_ROLES: 'api,scheduler' });
    figures.push(await fireHerds(carillon.pid, client, { atOnce: firedAtOnce, takeIds, progress }));
  } finally {
    await carillon.stop();
  }
  await database.drop(name);
  return figures;
}

type Progress = Bench['progress'];

async function load(
  client: pg.Client,
  firstId: number,
  targetUrl: string,
  progress: Progress,
): Promise<readonly Figure[]> {
  const drawn = new ManyJobs(firstId, Math.floor(nowMs() / 1_000) * 1_000, quietMs);
  const beganMs = nowMs();
  const every = Math.max(10_000, jobs / 10);
  const { drawMs } = await loadJobs(
    client,
    jobs,
    (place) => drawn.draw(place),
    targetUrl,
    (loaded) => {
      if (loaded > 0 && loaded % every === 0)
        progress(`${whole(loaded)} jobs loaded after ${secondsOf(nowMs() - beganMs)}`);
    },
  );
  const tookMs = nowMs() - beganMs;
  const vacuumFromMs = nowMs();
  // What autovacuum would do in the minutes behind such a load.
  await client.query('vacuum (analyze) carillon.job, carillon.timer');
  await client.query('checkpoint');
  progress(`vacuum, analyze and checkpoint took ${secondsOf(nowMs() - vacuumFromMs)}`);
  const { rows } = await client.query<{ job: string; timer: string }>(
    `select pg_size_pretty(pg_total_relation_size('carillon.job')) as job,
            pg_size_pretty(pg_total_relation_size('carillon.timer')) as timer`,
  );
  progress(`with indexes: job ${rows[0]!.job}, timer ${rows[0]!.timer}`);
  return [
    {
      name: `${whole(jobs)} jobs loaded, jobs/s`,
      value: whole(jobs / (tookMs / 1_000)),
      goal: '–',
      reached: undefined,
      note:
        `${secondsOf(tookMs)}, ${secondsOf(drawMs)} of it compiling and computing next fire times; ` +
        `${whole(drawn.expressions)} cron expressions, ${zones.length} zones`,
    },
  ];
}

/** Starts Carillon with a job that has just become due, and waits for its fire. */
async function start(
  url: string,
  client: pg.Client,
  ids: readonly number[],
  figures: Figure[],
  progress: Progress,
): Promise<CarillonProcess> {
  await makeDue(client, ids, Math.floor(nowMs() / 1_000) * 1_000);
  const beganMs = nowMs();
  const carillon = await CarillonProcess.start(url);
  const servesMs = nowMs() - beganMs;
  await awaitTrue(client, 'exists (select 1 from carillon.execution where job_id = $1)', ids[0]!);
  const firesMs = nowMs() - beganMs;
  progress(`up after ${inMs(servesMs)}, first fire in the ledger after ${inMs(firesMs)}`);
  figures.push({
    name: 'start of the process until it answers calls',
    value: inMs(servesMs),
    goal: '–',
    reached: undefined,
    note: `until the ledger row of a job that is due: ${inMs(firesMs)}`,
  });
  return carillon;
}

async function idle(pid: number, client: pg.Client, progress: Progress): Promise<readonly Figure[]> {
  await sleep(5_000);
  const before = await readUse(pid, client);
  const fromMs = nowMs();
  while (nowMs() - fromMs < idleMs) {
    await sleep(Math.min(13_000, fromMs + idleMs - nowMs()));
    progress(`idle for ${secondsOf(nowMs() - fromMs)}`);
  }
  const after = await readUse(pid, client);
  const tookMs = nowMs() - fromMs;
  ensure(after.executions === before.executions, 'something fired although nothing should be due');
  const percent = (100 * (after.cpuMs - before.cpuMs)) / tookMs;
  let backendsMs = 0;
  for (const [backend, cpuMs] of after.backends) backendsMs += cpuMs - (before.backends.get(backend) ?? 0);
  const rssMb = (await readRss(pid)) / 1e6;
  const backends = `${((100 * backendsMs) / tookMs).toFixed(1)} %`;
  progress(`idle: ${percent.toFixed(1)} % of a core, its database sessions ${backends}, ${whole(rssMb)} MB`);
  return [
    {
      name: 'idle leader, share of a core',
      value: `${percent.toFixed(1)} %`,
      goal: `< ${goals.idlePercent} %`,
      reached: percent < goals.idlePercent,
      note: `over ${secondsOf(tookMs)}; its sessions in Postgres take another ${backends}`,
    },
    {
      name: 'idle leader, memory (RSS)',
      value: `${whole(rssMb)} MB`,
      goal: `< ${goals.rssMb} MB`,
      reached: rssMb < goals.rssMb,
      note: 'since its start it has fired one job',
    },
  ];
}

/** What Carillon and its sessions have used so far, and how many executions there are. */
async function readUse(
  pid: number,
  client: pg.Client,
): Promise<{
  readonly cpuMs: number;
  readonly backends: ReadonlyMap<number, number>;
  readonly executions: number;
}> {
  const { rows } = await client.query<{ pids: number[]; executions: string }>(
    `select array(select pid from pg_stat_activity where application_name like 'carillon%') as pids,
            (select count(*) from carillon.execution) as executions`,
  );
  const { pids, executions } = rows[0]!;
  const backends = new Map<number, number>();
  for (const backend of pids) backends.set(backend, (await readCpuMs(backend)) ?? 0);
  const cpuMs = await readCpuMs(pid);
  ensure(cpuMs !== undefined, 'carillon has ended');
  return { cpuMs, backends, executions: Number(executions) };
}

async function statements(url: string, progress: Progress): Promise<readonly Figure[]> {
  const costs = await measureStatements(url);
  progress(
    `store, medians: lock_due ${inFineMs(costs.lockDueMs)}, next_fire ${inFineMs(costs.findWaitMs)}, ` +
      `sweep ${inFineMs(costs.sweepMs)}, walk ${inMs(costs.walkMs)}, List ${inMs(costs.listMs)}, Count ${inMs(costs.countMs)}`,
  );
  const common = { goal: '–', reached: undefined };
  return [
    {
      ...common,
      name: 'tick with nothing due, median',
      value: inFineMs(costs.tickMs),
      note: `of ${whole(costs.ticks)}; lock_due ${inFineMs(costs.lockDueMs)}, next_fire ${inFineMs(costs.findWaitMs)}`,
    },
    {
      ...common,
      name: 'search for jobs to be continued, once a second',
      value: inFineMs(costs.sweepMs),
      note: '',
    },
    {
      ...common,
      name: 'walk for other zone data, once in a term',
      value: inMs(costs.walkMs),
      note: 'with none to be renewed',
    },
    {
      ...common,
      name: 'Count of all jobs',
      value: inMs(costs.countMs),
      note: `first page of List ${inMs(costs.listMs)}`,
    },
  ];
}

/** The memory of a leader that has fired and delivered and has nothing to do any more. */
async function restedMemory(pid: number): Promise<Figure> {
  await sleep(restMs);
  const rssMb = (await readRss(pid)) / 1e6;
  return {
    name: 'leader behind these fires, memory (RSS)',
    value: `${whole(rssMb)} MB`,
    goal: `< ${goals.rssMb} MB`,
    reached: rssMb < goals.rssMb,
    note: `${restMs / 1_000} s later; it keeps the definitions of the 20,000 jobs that it met last`,
  };
}

/** Milliseconds with two decimals. */
const inFineMs = (value: number): string => `${value.toFixed(2)} ms`;
