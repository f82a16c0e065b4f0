/**
 * graphile-worker with no-op jobs that wait, drained in a process of its own.
 *
 * The settings are the fastest of those tried with 100,000 jobs on two cores,
 * one to five rounds each, neighbours now and then; beside each stands its rate
 * as a share of that of the settings kept:
 *
 *   two runners, each with 100 concurrent jobs, a local queue of 5,000, ends in
 *   batches every 10 ms, prepared statements                                      1
 *     local queues of 3,000 0.94, of 2,000 0.9, of 1,000 0.72, of 500 0.61; of 10,000 about 0.9, of 20,000 0.75
 *     three runners 0.88 to 0.94; 24 concurrent jobs 0.71, 10 less, 1,000 no better than 100
 *     ends every 0 ms as good as every 10, every 100 ms 0.84; three connections in place of ten about 0.5
 *   one runner: local queue of 5,000 0.79, of 2,000 0.70, with ends every 250 ms 0.64
 *   one runner, 24 concurrent jobs, neither local queue nor batches of ends       0.06
 *   tables not analyzed behind the loading (one runner)                           0.71 of analyzed
 *
 * Jobs are loaded by addJobs(), 5,000 a call. A job that has succeeded is
 * deleted: graphile-worker keeps no history. Its log line for each success is
 * switched off.
 */
import { EventEmitter } from 'node:events';
import { Logger, makeWorkerUtils, type Runner, run, type WorkerEvents } from 'graphile-worker';
import pg from 'pg';
import type { BenchDatabase } from './bench-database.ts';
import { type Drained, type DrainOrder, drainIn, serveDrain, settleLoaded } from './drain-process.ts';
import { awaitTrue } from './ledger.ts';
import { ensure, nowMs } from './statistics.ts';

const loadBatch = 5_000;
const runners = 2;
const settings = {
  concurrentJobs: 100,
  maxPoolSize: 10,
  preparedStatements: true,
  localQueue: { size: 5_000 },
  completeJobBatchDelay: 10,
  failJobBatchDelay: 10,
} as const;

const silent = new Logger(() => () => undefined);
const nothingLeft = 'not exists (select 1 from graphile_worker._private_jobs where $1::integer is not null)';

/** How it is set, for people. */
export const graphileWorkerSettings =
  'two runners, local queues of 5,000, ends in batches; deletes jobs that succeeded';

/** Jobs a second; fails when one was not run, or twice. */
export async function drainGraphileWorker(database: BenchDatabase, jobs: number): Promise<number> {
  const name = 'bench_graphile_worker';
  const url = await database.create(name);
  const tools = await makeWorkerUtils({ connectionString: url, logger: silent });
  await tools.migrate();
  for (let loaded = 0; loaded < jobs; loaded += loadBatch) {
    const length = Math.min(loadBatch, jobs - loaded);
    await tools.addJobs(Array.from({ length }, () => ({ identifier: 'noop', payload: {} })));
  }
  await tools.release();
  const client = await database.connect(url);
  await settleLoaded(client);
  const { rows } = await client.query<{ count: number }>(
    'select count(*)::integer as count from graphile_worker._private_jobs',
  );
  ensure(rows[0]!.count === jobs, `graphile-worker holds ${rows[0]!.count} of ${jobs} jobs`);
  const { handled, tookMs } = await drainIn(import.meta.filename, { url, jobs }, { NO_LOG_SUCCESS: '1' });
  // A job is deleted when it has succeeded only. As many calls as jobs: none ran twice.
  await awaitTrue(client, nothingLeft, 0);
  ensure(handled === jobs, `graphile-worker's handler was called ${handled} times for ${jobs} jobs`);
  await database.drop(name);
  return (jobs / tookMs) * 1_000;
}

async function drain({ url, jobs }: DrainOrder): Promise<Drained> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let handled = 0;
  let beganMs = Number.POSITIVE_INFINITY;
  const allCalled = Promise.withResolvers<void>();
  const noop = (): void => {
    if (++handled === jobs) allCalled.resolve();
  };
  const begin = async (): Promise<Runner> => {
    const events: WorkerEvents = new EventEmitter();
    events.once('worker:getJob:start', () => {
      beganMs = Math.min(beganMs, nowMs());
    });
    return run({
      preset: { worker: { connectionString: url, events, logger: silent, ...settings } },
      taskList: { noop },
      noHandleSignals: true,
    });
  };
  const running = await Promise.all(Array.from({ length: runners }, begin));
  await allCalled.promise;
  // The last ends are still to be written.
  await awaitTrue(client, nothingLeft, 0);
  const tookMs = nowMs() - beganMs;
  await Promise.all(running.map((runner) => runner.stop()));
  await client.end();
  return { handled, tookMs };
}

if (process.argv[2] === 'drain' && process.argv[1] === import.meta.filename) await serveDrain(drain);
