/** Programs in other languages and the checks that they get along with a live Carillon. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { type Execution, ExecutionState, LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import { JobSchema } from '../../gen/carillon/v1/job_pb.js';
import type { CarillonClient } from '../../src/cli/client.ts';
import { awaitThat } from '../support/await-that.ts';

/** How long a program may take to start, and an execution to end; toolchains start slowly. */
const limitMs = 30_000;

const finalStates: ReadonlySet<ExecutionState> = new Set([
  ExecutionState.SUCCEEDED,
  ExecutionState.FAILED,
  ExecutionState.CANCELED,
]);

/** A worker takes an execution of its queue, logs, returns a result, and leaves in order at SIGTERM. */
export async function checkWorker(
  client: CarillonClient,
  address: string,
  {
    name,
    command,
  }: { readonly name: string; readonly command: (address: string, queue: string) => string[] },
): Promise<void> {
  const queue = `${name} queue`;
  await useProgram(command(address, queue), async (program) => {
    const execution = await execute(client, { name, target: { worker: { queue } }, text: 'you' });
    await expectGreeting(client, execution);
    assert.equal(await program.stop(), 0, 'the exit code behind SIGTERM');
  });
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
  assert.deepEqual(execution.result, { greeted: 'you' });
  const { entries } = await client.executions.listLogs({ executionId: execution.id });
  assert.equal(entries[0]?.message, 'hello you');
  assert.equal(entries[0]?.level, LogLevel.INFO);
}

/** Adds the job, fires it, and waits until it has ended. */
async function execute(
  { jobs, executions }: CarillonClient,
  { name, target, text }: { readonly name: string; readonly target: JsonObject; readonly text: string },
): Promise<Execution> {
  const job = fromJson(JobSchema, { key: { name }, target });
  await jobs.add({ job, replace: true });
  const ref = { ref: { case: 'key' as const, value: { name } } };
  const { execution } = await jobs.trigger({ job: ref, parameters: { text } });
  return awaitThat(
    `${name} has ended`,
    async () => {
      const found = await executions.get({ executionId: execution?.id });
      return found.execution && finalStates.has(found.execution.state) ? found.execution : undefined;
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
