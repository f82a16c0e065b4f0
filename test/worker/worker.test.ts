import { describe, expect, it } from 'vitest';
import { ExecutionState, LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import { type AttemptContext, PermanentError, RetryAfterError } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { useFakeWorkerServers } from '../support/fake-worker-server.ts';
import { Gate, useWorkers } from './workers.ts';

const startServer = useFakeWorkerServers();
const makeWorker = useWorkers();

describe('a worker', () => {
  it('says who it is and what it can run', async () => {
    const server = await startServer();
    const worker = makeWorker({
      address: server.address,
      queues: ['r'],
      labels: { zone: 'a' },
      capacity: 7,
      namespace: 'shop',
      workerId: 'w-1',
      version: '1.2',
    });
    await worker.start();
    expect((await server.stream(1)).hello).toMatchObject({
      workerId: 'w-1',
      namespace: 'shop',
      queues: ['q', 'r'],
      labels: { zone: 'a' },
      capacity: 7,
      version: '1.2',
      running: [],
    });
  });

  it('has a name of its own by default', () => {
    const [one, other] = [makeWorker({ address: 'localhost:1' }), makeWorker({ address: 'localhost:1' })];
    expect(one.workerId).toMatch(new RegExp(`^.+:${process.pid}:[0-9a-f]{8}$`));
    expect(other.workerId).not.toBe(one.workerId);
  });

  it.each([
    ['an address without a port', { address: 'localhost' }, 'address'],
    ['no address', { address: [] }, 'address'],
    ['no queue', { queue: undefined }, 'queue'],
    ['a capacity of 0', { capacity: 0 }, 'capacity'],
    ['a capacity above 100,000', { capacity: 100_001 }, 'capacity'],
    ['half a place', { capacity: 0.5 }, 'capacity'],
    ['a negative grace time', { graceMs: -1 }, 'graceMs'],
  ])('refuses %s', (_, options, name) => {
    expect(() => makeWorker({ address: 'localhost:1', ...options })).toThrow(
      expect.objectContaining({ name: 'TypeError', message: expect.stringMatching(`^${name}: `) }),
    );
  });

  it('hands the handler all that Carillon says about the attempt', async () => {
    const server = await startServer();
    const seen = Promise.withResolvers<AttemptContext>();
    await makeWorker({ address: server.address, handler: (context) => seen.resolve(context) }).start();
    const stream = await server.stream(1);
    stream.assign([41], {
      attempt: 3,
      term: 5n,
      priority: 9,
      parameters: { text: 'free', object: { a: [1] }, list: [{ name: 'n', value: 'v' }] },
    });
    const { parameters, ...context } = contextMembers(await seen.promise);
    expect(context).toEqual({
      executionId: 41,
      attempt: 3,
      jobId: 7,
      jobKey: { namespace: 'default', group: 'default', name: 'noop' },
      fireTime: new Date('2026-03-01T10:00:00.250Z'),
      cause: 'SCHEDULE',
      term: 5,
      priority: 9,
      queue: 'q',
      idempotencyKey: '41',
    });
    expect(parameters).toMatchObject({ text: 'free', object: { a: [1] }, list: [{ name: 'n', value: 'v' }] });
  });

  it('sends what the handler returns as the result of a success', async () => {
    const server = await startServer();
    await makeWorker({
      address: server.address,
      handler: ({ executionId }) => (executionId === 1 ? { at: new Date(0), odd: Number.NaN } : undefined),
    }).start();
    const stream = await server.stream(1);
    stream.assign([1, 2]);
    const [first, second] = await stream.awaitResults(2);
    expect(first).toMatchObject({
      executionId: 1n,
      attempt: 1,
      state: ExecutionState.SUCCEEDED,
      result: { at: '1970-01-01T00:00:00.000Z', odd: null },
    });
    expect(second).toMatchObject({ executionId: 2n, state: ExecutionState.SUCCEEDED });
    expect(second?.result).toBeUndefined();
  });

  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  const deep = JSON.parse(`${'{"a":'.repeat(33)}1${'}'.repeat(33)}`) as object;
  it.each([
    ['a list', [1], 'it is not an object'],
    ['an object that contains itself', cyclic, 'it cannot be written as JSON'],
    ['more than 1 MiB', { text: 'x'.repeat(1_048_576) }, 'bytes as JSON, more than 1048576'],
    ['what takes more than 3 MiB on the wire', { list: Array(400_000).fill(1) }, 'bytes on the wire'],
    ['more than 32 levels', deep, 'it is more than 32 levels deep'],
  ])('leaves a result that is %s out, says so in the log, and succeeds', async (_, value, why) => {
    const server = await startServer();
    await makeWorker({ address: server.address, handler: () => value }).start();
    const stream = await server.stream(1);
    stream.assign([1]);
    const [result] = await stream.awaitResults(1);
    expect(result?.state).toBe(ExecutionState.SUCCEEDED);
    expect(result?.result).toBeUndefined();
    expect(stream.lines).toMatchObject([{ level: LogLevel.WARN, message: expect.stringContaining(why) }]);
  });

  it('makes text that Carillon would refuse storable', async () => {
    const server = await startServer();
    await makeWorker({
      address: server.address,
      handler: ({ log, executionId }) => {
        log.info('a\0b\ud800', { 'k\0': 'v\0' });
        if (executionId === 2) throw new Error('no\0');
        return { ['__proto__']: 1, text: '\ud800' };
      },
    }).start();
    const stream = await server.stream(1);
    stream.assign([1, 2]);
    const results = await stream.awaitResults(2);
    expect(results).toMatchObject([{ result: { text: '\ufffd' } }, { message: 'no\ufffd' }]);
    expect(stream.lines[0]).toMatchObject({ message: 'a\ufffdb\ufffd', data: { 'k\ufffd': 'v\ufffd' } });
  });

  it.each([
    ['an error', new Error('no luck'), { message: 'no luck' }],
    ['a text', 'no luck', { message: 'no luck' }],
    ['nothing', undefined, { message: 'undefined' }],
    ['an error without words', new TypeError(), { message: 'TypeError' }],
    ['more than 10,000 characters', new Error('x'.repeat(20_000)), { message: 'x'.repeat(10_000) }],
    ['PermanentError', new PermanentError('never'), { message: 'never', retryable: false }],
    ['RetryAfterError', new RetryAfterError(1_500, 'soon'), { retryAfter: { seconds: 1n, nanos: 5e8 } }],
    ['RetryAfterError of a week', new RetryAfterError(7 * 864e5, ''), { retryAfter: { seconds: 86_400n } }],
  ])('fails an attempt whose handler throws %s', async (_, thrown, expected) => {
    const server = await startServer();
    const handler = ({ executionId }: AttemptContext): Promise<void> => {
      if (executionId === 1) throw thrown;
      return Promise.reject(thrown as Error);
    };
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    stream.assign([1, 2]);
    const failed = { state: ExecutionState.FAILED, ...expected };
    expect(await stream.awaitResults(2)).toMatchObject([failed, failed]);
  });

  it('never has more handlers under way than it has places, also when it is assigned more', async () => {
    const server = await startServer();
    const gate = new Gate();
    const worker = makeWorker({ address: server.address, capacity: 3, handler: () => gate.pass() });
    await worker.start();
    const stream = await server.stream(1);
    stream.assign([1, 2, 3, 4, 5]);
    await awaitThat('three handlers are under way', () => gate.waiting === 3);
    expect(worker.running).toBe(3);
    gate.open(1);
    await stream.awaitResults(1);
    expect(gate.waiting).toBe(3);
    stream.cancel([5]);
    const [, canceled] = await stream.awaitResults(2);
    expect(canceled).toMatchObject({ executionId: 5n, state: ExecutionState.CANCELED, message: 'asked to' });
    gate.open();
    await stream.awaitResults(5);
    expect(worker.running).toBe(0);
  });

  it('runs an attempt once, however often it is assigned', async () => {
    const server = await startServer({ isPolite: false });
    let calls = 0;
    const worker = makeWorker({ address: server.address, handler: () => void calls++ });
    void worker.start();
    const stream = await server.stream(1);
    stream.welcome();
    stream.assign([1, 1]);
    stream.assign([1]);
    stream.assign([2]);
    await stream.awaitResults(2);
    expect(calls).toBe(2);
    expect(stream.results.map((result) => result.executionId)).toEqual([1n, 2n]);
    stream.acknowledge([1, 2]);
  });

  it('asks an attempt to stop when a newer one of its execution comes in', async () => {
    const server = await startServer();
    const reasons: unknown[] = [];
    const gate = new Gate();
    const handler = async ({ attempt, signal }: AttemptContext) => {
      signal.addEventListener('abort', () => reasons.push(signal.reason));
      await gate.pass();
      return { attempt };
    };
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    stream.assign([1]);
    stream.assign([1], { attempt: 2 });
    await awaitThat('both are under way', () => gate.waiting === 2);
    expect(reasons).toMatchObject([{ name: 'AttemptLostError' }]);
    gate.open();
    expect(await stream.awaitResults(1)).toMatchObject([{ attempt: 2, result: { attempt: 2 } }]);
  });

  it('is refused with the words of Carillon when what it says of itself breaks a rule', async () => {
    const server = await startServer({ isPolite: false });
    const worker = makeWorker({ address: server.address });
    const started = worker.start();
    (await server.stream(1)).fail(3, 'hello.queues: too many', 'INVALID_ARGUMENT');
    await expect(started).rejects.toMatchObject({
      name: 'WorkerRefusedError',
      message: 'hello.queues: too many',
    });
    await expect(worker.ended).rejects.toMatchObject({ name: 'WorkerRefusedError' });
  });

  it('gives up, and lets go of its attempts, when another process takes its name', async () => {
    const server = await startServer();
    const reasons: unknown[] = [];
    const handler = ({ signal }: AttemptContext): Promise<void> =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason);
          resolve();
        });
      });
    const worker = makeWorker({ address: server.address, handler });
    await worker.start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await awaitThat('it runs', () => worker.running === 1);
    stream.fail(10, 'taken', 'CONCURRENT_CHANGE');
    await expect(worker.ended).rejects.toThrow('another process has taken the place of this worker: taken');
    expect(reasons).toMatchObject([{ name: 'AttemptLostError' }]);
    expect(server.streams).toHaveLength(1);
  });

  it('sends heartbeats as often as it is asked to, also while handlers compute', async () => {
    const server = await startServer({ heartbeatMs: 60 });
    const handler = (): void => {
      const until = performance.now() + 15;
      while (performance.now() < until);
    };
    await makeWorker({ address: server.address, handler, capacity: 100 }).start();
    const stream = await server.stream(1);
    stream.assign(Array.from({ length: 40 }, (_, i) => i + 1));
    await stream.awaitResults(1);
    const before = stream.count('heartbeat');
    await stream.awaitResults(40);
    // 600 ms of work; were the handlers called in one go, there would be none.
    expect(stream.count('heartbeat') - before).toBeGreaterThanOrEqual(3);
  });
});

/** What is told about an attempt, read the way handlers do. */
function contextMembers(context: AttemptContext) {
  const { executionId, attempt, jobId, jobKey, fireTime, cause } = context;
  const { term, priority, queue, idempotencyKey, parameters } = context;
  return {
    executionId,
    attempt,
    jobId,
    jobKey,
    fireTime,
    cause,
    term,
    priority,
    queue,
    idempotencyKey,
    parameters,
  };
}
