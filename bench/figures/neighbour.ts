/**
 * How much later a tenant's executions start when another one is at its limits. The quiet namespace fires 100 times a
 * second, spread evenly; the busy one has 200 fires a second of its own, of which its start rate lets 50 begin, 10 at
 * once, so that its backlog grows, and calls Trigger without a pause, of which its executions_per_minute takes one a
 * second and refuses the others. Alone and beside it by turns; what counts is the median of the rounds' ratios of p99,
 * from fire time to start by the ledger.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type pg from 'pg';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import type { Bench } from '../bench.ts';
import { addJobs, call, callRaw, connect, pathOf, triggerOf } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { ensure, type Figure, inMs, nowMs, quantile, whole } from '../support/statistics.ts';

const goalRatio = 2;
const quietJobs = 100;
const busyJobs = 200;
/** Trigger calls of the busy tenant that are in flight. */
const inFlight = 4;
const rounds = 5;
/** What is not counted at the beginning of each part, and what is. */
const settleMs = 3_000;
const countedMs = 10_000;

export async function measureNeighbour({ database, callee, progress }: Bench): Promise<readonly Figure[]> {
  const url = await database.create('bench_neighbour');
  const ledger = await database.connect(url);
  const carillon = await CarillonProcess.start(url);
  const client = connect(carillon.grpc);
  try {
    const startRate = { count: 50, period: durationFromMs(1_000) };
    const limits = { maxRunning: 10, startRate, executionsPerMinute: 60 };
    await call(client, AdminService.method.createNamespace, { namespace: { name: 'busy', limits } });
    const draftOf = (namespace: string, count: number, path: string) => (n: number) => {
      const anchorTime = timestampFromMs(Math.floor(nowMs() / 1_000) * 1_000 + (n * 1_000) / count);
      const every = { case: 'interval' as const, value: { every: durationFromMs(1_000), anchorTime } };
      return {
        key: { namespace, name: `job-${n}` },
        overlap: OverlapPolicy.ALLOW,
        target: { kind: { case: 'http' as const, value: { url: `${callee.url}${path}` } } },
        schedules: [{ kind: every }],
        startPaused: namespace === 'busy',
      };
    };
    await addJobs(client, quietJobs, draftOf('quiet', quietJobs, '/'));
    const ids = await addJobs(client, busyJobs, draftOf('busy', busyJobs, '/line'));
    const selector = { namespace: 'busy' };
    const choice = { case: 'selector' as const, value: selector };
    const lateness = async (): Promise<readonly number[]> => {
      await sleep(settleMs);
      const from = new Date();
      await sleep(countedMs);
      const until = new Date();
      await sleep(1_000);
      return listLateness(ledger, from, until);
    };
    const ratios: number[] = [];
    const found = { alone: [] as number[], beside: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      const alone = await lateness();
      await call(client, JobService.method.resume, { jobs: choice });
      const flood = floodOf(client, ids[0]!);
      const beside = await lateness();
      const calls = await flood.stop();
      const { rows } = await ledger.query<{ open: number }>(
        'select count(*)::integer as open from carillon.open_execution',
      );
      await call(client, JobService.method.pause, { jobs: choice, reason: 'bench' });
      await call(client, ExecutionService.method.cancel, {
        executions: { case: 'bySelector', value: selector },
        reason: 'bench',
      });
      const [p99Alone, p99Beside] = [quantile(alone, 0.99), quantile(beside, 0.99)];
      ratios.push(p99Beside / p99Alone);
      found.alone.push(p99Alone);
      found.beside.push(p99Beside);
      const p50 = `p50 ${inMs(quantile(alone, 0.5))} and ${inMs(quantile(beside, 0.5))}`;
      const rate = (calls / (settleMs + countedMs + 1_000)) * 1_000;
      progress(
        `p99 ${inMs(p99Alone)} alone, ${inMs(p99Beside)} beside, ${p50}; ${whole(rate)} Trigger calls/s, ${rows[0]!.open} open`,
      );
    }
    const ratio = quantile(ratios, 0.5);
    return [
      {
        name: 'p99 lateness beside a busy namespace, ratio',
        value: ratio.toFixed(2),
        goal: `< ${goalRatio}`,
        reached: ratio < goalRatio,
        note: `ratios ${ratios.map((each) => each.toFixed(2)).join(', ')}; p99 alone ${inMs(quantile(found.alone, 0.5))}, beside ${inMs(quantile(found.beside, 0.5))} (medians)`,
      },
    ];
  } finally {
    client.close();
    await carillon.stop();
  }
}

/** Calls Trigger without a pause until it is stopped; tells how often. */
function floodOf(
  client: ReturnType<typeof connect>,
  jobId: bigint,
): { readonly stop: () => Promise<number> } {
  const bytes = triggerOf(jobId);
  const resourceExhausted = 8;
  let [calls, isOver] = [0, false];
  const keepCalling = async (): Promise<void> => {
    while (!isOver) {
      await callRaw(client, pathOf(JobService.method.trigger), bytes).catch((error: { code?: number }) => {
        ensure(error.code === resourceExhausted, `Trigger failed with ${error.code}`);
      });
      calls++;
    }
  };
  const running = Promise.all(Array.from({ length: inFlight }, keepCalling));
  return {
    stop: async () => {
      isOver = true;
      await running;
      return calls;
    },
  };
}

/** How late the quiet namespace's executions of a span started, in milliseconds. */
async function listLateness(ledger: pg.Client, from: Date, until: Date): Promise<readonly number[]> {
  const { rows } = await ledger.query<{ ms: number | null }>(
    `select (extract(epoch from e.started_at - e.fire_at) * 1000)::float8 as ms
       from carillon.execution e join carillon.job j on j.id = e.job_id
      where j.namespace = 'quiet' and e.fire_at >= $1 and e.fire_at < $2`,
    [from, until],
  );
  ensure(rows.length > (quietJobs * countedMs) / 1_000 - quietJobs, `only ${rows.length} fires were counted`);
  ensure(
    rows.every(({ ms }) => ms !== null),
    'executions of the quiet namespace have not started',
  );
  return rows.map(({ ms }) => ms!);
}
