/** The client of the Trigger figure, a process of its own: a steady number of calls in flight over one connection. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { callRaw, connect, pathOf, triggerOf } from './calls.ts';

type Order = {
  readonly address: string;
  readonly jobIds: readonly string[];
  readonly inFlight: number;
  /** Ends after so long or so many calls. */
  readonly ms: number;
  readonly maxCalls: number;
};

/** How many calls were answered, and in what time. */
export type Answered = { readonly calls: number; readonly tookMs: number };

/** Calls Trigger for each job in turn from a new process; fails when one call does. */
export async function triggerFrom(
  address: string,
  jobIds: readonly bigint[],
  { inFlight = 64, ms = 600_000, maxCalls = 1e9 } = {},
): Promise<Answered> {
  const child = fork(import.meta.filename, ['call']);
  const exited = once(child, 'exit');
  const answered = once(child, 'message');
  child.send({ address, jobIds: jobIds.map(String), inFlight, ms, maxCalls } satisfies Order);
  const result = await Promise.race([answered, exited]);
  if (typeof result[0] !== 'object' || result[0] === null) throw new Error('a Trigger failed, see above');
  await exited;
  return result[0] as Answered;
}

async function call({ address, jobIds, inFlight, ms, maxCalls }: Order): Promise<Answered> {
  const client = connect(address);
  const path = pathOf(JobService.method.trigger);
  const requests = jobIds.map((id) => triggerOf(BigInt(id)));
  const startedMs = performance.now();
  let sent = 0;
  let calls = 0;
  const keepCalling = async (): Promise<void> => {
    while (sent < maxCalls && performance.now() - startedMs < ms) {
      await callRaw(client, path, requests[sent++ % requests.length]!);
      calls++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, keepCalling));
  const tookMs = performance.now() - startedMs;
  client.close();
  return { calls, tookMs };
}

if (process.argv[2] === 'call' && process.argv[1] === import.meta.filename) {
  const [order] = (await once(process, 'message')) as [Order];
  process.send?.(await call(order), () => process.disconnect());
}
