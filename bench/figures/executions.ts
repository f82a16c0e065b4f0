/** Executions per second from due to finished, over HTTP, with a queue that is full from the start. */
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import type { Bench } from '../bench.ts';
import { addJobs, connect } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { awaitAllSucceeded, findRate } from '../support/ledger.ts';
import { type Figure, whole } from '../support/statistics.ts';
import { triggerFrom } from '../support/trigger-client.ts';

const goal = 5_000;
const executions = 40_000;
const rounds = 2;

export async function measureExecutions({ database, callee, progress }: Bench): Promise<readonly Figure[]> {
  let best = 0;
  for (let round = 0; round < rounds; round++) {
    const url = await database.create('bench_executions');
    const ledger = await database.connect(url);
    const queueing = await CarillonProcess.start(url, { CARILLON_ROLES: 'api' });
    const client = connect(queueing.grpc);
    const ids = await addJobs(client, 100, (n) => ({
      key: { name: `job-${n}` },
      target: { kind: { case: 'http', value: { url: `${callee.url}/` } } },
      overlap: OverlapPolicy.ALLOW,
    }));
    client.close();
    const { calls } = await triggerFrom(queueing.grpc, ids, { maxCalls: executions });
    await queueing.stop();
    await ledger.query('checkpoint');
    const carillon = await CarillonProcess.start(url);
    try {
      await awaitAllSucceeded(ledger, calls);
    } finally {
      await carillon.stop();
    }
    const { rate } = await findRate(ledger);
    progress(`${whole(rate)} executions/s`);
    best = Math.max(best, rate);
  }
  return [
    {
      name: 'executions/s, queue to finished',
      value: whole(best),
      goal: `≥ ${whole(goal)}`,
      reached: best >= goal,
      note: `${whole(executions)} waiting, 100 jobs, process just started`,
    },
  ];
}
