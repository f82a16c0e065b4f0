/**
 * pg-boss with no-op jobs that wait, drained in a process of its own.
 *
 * The settings are the fastest of those tried with 100,000 jobs on two cores,
 * one to five rounds each, neighbours now and then; beside each stands its rate
 * as a share of that of the settings kept:
 *
 *   fetch() and complete() by hand, two loops side by side, 10,000 jobs a batch   1
 *     one loop 0.61, three loops 0.95
 *     5,000 a batch 0.92, 2,000 a batch 0.71, 1,000 a batch 0.68, in one loop 0.44; four loops of 500 0.72
 *     20,000 a batch 0.97; 50,000 1.07, which is all jobs in two statements and was left alone
 *   complete() with jobs in place of ids, which fences it to the attempt          0.94
 *   the queue in a partition of its own                                           1.03
 *   supervision off (1,000 a batch)                                               0.98 of on
 *   work() with burstWhenBatchFull, polling every 0.5 s, two workers, 10,000      0.70 and 0.85
 *     two to four workers, 500 to 5,000 a batch, 0.51 to 0.62
 *   tables not analyzed behind the loading (1,000 a batch)                        0.84 of analyzed
 *
 * Jobs are loaded by insert(), 5,000 a call. A completed job stays in the table,
 * which is pg-boss's history; it keeps no row of the attempt.
 */
import { PgBoss } from 'pg-boss';
import type { BenchDatabase } from './bench-database.ts';
import { type Drained, type DrainOrder, drainIn, serveDrain, settleLoaded } from './drain-process.ts';
import { ensure, nowMs } from './statistics.ts';

const queue = 'bench';
const loadBatch = 5_000;
const fetchBatch = 10_000;
const loops = 2;

/** How it is set, for people. */
export const pgBossSettings = 'fetch and complete by hand, two loops, 10,000 a batch; completed jobs kept';

/** Jobs a second; fails when one was not run, or twice. */
export async function drainPgBoss(database: BenchDatabase, jobs: number): Promise<number> {
  const name = 'bench_pg_boss';
  const url = await database.create(name);
  const boss = await startBoss(url);
  await boss.createQueue(queue);
  for (let loaded = 0; loaded < jobs; loaded += loadBatch) {
    await boss.insert(
      queue,
      Array.from({ length: Math.min(loadBatch, jobs - loaded) }, () => ({})),
    );
  }
  await boss.stop({ graceful: false });
  const client = await database.connect(url);
  await settleLoaded(client);
  const { handled, tookMs } = await drainIn(import.meta.filename, { url, jobs });
  const { rows } = await client.query<{ count: number }>(
    `select count(*)::integer as count from pgboss.job
      where name = $1 and state = 'completed' and retry_count = 0 and completed_on is not null`,
    [queue],
  );
  ensure(rows[0]!.count === jobs, `pg-boss completed ${rows[0]!.count} of ${jobs} jobs`);
  // As many calls as jobs, and each job has been through one: none ran twice.
  ensure(handled === jobs, `pg-boss's handler was called ${handled} times for ${jobs} jobs`);
  await database.drop(name);
  return (jobs / tookMs) * 1_000;
}

async function startBoss(url: string): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString: url, max: loops + 2, schedule: false });
  boss.on('error', (error) => {
    throw error;
  });
  await boss.start();
  return boss;
}

async function drain({ url }: DrainOrder): Promise<Drained> {
  const boss = await startBoss(url);
  let handled = 0;
  const handle = (): void => void handled++;
  const beganMs = nowMs();
  const work = async (): Promise<void> => {
    for (;;) {
      const jobs = await boss.fetch(queue, { batchSize: fetchBatch });
      if (jobs.length === 0) return;
      for (let n = 0; n < jobs.length; n++) handle();
      await boss.complete(
        queue,
        jobs.map((job) => job.id),
      );
    }
  };
  await Promise.all(Array.from({ length: loops }, work));
  const tookMs = nowMs() - beganMs;
  await boss.stop({ graceful: false });
  return { handled, tookMs };
}

if (process.argv[2] === 'drain' && process.argv[1] === import.meta.filename) await serveDrain(drain);
