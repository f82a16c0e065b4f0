import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { describe, expect, it } from 'vitest';
import type { GrpcTargetClient } from '../../../src/engine/targets/grpc-target-client.ts';
import { awaitThat } from '../../support/await-that.ts';
import { createGrpcClient, grpcTarget } from './grpc/attempt.ts';
import { answerHeaders, startGrpcCallee, startHttp2Callee } from './grpc/callee.ts';
import { HandClock, recordedContext, sampleDelivery } from './http/attempt.ts';
import { localhostCertificate, testKey } from './http/certificates.ts';

const deliver = (client: GrpcTargetClient, address: string, context = recordedContext()) =>
  client.deliver(grpcTarget(address), sampleDelivery, context);

const answerOk = (stream: ServerHttp2Stream): void =>
  stream.respond({ ...answerHeaders, 'grpc-status': 0 }, { endStream: true });

/** A callee that answers when so many calls are open. */
async function startAwaiting(calls: number, settings: object = {}) {
  const open: ServerHttp2Stream[] = [];
  return startHttp2Callee((stream) => {
    open.push(stream);
    if (open.length === calls) for (const each of open.splice(0)) answerOk(each);
  }, settings);
}

describe('attempts to one callee', () => {
  it('share a connection, one after the other and at once', async () => {
    const callee = await startAwaiting(20);
    const client = createGrpcClient();
    for (let round = 0; round < 2; round++) {
      const results = await Promise.all(Array.from({ length: 20 }, () => deliver(client, callee.address)));
      expect(results.every(({ outcome }) => outcome === 'SUCCEEDED')).toBe(true);
    }
    expect(callee.sessions).toHaveLength(1);
    expect(client.connectionCount).toBe(1);
  });

  it('take another connection beyond the limit of one', async () => {
    const callee = await startAwaiting(20);
    const client = createGrpcClient({ maxCallsPerConnection: 8 });
    await Promise.all(Array.from({ length: 20 }, () => deliver(client, callee.address)));
    expect(callee.sessions).toHaveLength(3);
  });

  it('take another connection beyond the limit that the callee sets', async () => {
    const callee = await startHttp2Callee((stream) => setImmediate(() => answerOk(stream)), {
      maxConcurrentStreams: 2,
    });
    const client = createGrpcClient();
    await deliver(client, callee.address);
    await Promise.all(Array.from({ length: 6 }, () => deliver(client, callee.address)));
    expect(callee.sessions.length).toBeGreaterThan(1);
  });

  it('with other TLS options have another connection', async () => {
    const tls = { key: testKey, cert: localhostCertificate };
    const callee = await startGrpcCallee((call) => call.end(), { tls });
    const client = createGrpcClient();
    const trusted = { caPem: localhostCertificate };
    for (const options of [trusted, { ...trusted, serverName: 'localhost' }, { ...trusted }]) {
      const target = grpcTarget(`localhost:${callee.port}`, { tls: options });
      const result = await client.deliver(target, sampleDelivery, recordedContext());
      expect(result.outcome).toBe('SUCCEEDED');
    }
    expect(client.connectionCount).toBe(2);
  });
});

describe('a connection without attempts', () => {
  it('is closed after the idle time, unless an attempt takes it before', async () => {
    const clock = new HandClock();
    const callee = await startHttp2Callee(answerOk);
    const client = createGrpcClient({ clock, idleConnectionMs: 7_000 });
    const idleTimers = () => [...clock.timers.values()].filter((ms) => ms === 7_000).length;
    await deliver(client, callee.address);
    await deliver(client, callee.address);
    await awaitThat('it is idle', () => idleTimers() === 1);
    const [session] = callee.sessions;
    const closed = once(session!, 'close');
    clock.fireAll();
    await closed;
    expect(client.connectionCount).toBe(0);
    await deliver(client, callee.address);
    expect(callee.sessions).toHaveLength(2);
  });

  it('is closed for another one when there are too many, the longest idle first', async () => {
    const callees = await Promise.all([1, 2, 3].map(() => startHttp2Callee(answerOk)));
    const client = createGrpcClient({ maxIdleConnections: 2 });
    const [first, second, third] = callees as [(typeof callees)[0], (typeof callees)[0], (typeof callees)[0]];
    await deliver(client, first.address);
    await deliver(client, second.address);
    await deliver(client, first.address);
    const closed = once(second.sessions[0]!, 'close');
    await deliver(client, third.address);
    await closed;
    expect(client.connectionCount).toBe(2);
    await deliver(client, first.address);
    expect(first.sessions).toHaveLength(1);
  });

  it('that the callee closes is forgotten', async () => {
    const callee = await startHttp2Callee(answerOk);
    const client = createGrpcClient();
    await deliver(client, callee.address);
    const [session] = callee.sessions;
    session!.socket.destroy();
    await once(session!, 'close');
    expect((await deliver(client, callee.address)).outcome).toBe('SUCCEEDED');
    expect(callee.sessions).toHaveLength(2);
    expect(client.connectionCount).toBe(1);
  });
});

describe('a connection on which an attempt heard nothing until it was given up', () => {
  it('takes no new attempts, and goes with the last one that it has', async () => {
    const streams = [Promise.withResolvers<ServerHttp2Stream>(), Promise.withResolvers<ServerHttp2Stream>()];
    const callee = await startHttp2Callee((stream) => {
      const at = callee.streams.length - 1;
      if (at < 2) streams[at]!.resolve(stream);
      else answerOk(stream);
    });
    const client = createGrpcClient();
    const silent = recordedContext();
    const givenUp = deliver(client, callee.address, silent);
    const working = deliver(client, callee.address);
    const [stream, other] = await Promise.all(streams.map(({ promise }) => promise));
    const closed = once(stream!, 'close');
    silent.abort();
    await givenUp;
    await closed;
    expect((await deliver(client, callee.address)).outcome).toBe('SUCCEEDED');
    expect(callee.sessions).toHaveLength(2);
    const firstClosed = once(callee.sessions[0]!, 'close');
    answerOk(other!);
    expect((await working).outcome).toBe('SUCCEEDED');
    await firstClosed;
    expect(client.connectionCount).toBe(1);
  });
});
