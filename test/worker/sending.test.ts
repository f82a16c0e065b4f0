import { describe, expect, it } from 'vitest';
import { LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import type { AttemptContext } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { type FakeStream, useFakeWorkerServers } from '../support/fake-worker-server.ts';
import { Gate, useWorkers } from './workers.ts';

const startServer = useFakeWorkerServers();
const makeWorker = useWorkers();

describe('log lines', () => {
  it('go out in the order in which they were written, with their level, time and data', async () => {
    const server = await startServer();
    const handler = ({ log: { debug, info, warn, error }, progress }: AttemptContext) => {
      debug('one');
      info('two', { n: 2 });
      warn('three', { at: new Date(0) });
      error('four', {});
      progress(0.426);
      progress(7, 'more than all');
      progress(Number.NaN);
    };
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    const before = Math.floor(Date.now() / 1_000);
    stream.assign([1]);
    await stream.awaitResults(1);
    expect(stream.lines).toMatchObject([
      { executionId: 1n, attempt: 1, level: LogLevel.DEBUG, message: 'one' },
      { level: LogLevel.INFO, message: 'two', data: { n: 2 } },
      { level: LogLevel.WARN, message: 'three', data: { at: '1970-01-01T00:00:00.000Z' } },
      { level: LogLevel.ERROR, message: 'four', data: {} },
      { level: LogLevel.INFO, message: 'progress 42 %', data: { progress: 0.426 } },
      { level: LogLevel.INFO, message: 'more than all', data: { progress: 1 } },
      { level: LogLevel.INFO, message: 'progress 0 %', data: { progress: 0 } },
    ]);
    for (const line of stream.lines) expect(Number(line.time?.seconds)).toBeGreaterThanOrEqual(before);
  });

  it('go ahead of the result of their attempt, however many there are', async () => {
    const server = await startServer();
    const handler = ({ log }: AttemptContext) => {
      for (let n = 0; n < 25_000; n++) log.info(`line ${n}`);
    };
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await stream.awaitResults(1);
    expect(stream.heard.at(-1)?.case).toBe('results');
    expect(stream.lines.map((line) => line.message)).toEqual(
      Array.from({ length: 25_000 }, (_, n) => `line ${n}`),
    );
    expect(stream.count('logs')).toBeLessThan(50);
  });

  it('are dropped when the attempt has ended', async () => {
    const server = await startServer();
    const contexts: AttemptContext[] = [];
    await makeWorker({ address: server.address, handler: (context) => void contexts.push(context) }).start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await stream.awaitResults(1);
    contexts[0]?.log.info('late');
    stream.assign([2]);
    await stream.awaitResults(2);
    expect(stream.lines).toEqual([]);
  });

  it('of more than 65,536 bytes are sent just long enough for Carillon to see that', async () => {
    const server = await startServer();
    const handler = ({ log }: AttemptContext) => log.info('x'.repeat(5_000_000));
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await stream.awaitResults(1);
    expect(stream.lines[0]?.message).toHaveLength(65_537);
  });

  it('keep their words when their data cannot be sent, and say so', async () => {
    const server = await startServer();
    const handler = ({ log }: AttemptContext) => {
      log.info('big', { text: 'x'.repeat(70_000) });
      log.info('odd', { n: 1n });
    };
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await stream.awaitResults(1);
    expect(stream.lines).toMatchObject([
      { message: 'big (data left out: it has 70011 bytes as JSON, more than 65536)' },
      { message: expect.stringMatching(/^odd \(data left out: it cannot be written as JSON/) },
    ]);
  });
});

describe('a server that does not read', () => {
  const text = 'x'.repeat(10_000);

  it('makes the worker keep a bounded part of the lines, and say how many it dropped', async () => {
    const server = await startServer();
    const gate = new Gate();
    const handler = async ({ log }: AttemptContext) => {
      await gate.pass();
      for (let n = 0; n < 4_000; n++) log.info(text);
    };
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await awaitThat('it runs', () => gate.waiting === 1);
    stream.pause();
    gate.open();
    await awaitThat('all lines are written', () => gate.waiting === 0);
    stream.resume();
    await stream.awaitResults(1);
    const last = stream.lines.at(-1)?.message;
    const [, dropped] = /^(\d+) log lines left out here/.exec(last ?? '') ?? [];
    // 16 MiB are kept, and 40 MB were written.
    expect(Number(dropped)).toBe(4_000 - (stream.lines.length - 1));
    expect(stream.lines.length).toBeGreaterThan(1_600);
    expect(stream.lines.length).toBeLessThan(1_700);
  });

  it('makes a handler wait that asks for room, which then loses nothing', async () => {
    const server = await startServer();
    let written = 0;
    const handler = async ({ log }: AttemptContext) => {
      for (; written < 8_000; written++) {
        await log.ready();
        log.info(text);
      }
    };
    await makeWorker({ address: server.address, handler }).start();
    const stream = await server.stream(1);
    stream.pause();
    stream.assign([1]);
    const stuckAt = await awaitStandstill(() => written);
    expect(stuckAt).toBeGreaterThan(800);
    expect(stuckAt).toBeLessThan(8_000);
    stream.resume();
    await stream.awaitResults(1);
    expect(stream.lines).toHaveLength(8_000);
  });

  /** What a count has come to when it stays the same over many looks: each lets everybody have a turn, a pause is one. */
  async function awaitStandstill(count: () => number): Promise<number> {
    let last = -1;
    let looks = 0;
    return awaitThat('a standstill', () => {
      looks = count() === last ? looks + 1 : 0;
      last = count();
      return last > 0 && looks === 20 ? last : undefined;
    });
  }
});

describe('what comes up in one turn', () => {
  it('is one message: results, and which attempts began', async () => {
    const server = await startServer();
    const gate = new Gate();
    const handler = ({ executionId }: AttemptContext) => (executionId > 500 ? gate.pass() : undefined);
    await makeWorker({ address: server.address, capacity: 1_000, handler }).start();
    const stream = await server.stream(1);
    stream.assign(Array.from({ length: 1_000 }, (_, i) => i + 1));
    await stream.awaitResults(500);
    // What arrives in one turn goes out as one message; on a busy machine a burst may arrive in a few.
    expect(stream.count('results')).toBeLessThan(10);
    expect(stream.count('started')).toBeLessThan(10);
    // Those that ended at once have nothing but a result.
    expect(stream.started).toHaveLength(500);
    expect(stream.started[0]?.executionId).toBe(501n);
    gate.open();
    await stream.awaitResults(1_000);
    expect(stream.count('results')).toBeLessThan(20);
  });

  it('is several messages when it would be too large for one', async () => {
    const server = await startServer();
    const handler = () => ({ text: 'x'.repeat(900_000) });
    await makeWorker({ address: server.address, capacity: 20, handler }).start();
    const stream = await server.stream(1);
    stream.assign(Array.from({ length: 20 }, (_, i) => i + 1));
    const results = await stream.awaitResults(20);
    expect(results.every((result) => String(result.result?.text).length === 900_000)).toBe(true);
  });

  it('is kept up with through a burst of 50,000 executions', async () => {
    const server = await startServer();
    const capacity = 2_000;
    const total = 50_000;
    let underWay = 0;
    let most = 0;
    const handler = async () => {
      most = Math.max(most, ++underWay);
      await undefined;
      underWay--;
    };
    await makeWorker({ address: server.address, capacity, handler }).start();
    const stream = await server.stream(1);
    const assigned = await assignAll(stream, { capacity, total });
    expect(assigned).toBe(total);
    const ids = new Set(stream.results.map((result) => result.executionId));
    expect(ids.size).toBe(total);
    expect(stream.results).toHaveLength(total);
    expect(most).toBeLessThanOrEqual(capacity);
  });

  /** Keeps all places of the worker taken until it has had `total` executions; resolves when all have a result. */
  async function assignAll(
    stream: FakeStream,
    { capacity, total }: { readonly capacity: number; readonly total: number },
  ): Promise<number> {
    let assigned = 0;
    let ended = 0;
    let read = 0;
    await awaitThat(
      'all results',
      () => {
        for (; read < stream.heard.length; read++) {
          const message = stream.heard[read];
          if (message?.case === 'results') ended += message.value.results.length;
        }
        const free = Math.min(capacity - (assigned - ended), total - assigned);
        if (free > 0) stream.assign(Array.from({ length: free }, (_, i) => assigned + i + 1));
        assigned += free;
        return ended === total;
      },
      25_000,
    );
    return assigned;
  }
});
