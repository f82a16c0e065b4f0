import { describe, expect, it } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { silentLogger } from '../../src/platform/logger.ts';
import type { AttemptContext } from '../../src/worker/index.ts';
import { localhostCertificate, testKey } from '../engine/targets/http/certificates.ts';
import { awaitThat } from '../support/await-that.ts';
import { FakeWorkerServer, ref, useFakeWorkerServers } from '../support/fake-worker-server.ts';
import { Gate, useWorkers } from './workers.ts';

const startServer = useFakeWorkerServers();
const makeWorker = useWorkers();

const unavailable = 14;

describe('a worker whose stream breaks', () => {
  it('goes on with what runs, and names it when it comes back', async () => {
    const server = await startServer();
    const gate = new Gate();
    let calls = 0;
    const handler = async () => {
      calls++;
      await gate.pass();
    };
    await makeWorker({ address: server.address, handler }).start();
    const first = await server.stream(1);
    first.assign([1, 2]);
    await awaitThat('both run', () => gate.waiting === 2);
    first.fail(unavailable, 'gone');
    const second = await server.stream(2);
    expect(second.hello.running).toMatchObject([ref(1), ref(2)]);
    expect(second.hello.workerId).toBe(first.hello.workerId);
    gate.open();
    const results = await second.awaitResults(2);
    expect(results).toMatchObject([{ executionId: 1n }, { executionId: 2n }]);
    expect(calls).toBe(2);
  });

  it('names what ended meanwhile and sends its result, also one that was sent before and not acknowledged', async () => {
    const server = await startServer({ isPolite: false });
    const gate = new Gate();
    const handler = async ({ executionId }: AttemptContext) => {
      if (executionId === 2) await gate.pass();
      return { executionId };
    };
    void makeWorker({ address: server.address, handler }).start();
    const first = await server.stream(1);
    first.welcome();
    first.assign([1, 2, 3]);
    await first.awaitResults(2);
    first.acknowledge([1]);
    first.fail(unavailable, 'gone');
    gate.open();
    const second = await server.stream(2);
    expect(second.hello.running).toMatchObject([ref(2), ref(3)]);
    second.welcome();
    const results = await second.awaitResults(2);
    expect(results).toMatchObject([
      { executionId: 2n, result: { executionId: 2 } },
      { executionId: 3n, result: { executionId: 3 } },
    ]);
    second.acknowledge([2, 3]);
    second.fail(unavailable, 'gone again');
    expect((await server.stream(3)).hello.running).toEqual([]);
  });

  it('stops what is not its own any more, and reports nothing of it', async () => {
    const server = await startServer({ isPolite: false });
    const reasons = new Map<number, string>();
    const gate = new Gate();
    const handler = async ({ executionId, signal, log }: AttemptContext) => {
      await gate.pass();
      if (signal.aborted) reasons.set(executionId, signal.reason.name);
      log.info('late');
    };
    const worker = makeWorker({ address: server.address, handler });
    void worker.start();
    const first = await server.stream(1);
    first.welcome();
    first.assign([1, 2]);
    await awaitThat('both run', () => gate.waiting === 2);
    first.fail(unavailable, 'gone');
    const second = await server.stream(2);
    second.welcome([ref(1)]);
    second.assign([3]);
    await awaitThat('the third runs', () => gate.waiting === 3);
    gate.open();
    expect(await second.awaitResults(2)).toMatchObject([{ executionId: 2n }, { executionId: 3n }]);
    expect(reasons).toEqual(new Map([[1, 'AttemptLostError']]));
    expect(second.lines.map((line) => line.executionId)).toEqual([2n, 3n]);
    second.acknowledge([2, 3]);
  });

  it('comes back to an instance that was killed and is up again', async () => {
    const server = await startServer();
    const worker = makeWorker({ address: server.address });
    await worker.start();
    await server.stream(1);
    server.kill();
    const again = await startServer({ address: server.address });
    const stream = await again.stream(1);
    stream.assign([5]);
    expect(await stream.awaitResults(1)).toMatchObject([{ executionId: 5n }]);
  });

  it('goes to the next address when one does not serve', async () => {
    const servers = [await startServer(), await startServer()];
    const worker = makeWorker({ address: servers.map((server) => server.address) });
    await worker.start();
    const at = servers.findIndex((server) => server.streams.length > 0);
    servers[at]?.kill();
    const other = await servers[1 - at]!.stream(1);
    other.assign([1]);
    await other.awaitResults(1);
  });

  it('begins before there is anybody to serve it', async () => {
    const gone = await FakeWorkerServer.start();
    gone.kill();
    const worker = makeWorker({ address: gone.address });
    const started = worker.start();
    const server = await startServer({ address: gone.address });
    await started;
    expect(server.streams).toHaveLength(1);
  });

  it('sends nothing before it is welcome', async () => {
    const server = await startServer({ isPolite: false });
    const handler = ({ log }: AttemptContext) => log.info('line');
    void makeWorker({ address: server.address, handler }).start();
    const first = await server.stream(1);
    first.welcome();
    first.assign([1]);
    await first.awaitResults(1);
    first.fail(unavailable, 'gone');
    const second = await server.stream(2);
    // What it says behind the welcome comes behind what it would have said before.
    second.welcome();
    await second.awaitResults(1);
    expect(second.heard.map((message) => message.case)).toEqual(['hello', 'results']);
    second.acknowledge([1]);
  });

  it('keeps log lines that were not sent for the next stream', async () => {
    const server = await startServer();
    const gate = new Gate();
    const handler = async ({ log }: AttemptContext) => {
      await gate.pass();
      log.info('one');
      log.info('two');
    };
    await makeWorker({ address: server.address, handler }).start();
    const first = await server.stream(1);
    first.assign([1]);
    await awaitThat('it runs', () => gate.waiting === 1);
    server.kill();
    gate.open();
    const again = await startServer({ address: server.address });
    const second = await again.stream(1);
    await second.awaitResults(1);
    expect(second.heard.map((message) => message.case)).toEqual(['hello', 'logs', 'results']);
    expect(second.lines).toMatchObject([{ message: 'one' }, { message: 'two' }]);
  });
});

