/**
 * Carillon in ten seconds: `npm run demo`.
 *
 * Starts an instance with an empty database of its own and a callee, adds a job
 * that fires every two seconds, and prints what the live stream says. Meanwhile
 * it fires the job by hand, pauses it, resumes it and asks when it fires next.
 * In the end everything is stopped and removed, also after Ctrl-C and failures.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ExecutionState, LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import type { ExecutionServiceStreamResponse } from '../../gen/carillon/v1/execution_service_pb.js';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { type CarillonClient, createCarillonClient } from '../../src/cli/client.ts';
import { instantToText } from '../../src/cli/option-values.ts';
import { type Callee, startCallee } from './callee.ts';
import { type Instance, startInstance } from './instance.ts';

const showMs = 10_000;
const job = { ref: { case: 'key' as const, value: { name: 'demo' } } };

const stopping = new AbortController();
const { signal } = stopping;
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    process.exitCode ??= name === 'SIGINT' ? 130 : 1;
    stopping.abort();
  });
}

await main();

async function main(): Promise<void> {
  let instance: Instance | undefined;
  let callee: Callee | undefined;
  let client: CarillonClient | undefined;
  try {
    say('starting a Carillon with a database of its own …');
    callee = await startCallee();
    instance = await startInstance(signal);
    client = createCarillonClient(instance.grpc);
    say(`it is up; gRPC on ${instance.grpc}`);
    await show(client, callee.url);
  } catch (error) {
    if (!signal.aborted) {
      process.stderr.write(`the demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    }
  } finally {
    const exitCode = await instance?.stop();
    client?.close();
    callee?.close();
    if (instance) say(`Carillon drained and stopped with exit code ${exitCode}; its data is removed`);
    if (exitCode !== undefined && exitCode !== 0) process.exitCode = 1;
  }
  // Nothing is left to wait for but listeners of signals.
  process.exit();
}

/** The ten seconds: the stream on one side, what a user does on the other. */
async function show(client: CarillonClient, url: string): Promise<void> {
  const added = await client.jobs.add({
    job: {
      key: { name: 'demo' },
      schedules: [{ kind: { case: 'cron', value: { expression: '*/2 * * * * *' } } }],
      target: { kind: { case: 'http', value: { url } } },
      overlap: OverlapPolicy.ALLOW,
    },
  });
  say(`added the job "demo", */2 * * * * *, first at ${instantToText(added.job?.nextFireTime)}; its stream:`);
  const leaving = new AbortController();
  const printing = printStream(client, AbortSignal.any([signal, leaving.signal]));
  const using = useJob(client);
  try {
    await Promise.race([
      printing.then(() => signal.throwIfAborted()),
      Promise.all([using, sleep(showMs, undefined, { signal })]),
    ]);
  } finally {
    leaving.abort();
    await Promise.allSettled([printing, using]);
  }
  const { deleted } = await client.jobs.delete({ jobs: { case: 'job', value: job } });
  say(`deleted ${deleted} job; its history stays`);
}

/** What a user might do meanwhile. */
async function useJob({ jobs }: CarillonClient): Promise<void> {
  await sleep(3_000, undefined, { signal });
  const request = { job, requestId: 'demo-1', parameters: { text: 'you' } };
  const first = await jobs.trigger(request);
  say(`triggered it with the text "you" and the request_id demo-1: execution ${first.execution?.id}`);
  const again = await jobs.trigger(request);
  say(`the same once more: execution ${again.execution?.id}, replayed: ${again.replayed}`);

  await sleep(2_000, undefined, { signal });
  const { jobs: held } = await jobs.pause({ jobs: { case: 'job', value: job }, reason: 'to show it' });
  say(`paused it, reason "${held[0]?.pauses[0]?.reason}"; fire times are recorded and not run`);
  await sleep(2_500, undefined, { signal });
  const { jobs: free } = await jobs.resume({ jobs: { case: 'job', value: job } });
  say(`resumed it; what was held back stays skipped, next at ${instantToText(free[0]?.nextFireTime)}`);
  const { fireTimes } = await jobs.preview({ job, count: 3 });
  say(`the next three: ${fireTimes.map((each) => instantToText(each.fireTime).slice(11)).join(', ')}`);
}

/** Prints the live stream of the job until it is left. */
async function printStream({ executions }: CarillonClient, until: AbortSignal): Promise<void> {
  try {
    const stream = executions.stream(
      { source: { case: 'job', value: job } },
      { signal: until, timeoutMs: 0 },
    );
    for await (const message of stream) {
      const line = shortLine(message);
      if (line) process.stdout.write(`  ${line}\n`);
    }
  } catch (error) {
    if (!until.aborted) throw error;
  }
}

function shortLine({ event }: ExecutionServiceStreamResponse): string | undefined {
  if (event.case === 'log') {
    const { executionId, time, level, message, data } = event.value;
    return `${instantToText(time).slice(11)} ${executionId}   ${LogLevel[level].toLowerCase()} ${message}${data ? ` ${JSON.stringify(data)}` : ''}`;
  }
  if (event.case === 'execution') {
    const { id, state, message, createTime, startTime, finishTime, fireTime } = event.value;
    const time = instantToText(finishTime ?? startTime ?? createTime).slice(11);
    const fired =
      state === ExecutionState.PENDING ? ` for the fire time ${instantToText(fireTime).slice(11)}` : '';
    return `${time} ${id} ${ExecutionState[state]}${fired}${message ? ` (${message})` : ''}`;
  }
  return undefined;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
