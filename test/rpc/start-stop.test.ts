/** Servers start and stop in any order, any number of times at once, under load, and leave nothing behind. */
import { connect } from 'node:net';
import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { noMetrics } from '../../src/platform/metrics.ts';
import { createChain } from '../../src/rpc/chain.ts';
import { GrpcServer } from '../../src/rpc/grpc-server.ts';
import { HttpServer } from '../../src/rpc/http-server.ts';
import { createServices } from '../../src/rpc/services/services.ts';
import { createGrpcJsTransport } from '../conformance/transports.ts';
import { FakeOperations } from '../support/fake-operations.ts';

const operations = new FakeOperations();
const services = createServices(operations);
const refusals = { record: () => undefined };
const chain = createChain({
  clock: systemClock,
  logger: silentLogger,
  metrics: noMetrics,
  services,
  refusals,
});
const common = {
  services,
  chain,
  ready: () => operations.ready(),
  clock: systemClock,
  logger: silentLogger,
  stopGraceMs: 1_000,
};

const kinds = [
  { name: 'the gRPC server', make: (address = '127.0.0.1:0') => new GrpcServer({ ...common, address }) },
  { name: 'the HTTP server', make: (address = '127.0.0.1:0') => new HttpServer({ ...common, address }) },
] as const;

/** Whether somebody listens there. */
function isListening(address: string): Promise<boolean> {
  const [host, port] = address.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

describe.each(kinds)('$name', ({ name, make }) => {
  it('stops before it has started, and does not start any more', async () => {
    const server = make();
    await server.stop();
    await server.start();
    expect(() => server.address).toThrow('does not listen yet');
  });

  it('stops while it starts', async () => {
    const server = make();
    await Promise.all([server.start(), server.stop()]);
    expect(await isListening(server.address)).toBe(false);
  });

  it('starts once and stops once however often it is asked', async () => {
    const server = make();
    await Promise.all([server.start(), server.start(), server.start()]);
    expect(await isListening(server.address)).toBe(true);
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    expect(await isListening(server.address)).toBe(false);
  });

  it('says so when it cannot listen, and can still be stopped', async () => {
    const first = make();
    await first.start();
    const second = make(first.address);
    await expect(second.start()).rejects.toThrow(`cannot listen on ${first.address}`);
    await second.stop();
    await first.stop();
  });

  it.each(['', 'nowhere', '127.0.0.1', 'http://127.0.0.1:0', '127.0.0.1:99999'])(
    'does not take the address %j',
    async (address) => {
      const server = make(address);
      await expect(server.start()).rejects.toThrow('host:port');
      await server.stop();
    },
  );

  it('listens on IPv6 and says so in brackets', async () => {
    const server = make('[::1]:0');
    await server.start();
    expect(server.address).toMatch(/^\[::1\]:\d+$/);
    await server.stop();
  });

  it('stops under load, again and again, within its time', async () => {
    for (let round = 0; round < 15; round++) {
      const server = make();
      await server.start();
      const { address } = server;
      const transport: Transport & { close?(): void } =
        name === 'the gRPC server'
          ? createGrpcJsTransport(address)
          : createConnectTransport({
              baseUrl: `http://${address}`,
              httpVersion: round % 2 === 0 ? '1.1' : '2',
            });
      const jobs = createClient(JobService, transport);
      let isOver = false;
      let succeeded = 0;
      const callers = Array.from({ length: 8 }, async () => {
        while (!isOver) {
          // Calls that a stopping server refuses, or whose connection is gone, are what callers retry.
          await jobs.list({}).then(
            () => succeeded++,
            () => new Promise((resolve) => setImmediate(resolve)),
          );
        }
      });
      while (succeeded < 5 + round) await new Promise((resolve) => setImmediate(resolve));
      const startedMs = performance.now();
      await server.stop();
      isOver = true;
      transport.close?.();
      // The grace time is ten seconds.
      expect(performance.now() - startedMs).toBeLessThan(8_000);
      await Promise.all(callers);
      expect(await isListening(address)).toBe(false);
    }
  });
});
