import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExecutionState, LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import { ExecHandler } from '../../src/cli/exec-handler.ts';
import { awaitThat } from '../support/await-that.ts';
import { type FakeStream, useFakeWorkerServers } from '../support/fake-worker-server.ts';
import { isAlive } from '../support/is-alive.ts';
import { useWorkers } from '../worker/workers.ts';
import { runHere } from './command-here.ts';
import { startCommand, useCommands } from './command-line.ts';

useCommands();
const startServer = useFakeWorkerServers();
const makeWorker = useWorkers();

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'carillon-exec-'));
});

afterAll(() => rm(folder, { recursive: true }));

type Assigned = Parameters<FakeStream['assign']>[1];

/** Connects a worker that runs a command, and assigns one execution. */
async function execute(
  command: string,
  {
    assigned = {},
    jsonResult = false,
    shell = '/bin/sh',
  }: {
    readonly assigned?: Assigned;
    readonly jsonResult?: boolean;
    readonly shell?: string;
  } = {},
): Promise<FakeStream> {
  const server = await startServer();
  const { handle } = new ExecHandler({ command, shell, jsonResult });
  await makeWorker({ address: server.address, handler: handle }).start();
  const stream = await server.stream(1);
  stream.assign([41], assigned);
  return stream;
}

const messages = (stream: FakeStream): string[] => stream.lines.map((line) => line.message);

