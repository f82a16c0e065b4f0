/** No-op executions that wait, drained by Carillon through one worker; both have a process of their own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import type { BenchDatabase } from './bench-database.ts';
import { addJobs, connect, limitQueue } from './calls.ts';
import { CarillonProcess } from './carillon.ts';
import { settleLoaded } from './drain-process.ts';
import { awaitAllSucceeded, findRate } from './ledger.ts';
import { ensure } from './statistics.ts';
import { triggerFrom } from './trigger-client.ts';

const workerPath = join(import.meta.dirname, 'noop-worker.ts');

/** How many executions the worker holds at once. */
export const workerCapacity = 2_000;

/**
 * Executions a second, by the ledger; fails when one did not succeed, or not at
 * its first attempt. With `maxRunning` the queue has a limit, which every claim
 * must keep.
 */
export async function drainThroughWorker(
  database: BenchDatabase,
  executions: number,
  maxRunning?: number,
): Promise<number> {
  const name = 'bench_workers';
  const url = await database.create(name);
  const ledger = await database.connect(url);
  const queueing = await CarillonProcess.start(url, { CARILLON_ROLES: 'api' });
  const client = connect(queueing.grpc);
  const ids = await addJobs(client, 100, (n) => ({
    key: { name: `job-${n}` },
    target: { kind: { case: 'worker', value: { queue: 'bench' } } },
    overlap: OverlapPolicy.ALLOW,
  }));
  if (maxRunning !== undefined) await limitQueue(client, 'bench', maxRunning);
  client.close();
  const { calls } = await triggerFrom(queueing.grpc, ids, { maxCalls: executions });
  await queueing.stop();
  await settleLoaded(ledger);
  const carillon = await CarillonProcess.start(url);
  const worker = spawn(process.execPath, [workerPath, carillon.grpc, 'bench', String(workerCapacity)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    await awaitAllSucceeded(ledger, calls);
  } finally {
    const ended = once(worker, 'exit');
    worker.kill('SIGTERM');
    await ended;
    await carillon.stop();
  }
  const { rows } = await ledger.query<{ attempts: number }>(
    'select count(*)::integer as attempts from carillon.attempt',
  );
  ensure(rows[0]!.attempts === calls, `${rows[0]!.attempts} attempts for ${calls} executions`);
  const { rate } = await findRate(ledger);
  await database.drop(name);
  return rate;
}