describe('an instance that drains', () => {
  it('is left when the last result is acknowledged, for another one', async () => {
    const servers = [await startServer({ isPolite: false }), await startServer({ isPolite: false })];
    const gate = new Gate();
    const handler = () => gate.pass();
    const worker = makeWorker({ address: servers.map((server) => server.address), handler });
    void worker.start();
    const at = await awaitThat('a hello', () => {
      const index = servers.findIndex((server) => server.streams[0]?.heard.length === 1);
      return index < 0 ? undefined : { index };
    });
    const first = await servers[at.index]!.stream(1);
    first.welcome();
    first.assign([1]);
    await awaitThat('it runs', () => gate.waiting === 1);
    first.drain();
    gate.open();
    await first.awaitResults(1);
    expect(first.hasEnded).toBe(false);
    first.acknowledge([1]);
    const second = await servers[1 - at.index]!.stream(1);
    expect(first.hasEnded).toBe(true);
    expect(second.hello.running).toEqual([]);
    second.welcome();
  });

  it('that ends the stream before is followed by the next one, with what still runs', async () => {
    const server = await startServer();
    const gate = new Gate();
    const worker = makeWorker({ address: server.address, handler: () => gate.pass() });
    await worker.start();
    const first = await server.stream(1);
    first.assign([1]);
    await awaitThat('it runs', () => gate.waiting === 1);
    first.drain();
    first.fail(unavailable, 'stopping');
    const second = await server.stream(2);
    expect(second.hello.running).toMatchObject([ref(1)]);
    gate.open();
    expect(await second.awaitResults(1)).toMatchObject([{ state: ExecutionState.SUCCEEDED }]);
  });
});

describe('TLS', () => {
  const tls = { key: testKey, cert: localhostCertificate };

  it('connects to a server whose certificate the worker trusts', async () => {
    const server = await startServer({ tls });
    const trust = { ca: localhostCertificate, serverName: 'localhost' };
    const worker = makeWorker({ address: server.address, tls: trust });
    await worker.start();
    const stream = await server.stream(1);
    stream.assign([1]);
    await stream.awaitResults(1);
  });

  it('says nothing to a server whose certificate it does not trust', async () => {
    const server = await startServer({ tls });
    const ended: unknown[] = [];
    const logger = { ...silentLogger, warn: (fields: object) => void ended.push(fields) };
    const worker = makeWorker({ address: server.address, tls: true, logger });
    void worker.start();
    await awaitThat('it has tried twice', () => ended.length >= 2);
    expect(ended[0]).toMatchObject({ code: unavailable, details: expect.stringContaining('self-signed') });
    expect(server.streams).toEqual([]);
  });
});
