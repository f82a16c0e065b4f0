/** No-op executions per second through one worker in a process of its own, with a queue that is full from the start. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import type { Bench } from '../bench.ts';
import { addJobs, connect } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { awaitAllSucceeded, findRate } from '../support/ledger.ts';
import { type Figure, whole } from '../support/statistics.ts';
import { triggerFrom } from '../support/trigger-client.ts';

const goal = 20_000;
const executions = 100_000;
const capacity = 2_000;
const rounds = 2;

const workerPath = join(import.meta.dirname, '..', 'support', 'noop-worker.ts');

export async function measureWorkers({ database, progress }: Bench): Promise<readonly Figure[]> {
  let best = 0;
  for (let round = 0; round < rounds; round++) {
    const url = await database.create('bench_workers');
    const ledger = await database.connect(url);
    const queueing = await CarillonProcess.start(url, { CARILLON_ROLES: 'api' });
    const client = connect(queueing.grpc);
    const ids = await addJobs(client, 100, (n) => ({
      key: { name: `job-${n}` },
      target: { kind: { case: 'worker', value: { queue: 'bench' } } },
      overlap: OverlapPolicy.ALLOW,
    }));
    client.close();
    const { calls } = await triggerFrom(queueing.grpc, ids, { maxCalls: executions });
    await queueing.stop();
    await ledger.query('checkpoint');
    const carillon = await CarillonProcess.start(url);
    const worker = spawn(process.execPath, [workerPath, carillon.grpc, 'bench', String(capacity)], {
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
    const { rate } = await findRate(ledger);
    progress(`${whole(rate)} executions/s`);
    best = Math.max(best, rate);
  }
  return [
    {
      name: 'no-op executions/s through one worker',
      value: whole(best),
      goal: `≥ ${whole(goal)}`,
      reached: best >= goal,
      note: `${whole(executions)} waiting, capacity ${whole(capacity)}`,
    },
  ];
}
