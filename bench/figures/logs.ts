/** Log lines: how soon a watcher sees the first one of an execution, and how many are stored in a second. */

import { setTimeout as sleep } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import type { Bench } from '../bench.ts';
import { addJobs, callRaw, connect, pathOf, triggerOf } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { awaitAllSucceeded } from '../support/ledger.ts';
import { ensure, type Figure, inMs, nowMs, quantile, whole } from '../support/statistics.ts';

const watched = 150;
const warm = 50;
const talkers = 20;
const linesEach = 5_000;
const rounds = 3;
const goals = { firstLineMs: 10 };

export async function measureLogs({ database, callee, progress }: Bench): Promise<readonly Figure[]> {
  const url = await database.create('bench_logs');
  const ledger = await database.connect(url);
  const carillon = await CarillonProcess.start(url);
  const client = connect(carillon.grpc);
  try {
    const paths = ['/line', `/lines/${linesEach}`];
    const [oneLine, manyLines] = await addJobs(client, paths.length, (n) => ({
      key: { name: `job-${n}` },
      target: { kind: { case: 'http', value: { url: callee.url + paths[n]! } } },
      overlap: OverlapPolicy.ALLOW,
    }));
    const trigger = (jobId: bigint): Promise<Buffer> =>
      callRaw(client, pathOf(JobService.method.trigger), triggerOf(jobId));

    const delays = await watchFirstLines(client, oneLine!, () => trigger(oneLine!));
    const counted = delays.slice(warm);
    const [p50, p99] = [quantile(counted, 0.5), quantile(counted, 0.99)];
    progress(`first line at a watcher: p50 ${inMs(p50)}, p99 ${inMs(p99)}`);

    let best = 0;
    let total = watched;
    for (let round = 0; round < rounds; round++) {
      const { rows } = await ledger.query<{ now: Date }>('select clock_timestamp() as now');
      await Promise.all(Array.from({ length: talkers }, () => trigger(manyLines!)));
      total += talkers;
      await awaitAllSucceeded(ledger, total);
      const rate = await findLineRate(ledger, rows[0]!.now);
      progress(`${whole(rate)} lines/s stored`);
      best = Math.max(best, rate);
    }
    return [
      {
        name: 'first log line at a watcher, p50',
        value: inMs(p50),
        goal: `≤ ${goals.firstLineMs} ms`,
        reached: p50 <= goals.firstLineMs,
        note: `p99 ${inMs(p99)}; callee's write to Stream message`,
      },
      {
        name: 'log lines/s stored',
        value: whole(best),
        goal: '–',
        reached: undefined,
        note: `${talkers} attempts of ${whole(linesEach)} lines at once`,
      },
    ];
  } finally {
    client.close();
    await carillon.stop();
  }
}

/** Follows a job, triggers it again and again; returns how long each first line took from the callee's write. */
async function watchFirstLines(
  client: Client,
  jobId: bigint,
  trigger: () => Promise<unknown>,
): Promise<readonly number[]> {
  const { input, output } = ExecutionService.method.stream;
  const request = create(input, {
    source: { case: 'job', value: { ref: { case: 'id', value: jobId } } },
    follow: true,
  });
  const stream = client.makeServerStreamRequest(
    `/${ExecutionService.typeName}/Stream`,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => ({ message: fromBinary(output, bytes), atMs: nowMs() }),
    Buffer.from(toBinary(input, request)),
  );
  stream.on('error', () => undefined);
  const delays: number[] = [];
  stream.on(
    'data',
    ({ message, atMs }: { message: ReturnType<typeof fromBinary<typeof output>>; atMs: number }) => {
      if (message.event.case === 'log') delays.push(atMs - Number(message.event.value.message));
    },
  );
  await sleep(500);
  for (let n = 0; n < watched; n++) {
    await trigger();
    const limitMs = nowMs() + 5_000;
    while (delays.length <= n) {
      ensure(nowMs() < limitMs, 'a log line did not reach the watcher');
      await sleep(5);
    }
    // Between the ends of the last one and the next one, as in a quiet installation.
    await sleep(60);
  }
  stream.cancel();
  return delays;
}

/** Lines by second from the first start to the last finish of the executions since an instant; none may be missing. */
async function findLineRate(ledger: Parameters<typeof awaitAllSucceeded>[0], since: Date): Promise<number> {
  const { rows } = await ledger.query<{ lines: number; seconds: number }>(
    `select (select count(*)::integer from carillon.log_entry g
              where g.execution_id in (select id from carillon.execution where created_at >= $1)) as lines,
            (select extract(epoch from max(finished_at) - min(started_at))::float8
               from carillon.execution where created_at >= $1) as seconds`,
    [since],
  );
  const { lines, seconds } = rows[0]!;
  ensure(lines === talkers * linesEach, `${lines} lines are stored and not ${talkers * linesEach}`);
  return lines / seconds;
}
