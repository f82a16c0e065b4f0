/**
 * How late attempts begin through a worker in a process of its own, at 500 fires
 * a second, spread evenly: 500 jobs, one every second each, 2 ms apart. History
 * is kept and every attempt writes a log line.
 *
 * Two instants are taken of the same fires: the start in the ledger, which the
 * database's clock says when it claims the execution, and the call of the handler
 * at the worker, by the system's clock, which on one machine is the same. Printed
 * beside them is when the ledger row was written, in the transaction that fires.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bench } from '../bench.ts';
import { addJobs, connect } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { awaitAllSucceeded, listStartDelaysSince } from '../support/ledger.ts';
import { NotingWorker } from '../support/noting-worker.ts';
import { ensure, type Figure, inMs, nowMs, quantile } from '../support/statistics.ts';

const jobs = 500;
const goalMs = 5;
const capacity = 100;
/** The first runs of every job are not counted: compilation of the code, first connections. */
const warmRuns = 5;
const runs = 40;
/** How long adding the jobs may take. */
const addMs = 5_000;

export async function measureWorkerLateness({ database, progress }: Bench): Promise<readonly Figure[]> {
  const url = await database.create('bench_worker_lateness');
  const ledger = await database.connect(url);
  const carillon = await CarillonProcess.start(url);
  const worker = await NotingWorker.start(carillon.grpc, 'bench', capacity);
  try {
    const client = connect(carillon.grpc);
    const startMs = Math.ceil((nowMs() + addMs) / 1_000) * 1_000;
    await addJobs(client, jobs, (n) => {
      const anchorTime = timestampFromMs(startMs + (n * 1_000) / jobs);
      return {
        key: { name: `job-${n}` },
        target: { kind: { case: 'worker', value: { queue: 'bench' } } },
        schedules: [
          {
            startTime: anchorTime,
            repeatCount: runs,
            kind: { case: 'interval', value: { every: durationFromMs(1_000), anchorTime } },
          },
        ],
      };
    });
    client.close();
    ensure(nowMs() < startMs, 'adding the jobs took longer than planned');
    const countedMs = startMs + warmRuns * 1_000;
    await sleep(countedMs - nowMs());
    await worker.takeLateness();
    await sleep(startMs + runs * 1_000 + 500 - nowMs());
    const calls = await worker.takeLateness();
    const { overlapped } = await awaitAllSucceeded(ledger, jobs * runs);
    ensure(overlapped === 0, 'fires were skipped by overlap');
    ensure(calls.length > jobs * (runs - warmRuns - 1), 'attempts are missing at the worker');
    const { rows } = await ledger.query<{ lines: number }>(
      'select count(*)::integer as lines from carillon.log_entry',
    );
    ensure(rows[0]!.lines === jobs * runs, `${rows[0]!.lines} log lines of ${jobs * runs} executions`);
    const delays = await listStartDelaysSince(ledger, new Date(countedMs));
    ensure(delays.length === jobs * (runs - warmRuns), `${delays.length} starts in the ledger`);
    const starts = delays.map(({ startedMs }) => startedMs);
    progress(`row written, by the ledger: ${told(delays.map(({ writtenMs }) => writtenMs))}`);
    progress(`started, by the ledger: ${told(starts)}`);
    progress(`handler called at the worker: ${told(calls)}`);
    const [p50, atWorker] = [quantile(starts, 0.5), quantile(calls, 0.5)];
    return [
      {
        name: 'worker lateness at 500 fires/s, started, p50',
        value: inMs(p50),
        goal: `≤ ${goalMs} ms`,
        reached: p50 <= goalMs,
        note: `by the ledger: ${told(starts)}`,
      },
      {
        name: 'worker lateness at 500 fires/s, at worker, p50',
        value: inMs(atWorker),
        goal: `≤ ${goalMs} ms`,
        reached: atWorker <= goalMs,
        note: `fire time to the call of the handler: ${told(calls)}`,
      },
    ];
  } finally {
    await worker.stop();
    await carillon.stop();
  }
}

/** The spread of lateness in words. */
function told(lateness: readonly number[]): string {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => inMs(quantile(lateness, share)));
  return `p50 ${p50}, p95 ${p95}, p99 ${p99}, most ${inMs(Math.max(...lateness))}`;
}
