import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import type { AttemptContext } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { ref, useFakeWorkerServers } from '../support/fake-worker-server.ts';
import { Gate, useWorkers } from './workers.ts';

const startServer = useFakeWorkerServers();
const makeWorker = useWorkers();

/** A handler that goes on until its signal aborts, and throws the reason. */
const untilAborted = ({ signal }: AttemptContext): Promise<void> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

describe('an attempt that is to stop', () => {
  it('is CANCELED when it was canceled and throws', async () => {
    const server = await startServer();
    const reasons: unknown[] = [];
    const handler = async (context: AttemptContext) => {
      await untilAborted(context).catch((reason: unknown) => {
        reasons.push(reason);
        throw reason;
      });
    };
    const worker = makeWorker({ address: server.address, handler });
    await worker.start();
    const stream = await server.stream(1);
    stream.assign([1, 2], { timeout: { seconds: 60n } });
    await awaitThat('both run', () => worker.running === 2);
    stream.cancel([2, 99], 'not needed');
    const results = await stream.awaitResults(1);
    expect(results).toMatchObject([
      { executionId: 2n, state: ExecutionState.CANCELED, message: 'not needed' },
    ]);
    expect(reasons).toMatchObject([{ name: 'CanceledError', message: 'not needed' }]);
    expect(worker.running).toBe(1);
  });

  it('has succeeded when it was canceled and returns all the same', async () => {
    const server = await startServer();
    const handler = (context: AttemptContext) => untilAborted(context).catch(() => ({ all: 'done' }));
    const worker = makeWorker({ address: server.address, handler });
    await worker.start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await awaitThat('it runs', () => worker.running === 1);
    stream.cancel([1]);
    expect(await stream.awaitResults(1)).toMatchObject([
      { state: ExecutionState.SUCCEEDED, result: { all: 'done' } },
    ]);
  });

  it('knows that its time is over, when Carillon says so', async () => {
    const server = await startServer();
    const worker = makeWorker({ address: server.address, handler: untilAborted });
    await worker.start();
    const stream = await server.stream(1);
    stream.assign([1], { timeout: { nanos: 200_000_000 } });
    await awaitThat('it runs', () => worker.running === 1);
    stream.cancel([1], 'the attempt took longer than 200 ms');
    expect(await stream.awaitResults(1)).toMatchObject([
      { state: ExecutionState.FAILED, message: 'the attempt took longer than 200 ms' },
    ]);
  });

  it('knows that its time is over, when nobody says so', async () => {
    const server = await startServer();
    const reasons: string[] = [];
    const handler = async (context: AttemptContext) => {
      await untilAborted(context).catch((reason: Error) => reasons.push(reason.name));
      throw new Error('gave up');
    };
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    stream.assign([1], { timeout: { nanos: 300_000_000 } });
    stream.assign([2], { timeout: { nanos: 50_000_000 } });
    stream.assign([3], { timeout: { seconds: 3_600n } });
    const results = await stream.awaitResults(2);
    expect(results.map(({ executionId }) => executionId).toSorted()).toEqual([1n, 2n]);
    const gaveUp = { state: ExecutionState.FAILED, message: 'gave up' };
    expect(results).toMatchObject([gaveUp, gaveUp]);
    expect(reasons).toEqual(['AttemptTimeoutError', 'AttemptTimeoutError']);
  });

  it('may ask for its signal when it has long aborted', async () => {
    const server = await startServer();
    const gate = new Gate();
    const handler = async (context: AttemptContext) => {
      await gate.pass();
      context.signal.throwIfAborted();
    };
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await awaitThat('it runs', () => gate.waiting === 1);
    stream.cancel([1], 'early');
    stream.assign([2]);
    await awaitThat('the next one runs', () => gate.waiting === 2);
    gate.open();
    expect(await stream.awaitResults(2)).toMatchObject([
      { state: ExecutionState.CANCELED, message: 'early' },
      { state: ExecutionState.SUCCEEDED },
    ]);
  });
});

