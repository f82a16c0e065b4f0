/** Programs in other languages and the checks that they get along with a live Carillon. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { type Execution, ExecutionState, LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import { JobSchema } from '../../gen/carillon/v1/job_pb.js';
import type { CarillonClient } from '../../src/cli/client.ts';
import { awaitThat } from '../support/await-that.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

/** How long a program may take to start, and an execution to end; toolchains start slowly. */
const limitMs = 30_000;

const finalStates: ReadonlySet<ExecutionState> = new Set([
  ExecutionState.SUCCEEDED,
  ExecutionState.FAILED,
  ExecutionState.CANCELED,
]);

/**
 * A worker takes executions of its queue, logs, returns results; keeps what it
 * runs when its stream breaks, and results until they are acknowledged; stops
 * at a cancel; at SIGTERM finishes what it runs, and leaves in order.
 */
export async function checkWorker(
  client: CarillonClient,
  address: string,
  {
    name,
    command,
  }: { readonly name: string; readonly command: (address: string, queue: string) => string[] },
): Promise<void> {
  const queue = `${name} queue`;
  const run = { name, target: { worker: { queue } }, text: 'you' };
  const proxy = await TcpProxy.start({ port: Number(new URL(`http://${address}`).port) });
  const breakStreams = (): void => {
    for (const connection of proxy.connections) connection.reset();
    proxy.setMode({ kind: 'pass' });
  };
  try {
    await useProgram(command(`127.0.0.1:${proxy.port}`, queue), async (program) => {
      await expectGreeting(client, await execute(client, run));

      const kept = await beginToRun(client, run);
      breakStreams();
      await expectGreeting(client, await awaitEnd(client, kept));

      const unacknowledged = await beginToRun(client, run);
      proxy.setMode({ kind: 'one-way' });
      await expectGreeting(client, await awaitEnd(client, unacknowledged));
      breakStreams();

      const canceled = await beginToRun(client, run);
      const byIds = { executionIds: [canceled.id] };
      await client.executions.cancel({ executions: { case: 'byIds', value: byIds } });
      assert.equal((await awaitEnd(client, canceled)).state, ExecutionState.CANCELED);

      const last = await beginToRun(client, run);
      assert.equal(await program.stop(), 0, 'the exit code behind SIGTERM');
      await expectGreeting(client, await awaitEnd(client, last));
    });
  } finally {
    await proxy.close();
  }
}

/** A service is called, logs, tells its progress, returns a result; its error status is a failure. */
export async function checkService(
  client: CarillonClient,
  { name, command }: { readonly name: string; readonly command: readonly string[] },
): Promise<void> {
  await useProgram([...command, '127.0.0.1:0'], async (program) => {
    const [, address = ''] = await program.awaitOutput(/service on (\S+)/);
    const target = { grpc: { address } };
    const execution = await execute(client, { name, target, text: 'you' });
    await expectGreeting(client, execution);
    const { entries } = await client.executions.listLogs({ executionId: execution.id });
    assert.equal(entries.at(-1)?.data?.progress, 1, 'the last progress');
    const refused = await execute(client, { name, target, text: 'nobody' });
    assert.equal(refused.state, ExecutionState.FAILED);
    assert.equal(refused.attempt, 1, 'an INVALID_ARGUMENT is not retried');
    assert.match(refused.message, /nobody is not somebody/);
    assert.equal(await program.stop(), 0, 'the exit code behind SIGTERM');
  });
}

async function expectGreeting(client: CarillonClient, execution: Execution): Promise<void> {
  assert.equal(execution.state, ExecutionState.SUCCEEDED, execution.message);
  assert.equal(execution.attempt, 1, 'the attempts');
  assert.deepEqual(execution.result, { greeted: 'you' });
  const { entries } = await client.executions.listLogs({ executionId: execution.id });
  assert.equal(entries[0]?.message, 'hello you');
  assert.equal(entries[0]?.level, LogLevel.INFO);
}

/** A job of its own name, and what it is told. */
type Run = { readonly name: string; readonly target: JsonObject; readonly text: string };

/** Adds the job, fires it, and waits until it has ended. */
async function execute(client: CarillonClient, run: Run): Promise<Execution> {
  return awaitEnd(client, await fire(client, run));
}

/** Adds the job, fires it, and waits until its callee is at work: its first log line is stored. */
async function beginToRun(client: CarillonClient, run: Run): Promise<Execution> {
  const execution = await fire(client, run);
  await awaitThat(
    `${run.name} has logged`,
    async () => {
      const { entries } = await client.executions.listLogs({ executionId: execution.id });
      return entries.length > 0;
    },
    limitMs,
  );
  return execution;
}

async function fire({ jobs }: CarillonClient, { name, target, text }: Run): Promise<Execution> {
  const job = fromJson(JobSchema, { key: { name }, target });
  await jobs.add({ job, replace: true });
  const ref = { ref: { case: 'key' as const, value: { name } } };
  const { execution } = await jobs.trigger({ job: ref, parameters: { text } });
  assert.ok(execution);
  return execution;
}

async function awaitEnd({ executions }: CarillonClient, { id, jobKey }: Execution): Promise<Execution> {
  return awaitThat(
    `${jobKey?.name} has ended`,
    async () => {
      const { execution } = await executions.get({ executionId: id });
      return execution && finalStates.has(execution.state) ? execution : undefined;
    },
    limitMs,
  );
}

/** A program that runs. */
type Program = {
  /** Waits until it has written this. */
  awaitOutput(pattern: RegExp): Promise<RegExpExecArray>;
  /** Asks it to stop by SIGTERM; resolves to its exit code. */
  stop(): Promise<number | null>;
};

/** Starts a program for as long as the work with it takes; when that fails, what it wrote is part of the error. */
async function useProgram(
  [file = '', ...args]: readonly string[],
  work: (program: Program) => Promise<void>,
): Promise<void> {
  const child: ChildProcess = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  try {
    await work({
      awaitOutput: (pattern) =>
        awaitThat(`output ${pattern}`, () => pattern.exec(output) ?? undefined, limitMs),
      stop: async () => {
        child.kill('SIGTERM');
        const killing = setTimeout(() => child.kill('SIGKILL'), limitMs);
        const [code] = (await exited) as [number | null];
        clearTimeout(killing);
        return code;
      },
    });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${output}`, { cause: error });
  } finally {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await exited;
    }
  }
}