describe('a command', () => {
  it('writes log lines: its output as INFO, its errors as WARN', async () => {
    // Two pipes have no order among them: it goes on when its first line has been read.
    const read = join(folder, 'read');
    const wait = `until [ -e ${read} ]; do sleep 0.01; done`;
    const stream = await execute(`echo careful >&2; ${wait}; printf 'one\\r\\ntwo\\n\\nlast'`);
    await awaitThat('the first line', () => stream.lines.length === 1);
    await writeFile(read, '');
    const [result] = await stream.awaitResults(1);
    expect(result).toMatchObject({ state: ExecutionState.SUCCEEDED, result: { exit_code: 0 } });
    expect(stream.lines.map(({ level, message }) => [level, message])).toEqual([
      [LogLevel.WARN, 'careful'],
      [LogLevel.INFO, 'one'],
      [LogLevel.INFO, 'two'],
      [LogLevel.INFO, ''],
      [LogLevel.INFO, 'last'],
    ]);
  });

  it.each([
    [1, undefined],
    [75, undefined],
    [64, false],
    [65, false],
    [77, false],
    [78, false],
    [126, false],
    [127, false],
  ])('fails with exit code %i', async (code, retryable) => {
    const stream = await execute(`exit ${code}`);
    const [result] = await stream.awaitResults(1);
    expect(result).toMatchObject({
      state: ExecutionState.FAILED,
      message: `the command exited with code ${code}`,
    });
    expect(result?.retryable).toBe(retryable);
  });

  it('fails when a signal ends it, and may be retried', async () => {
    const stream = await execute('kill -KILL $$');
    const [result] = await stream.awaitResults(1);
    expect(result).toMatchObject({
      state: ExecutionState.FAILED,
      message: 'the command was ended by SIGKILL',
    });
    expect(result?.retryable).toBeUndefined();
  });

  it('fails for good when its shell does not exist', async () => {
    const stream = await execute('true', { shell: '/no/such/shell' });
    expect(await stream.awaitResults(1)).toMatchObject([
      { message: expect.stringContaining('/no/such/shell cannot be run'), retryable: false },
    ]);
  });

  it('is told about its execution by its environment', async () => {
    const stream = await execute('env | grep ^CARILLON_ | sort', {
      assigned: {
        attempt: 2,
        jobKey: { namespace: 'shop', group: 'default', name: 'report' },
        parameters: {
          object: { size: 3, 'in dépôt': true, name: 'object', nested: { a: 1 }, none: null },
          list: [{ name: 'name', value: 'a "b" $(touch x)' }],
        },
      },
    });
    await stream.awaitResults(1);
    expect(messages(stream)).toEqual([
      'CARILLON_ATTEMPT=2',
      'CARILLON_CAUSE=SCHEDULE',
      'CARILLON_EXECUTION_ID=41',
      'CARILLON_FIRE_TIME=2026-03-01T10:00:00.250Z',
      'CARILLON_IDEMPOTENCY_KEY=41',
      'CARILLON_JOB=shop//report',
      expect.stringMatching(/^CARILLON_PARAMETERS=\{"object":\{"size":3,.*"list":\[\{"name":"name",/),
      'CARILLON_PARAM_IN_D_P_T=true',
      'CARILLON_PARAM_NAME=a "b" $(touch x)',
      'CARILLON_PARAM_SIZE=3',
    ]);
  });

  it('runs all the same when its parameters are too large for the environment', async () => {
    const text = 'x'.repeat(200_000);
    const stream = await execute('wc -c; echo "[$CARILLON_PARAMETERS]"', {
      assigned: { parameters: { text } },
    });
    const [result] = await stream.awaitResults(1);
    expect(result?.state).toBe(ExecutionState.SUCCEEDED);
    expect(messages(stream).map((line) => line.trim())).toEqual([
      'too large for the environment: CARILLON_PARAMETERS',
      '200000',
      '[]',
    ]);
  });

  it.each([
    ['the text of the parameters', { text: 'free\ntext', object: { a: 1 } }, ['free', 'text']],
    ['their object when there is no text', { object: { a: 1 } }, ['{"a":1}']],
    ['nothing when there is neither', {}, []],
  ])('reads %s from its standard input', async (_, parameters, expected) => {
    const stream = await execute('cat', { assigned: { parameters } });
    await stream.awaitResults(1);
    expect(messages(stream)).toEqual(expected);
  });

  it('need not read its standard input', async () => {
    const stream = await execute('exec 0<&-; exit 0', {
      assigned: { parameters: { text: 'x'.repeat(1_000_000) } },
    });
    expect(await stream.awaitResults(1)).toMatchObject([{ state: ExecutionState.SUCCEEDED }]);
  });

  it('gives the last line that is a JSON object as its result, when that is asked for', async () => {
    const command = `echo '{"n":1}'; echo '{"n":2}'; echo '{broken'; echo '[3]'`;
    const [result] = await (await execute(command, { jsonResult: true })).awaitResults(1);
    expect(result?.result).toEqual({ n: 2 });
    const [plain] = await (await execute(command)).awaitResults(1);
    expect(plain?.result).toEqual({ exit_code: 0 });
  });

  it('is asked by SIGTERM to stop when it is canceled, and all that it started is', async () => {
    const command = "trap 'echo stopping; exit 3' TERM; sleep 1000 & echo $!; wait";
    const stream = await execute(command);
    const pid = await awaitThat('it runs', () => Number(messages(stream)[0]) || undefined);
    stream.cancel([41], 'not needed');
    expect(await stream.awaitResults(1)).toMatchObject([
      {
        state: ExecutionState.CANCELED,
        message: 'not needed (the command exited with code 3)',
      },
    ]);
    expect(messages(stream)).toContain('stopping');
    await awaitThat('what it started is gone', async () => !(await isAlive(pid)));
  });

  it('does not wait for what it leaves running behind itself', async () => {
    const stream = await execute('sleep 1000 & echo $!; echo done');
    const [result] = await stream.awaitResults(1);
    expect(result?.state).toBe(ExecutionState.SUCCEEDED);
    expect(messages(stream)[1]).toBe('done');
    process.kill(Number(messages(stream)[0]), 'SIGKILL');
  });

  it('loses no line however much it writes', async () => {
    const stream = await execute('seq -f "%0200g" 1 120000');
    await stream.awaitResults(1);
    expect(stream.lines).toHaveLength(120_000);
    expect(Number(messages(stream).at(-1))).toBe(120_000);
  });
});

describe('carillon worker', () => {
  it.each([
    ['worker run', ['worker', 'run']],
    ['worker', ['worker']],
  ])('as %s runs a command for each execution and leaves in order at SIGTERM', async (_, words) => {
    const server = await startServer();
    const path = join(folder, words.join('-'));
    const worker = startCommand([
      ...words,
      ...['--queue', 'a', '--queue', 'b', '--label', 'zone=x', '--capacity', '3', '--namespace', 'shop'],
      ...['--id', 'w-1', '--address', server.address],
      ...['--exec', `echo hello; sleep 0.4; echo "$CARILLON_EXECUTION_ID" >> ${path}`],
    ]);
    const stream = await server.stream(1);
    expect(stream.hello).toMatchObject({
      workerId: 'w-1',
      namespace: 'shop',
      queues: ['a', 'b'],
      labels: { zone: 'x' },
      capacity: 3,
    });
    stream.assign([1, 2, 3]);
    await awaitThat('all run', () => stream.lines.length === 3);
    worker.process.kill('SIGTERM');
    const { exitCode, stdout, stderr } = await worker.result;
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: '' });
    expect(stderr).toContain('the worker is connected (address');
    expect(stream.results).toHaveLength(3);
    expect(readFileSync(path, 'utf8').trim().split('\n').sort()).toEqual(['1', '2', '3']);
  });

  it('ends what it runs at the second SIGTERM', async () => {
    const server = await startServer();
    const worker = startCommand([
      'worker',
      '--queue',
      'q',
      '--address',
      server.address,
      '--exec',
      'echo $$; sleep 1000',
    ]);
    const stream = await server.stream(1);
    stream.assign([1]);
    const pid = await awaitThat('it runs', () => Number(messages(stream)[0]) || undefined);
    worker.process.kill('SIGTERM');
    await awaitThat('the goodbye', () => stream.count('goodbye') === 1);
    worker.process.kill('SIGTERM');
    expect((await worker.result).exitCode).toBe(0);
    expect(await isAlive(pid)).toBe(false);
    expect(stream.results).toMatchObject([{ state: ExecutionState.FAILED }]);
  });

  it('fails when Carillon does not take it', async () => {
    const server = await startServer({ isPolite: false });
    const worker = startCommand(['worker', '--queue', 'q', '--address', server.address, '--exec', 'true']);
    (await server.stream(1)).fail(3, 'hello.queues[0]: too long', 'INVALID_ARGUMENT');
    const { exitCode, stderr } = await worker.result;
    expect(exitCode).toBe(1);
    expect(stderr).toContain('hello.queues[0]: too long');
  });

  it.each([
    ['without a queue', ['--exec', 'true'], '--queue'],
    ['without a command', ['--queue', 'q'], '--exec'],
    ['with an address of another form', ['--queue', 'q', '--exec', 'true', '--address', 'x'], '--address'],
    [
      'with more places than there can be',
      ['--queue', 'q', '--exec', 'true', '--capacity', '100001'],
      'capacity',
    ],
  ])('is refused %s', async (_, options, name) => {
    const { exitCode, stderr } = await runHere(['worker', ...options]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(name);
  });
});

describe('carillon worker list', () => {
  it('shows who is connected, as a table or as JSON', async () => {
    const asked: unknown[] = [];
    const worker = {
      workerId: 'w-1\u001b[2J',
      namespace: 'shop',
      queues: ['a', 'b'],
      labels: { zone: 'x', arch: 'arm' },
      capacity: 10,
      running: 3,
      version: '',
      instance: 'host:1',
      connectTime: { seconds: 1_772_359_200n },
      lastSeenTime: { seconds: 1_772_359_260n },
      state: 3,
    };
    const server = await startServer({
      list: ({ filter, pageToken }) => {
        asked.push([filter?.namespace, filter?.queue, pageToken]);
        return pageToken === '' ? { workers: [worker], nextPageToken: 'more' } : { workers: [worker] };
      },
    });
    const list = (...more: string[]) =>
      runHere(['worker', 'list', '--address', server.address, '--queue', 'a', ...more]);
    const { stdout, exitCode } = await list('--namespace', 'shop');
    expect(exitCode).toBe(0);
    const [titles, first, second] = stdout.split('\n').map((line) => line.split(/ {2,}/));
    expect(titles?.slice(0, 5)).toEqual(['WORKER', 'NAMESPACE', 'QUEUES', 'RUNNING', 'STATE']);
    expect(first).toEqual([
      ...['w-1\\x1b[2J', 'shop', 'a,b', '3/10', 'DRAINING', 'host:1'],
      ...['2026-03-01T10:00:00.000Z', '2026-03-01T10:01:00.000Z', '-', 'arch=arm,zone=x'],
    ]);
    expect(second).toEqual(first);
    expect(asked).toEqual([
      ['shop', 'a', ''],
      ['shop', 'a', 'more'],
    ]);
    const json = await list('--json', '--limit', '1');
    expect(JSON.parse(json.stdout)).toMatchObject({ queues: ['a', 'b'], state: 'WORKER_STATE_DRAINING' });
    expect(json.stderr).toContain('there are more than these 1');
  });
});