describe('a worker that stops', () => {
  it('says goodbye, finishes what runs, and closes its side when the last result is acknowledged', async () => {
    const server = await startServer({ isPolite: false });
    const gate = new Gate();
    const handler = () => gate.pass();
    const worker = makeWorker({ address: server.address, handler, graceMs: 10_000 });
    void worker.start();
    const stream = await server.stream(1);
    stream.welcome();
    stream.assign([1]);
    await awaitThat('it runs', () => gate.waiting === 1);
    const stopped = worker.stop();
    await awaitThat('the goodbye', () => stream.count('goodbye') === 1);
    gate.open();
    await stream.awaitResults(1);
    expect(stream.hasEnded).toBe(false);
    stream.acknowledge([1]);
    await stopped;
    expect(stream.hasEnded).toBe(true);
    await worker.ended;
  });

  it('runs what was assigned while its goodbye was on its way', async () => {
    const server = await startServer();
    const worker = makeWorker({ address: server.address, graceMs: 10_000 });
    await worker.start();
    const stream = await server.stream(1);
    const stopped = worker.stop();
    stream.assign([1]);
    await stopped;
    expect(stream.results).toHaveLength(1);
  });

  it('runs it also where its process had no time for a while', async () => {
    const server = await startServer();
    const worker = makeWorker({ address: server.address, graceMs: 10_000 });
    await worker.start();
    const stream = await server.stream(1);
    const stopped = worker.stop();
    stream.assign([1]);
    // The assignment leaves the server, and everybody stands still for longer than it is waited for.
    await new Promise((resolve) => setImmediate(resolve));
    const until = performance.now() + 200;
    while (performance.now() < until);
    await stopped;
    expect(stream.results).toHaveLength(1);
  });

  it('aborts what is not done within the grace time, as a failure that may be retried', async () => {
    const server = await startServer();
    const worker = makeWorker({ address: server.address, handler: untilAborted, graceMs: 50 });
    await worker.start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await awaitThat('it runs', () => worker.running === 1);
    await worker.stop();
    expect(stream.results).toMatchObject([{ state: ExecutionState.FAILED, message: 'the worker stops' }]);
    expect(stream.results[0]?.retryable).toBeUndefined();
    expect(stream.hasEnded).toBe(true);
  });

  it('ends the grace time when it is asked twice', async () => {
    const server = await startServer();
    const worker = makeWorker({ address: server.address, handler: untilAborted, graceMs: 3_600_000 });
    await worker.start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await awaitThat('it runs', () => worker.running === 1);
    void worker.stop();
    await worker.stop();
    expect(stream.results).toMatchObject([{ message: 'the worker stops' }]);
  });

  it('brings its results home before it leaves, when the stream is away', async () => {
    const server = await startServer();
    const gate = new Gate();
    const handler = () => gate.pass();
    const worker = makeWorker({ address: server.address, handler, graceMs: 10_000 });
    await worker.start();
    const first = await server.stream(1);
    first.assign([1]);
    await awaitThat('it runs', () => gate.waiting === 1);
    first.fail(14, 'gone');
    const stopped = worker.stop();
    gate.open();
    const second = await server.stream(2);
    expect(second.hello.running).toMatchObject([ref(1)]);
    await stopped;
    expect(second.results).toHaveLength(1);
    expect(second.count('goodbye')).toBe(1);
    expect(second.hasEnded).toBe(true);
  });

  it('is gone at once when nobody serves it and it holds nothing', async () => {
    const server = await startServer();
    server.kill();
    const worker = makeWorker({ address: server.address, graceMs: 3_600_000 });
    const started = worker.start();
    await worker.stop();
    await started;
  });

  it('can be stopped before it was started, and then does not start', async () => {
    const server = await startServer();
    const worker = makeWorker({ address: server.address });
    await worker.stop();
    await worker.start();
    expect(server.streams).toHaveLength(0);
  });

  it.each([0, 1, 2, 3, 5, 8, 13, 30, 60])('stops %i ms behind its start, in order', async (ms) => {
    const server = await startServer();
    const worker = makeWorker({ address: server.address });
    void worker.start();
    await sleep(ms);
    await worker.stop();
    for (const stream of server.streams) await awaitThat('the stream is gone', () => stream.isGone);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'leaves at %s when it is run, and lets the process end',
    async (signal) => {
      const server = await startServer();
      const program = `
      import { Worker } from 'carillon/worker';
      const handler = ({ log, signal }) => new Promise((resolve) => {
        log.info('up');
        setTimeout(resolve, 300);
      });
      await new Worker({ address: '${server.address}', queue: 'q', handler }).run();
      process.stdout.write('left');
    `;
      const cwd = join(import.meta.dirname, '..', '..');
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk;
      });
      child.stderr.on('data', (chunk: Buffer) => {
        output += chunk;
      });
      // With all that it has written, which may come behind its exit.
      const closed = once(child, 'close');
      const stream = await server.stream(1);
      stream.assign([1]);
      await awaitThat('it runs', () => stream.lines.length === 1);
      child.kill(signal);
      expect(await closed).toEqual([0, null]);
      expect(output).toBe('left');
      expect(stream.results).toHaveLength(1);
      expect(stream.count('goodbye')).toBe(1);
    },
  );
});
