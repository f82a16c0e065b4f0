/** How late fires arrive at 200 fires a second, spread evenly: 200 jobs, one every second each. */

import { setTimeout as sleep } from 'node:timers/promises';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bench } from '../bench.ts';
import { addJobs, connect } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { awaitAllSucceeded, listStartDelays } from '../support/ledger.ts';
import { ensure, type Figure, inMs, nowMs, quantile } from '../support/statistics.ts';

const jobs = 200;
const goals = { p50: 10, p99: 100 };
/** The first runs of every job are not counted: compilation of the code, first connections. */
const warmRuns = 3;
const runs = 13;

export async function measureLateness({ database, callee, progress }: Bench): Promise<readonly Figure[]> {
  const url = await database.create('bench_lateness');
  const ledger = await database.connect(url);
  const carillon = await CarillonProcess.start(url);
  try {
    const client = connect(carillon.grpc);
    const startMs = Math.ceil(nowMs() / 1_000) * 1_000 + 3_000;
    await addJobs(client, jobs, (n) => {
      const anchorMs = startMs + (n * 1_000) / jobs;
      return {
        key: { name: `job-${n}` },
        target: { kind: { case: 'http', value: { url: `${callee.url}/` } } },
        schedules: [
          {
            startTime: timestampFromMs(anchorMs),
            repeatCount: runs,
            kind: {
              case: 'interval',
              value: { every: durationFromMs(1_000), anchorTime: timestampFromMs(anchorMs) },
            },
          },
        ],
      };
    });
    client.close();
    ensure(nowMs() < startMs, 'adding the jobs took longer than planned');
    await sleep(startMs + warmRuns * 1_000 - nowMs());
    await callee.takeLateness();
    await ledger.query('select 1');
    await sleep(startMs + runs * 1_000 + 500 - nowMs());
    const arrivals = await callee.takeLateness();
    const { overlapped } = await awaitAllSucceeded(ledger, jobs * runs);
    ensure(overlapped === 0, 'fires were skipped by overlap');
    ensure(arrivals.length > jobs * (runs - warmRuns - 1), 'arrivals are missing at the callee');
    const starts = (await listStartDelays(ledger)).slice(jobs * warmRuns);
    const [p50, p99] = [quantile(arrivals, 0.5), quantile(arrivals, 0.99)];
    const told = `started, by the ledger: p50 ${inMs(quantile(starts, 0.5))}, p99 ${inMs(quantile(starts, 0.99))}`;
    progress(`arrival: p50 ${inMs(p50)}, p99 ${inMs(p99)}; ${told}`);
    return [
      {
        name: 'lateness at 200 fires/s, p50',
        value: inMs(p50),
        goal: `≤ ${goals.p50} ms`,
        reached: p50 <= goals.p50,
        note: 'fire time to arrival at the callee',
      },
      {
        name: 'lateness at 200 fires/s, p99',
        value: inMs(p99),
        goal: `≤ ${goals.p99} ms`,
        reached: p99 <= goals.p99,
        note: told,
      },
    ];
  } finally {
    await carillon.stop();
  }
}
