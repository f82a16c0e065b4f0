/** Durable Trigger calls per second over native gRPC, 64 in flight, while what was triggered is delivered. */
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import type { Bench } from '../bench.ts';
import { addJobs, connect } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { awaitAllSucceeded, countStates } from '../support/ledger.ts';
import { type Figure, whole } from '../support/statistics.ts';
import { triggerFrom } from '../support/trigger-client.ts';

const goal = 4_000;
const roundMs = 4_000;
const rounds = 3;

type Variant = {
  readonly name: string;
  readonly jobs: number;
  readonly overlap: OverlapPolicy;
  readonly delivers: boolean;
};

const variants: readonly Variant[] = [
  { name: 'one job, ALLOW', jobs: 1, overlap: OverlapPolicy.ALLOW, delivers: true },
  { name: '1,000 jobs, SKIP', jobs: 1_000, overlap: OverlapPolicy.UNSPECIFIED, delivers: true },
  { name: 'one job, ALLOW, roles=api', jobs: 1, overlap: OverlapPolicy.ALLOW, delivers: false },
];

export async function measureTriggers(bench: Bench): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const variant of variants) figures.push(await measure(bench, variant));
  return figures;
}

async function measure({ database, callee, progress }: Bench, variant: Variant): Promise<Figure> {
  const url = await database.create('bench_triggers');
  const ledger = await database.connect(url);
  let carillon = await CarillonProcess.start(url, variant.delivers ? {} : { CARILLON_ROLES: 'api' });
  try {
    const client = connect(carillon.grpc);
    const ids = await addJobs(client, variant.jobs, (n) => ({
      key: { name: `job-${n}` },
      target: { kind: { case: 'http', value: { url: `${callee.url}/` } } },
      overlap: variant.overlap,
    }));
    client.close();
    let total = (await triggerFrom(carillon.grpc, ids, { ms: 1_500 })).calls;
    let bestRate = 0;
    let finishedMeanwhile = 0;
    for (let round = 0; round < rounds; round++) {
      const before = (await countStates(ledger)).get('SUCCEEDED') ?? 0;
      const { calls, tookMs } = await triggerFrom(carillon.grpc, ids, { ms: roundMs });
      const after = (await countStates(ledger)).get('SUCCEEDED') ?? 0;
      total += calls;
      const rate = (calls / tookMs) * 1_000;
      const delivered = ((after - before) / tookMs) * 1_000;
      progress(
        `${variant.name}: ${whole(rate)} calls/s, ${whole(delivered)} executions/s finished meanwhile`,
      );
      if (rate <= bestRate) continue;
      bestRate = rate;
      finishedMeanwhile = delivered;
    }
    if (!variant.delivers) {
      await carillon.stop();
      carillon = await CarillonProcess.start(url);
    }
    const { overlapped } = await awaitAllSucceeded(ledger, total);
    const skips = overlapped > 0 ? `, ${whole((overlapped / total) * 100)} % skipped by overlap` : '';
    return {
      name: `Trigger calls/s, ${variant.name}`,
      value: whole(bestRate),
      goal: `≥ ${whole(goal)}`,
      reached: bestRate >= goal,
      note: variant.delivers
        ? `${whole(finishedMeanwhile)} executions/s finished meanwhile${skips}`
        : 'delivered later',
    };
  } finally {
    await carillon.stop();
  }
}
