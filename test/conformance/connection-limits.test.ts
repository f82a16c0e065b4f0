/** What one connection may do, on both ports, with TLS and without. During each abuse another caller is served. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { Code, createClient, type Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ExecutionServiceStreamRequestSchema } from '../../gen/carillon/v1/execution_service_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { ConnectionCounter } from '../../src/rpc/connection-counter.ts';
import type { ConnectionGuardOptions } from '../../src/rpc/connection-guard.ts';
import { TlsMaterial } from '../../src/rpc/tls-material.ts';
import { awaitPassing } from '../support/await-passing.ts';
import { fakeNow } from '../support/fake-operations.ts';
import { firstListener } from '../support/identities.ts';
import { flags, frameOf, frameTypes, grpcHeaders, grpcMessage, RawHttp2 } from '../support/raw-http2.ts';
import { useMountedTls } from '../support/tls-files.ts';
import { type Servers, startServers } from './servers.ts';

const list = '/carillon.v1.JobService/List';
const stream = '/carillon.v1.ExecutionService/Stream';
const streamRequest = grpcMessage(
  toBinary(
    ExecutionServiceStreamRequestSchema,
    create(ExecutionServiceStreamRequestSchema, { source: { case: 'executionId', value: 1n } }),
  ),
);

/** Error codes of HTTP/2. */
const noError = 0;
const refusedStream = 7;
const cancel = 8;
const enhanceYourCalm = 11;

type Port = { readonly name: string; readonly port: 'grpc' | 'http'; readonly ca?: string };

const plainPorts: readonly Port[] = [
  { name: 'the gRPC port', port: 'grpc' },
  { name: 'the HTTP port', port: 'http' },
];
const ports: readonly Port[] = [
  ...plainPorts,
  ...plainPorts.map(({ name, port }) => ({ name: `${name} with TLS`, port, ca: firstListener.cert })),
];

const mountTls = useMountedTls();
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(port: Port, guard: Partial<ConnectionGuardOptions> = {}): Promise<Servers> {
  if (port.ca === undefined) return startServers({ grpc: { guard }, http: { guard } });
  const files = await mountTls(firstListener);
  const tls = new TlsMaterial({ files, clock: systemClock, logger: silentLogger });
  await tls.start();
  const servers = await startServers({ grpc: { tls, guard }, http: { tls, guard } });
  const stop = async (): Promise<void> => {
    await servers.stop();
    await tls.stop();
  };
  return { ...servers, stop };
}

/** Servers for one test. */
async function startOwn(port: Port, guard: Partial<ConnectionGuardOptions>): Promise<Servers> {
  const servers = await start(port, guard);
  cleanups.push(() => servers.stop());
  return servers;
}

async function open(servers: Servers, port: Port, settings = {}): Promise<RawHttp2> {
  const raw = await RawHttp2.open(servers[port.port].address, { ca: port.ca, settings });
  cleanups.push(() => raw.socket.destroy());
  await awaitPassing(() => expect(raw.framesOf(frameTypes.settings)).not.toEqual([]));
  raw.acknowledge();
  return raw;
}

function transportTo(servers: Servers, { port, ca }: Port): Transport {
  const baseUrl = `${ca === undefined ? 'http' : 'https'}://${servers[port].address}`;
  return createGrpcTransport({ baseUrl, nodeOptions: { ca } });
}

const isServed = async (servers: Servers, port: Port): Promise<void> => {
  expect((await createClient(JobService, transportTo(servers, port)).list({})).jobs).toEqual([]);
};

/** Whether a call on this very connection is answered. */
async function isAnswered(raw: RawHttp2, streamId: number): Promise<void> {
  raw.headers(streamId, grpcHeaders(list));
  raw.data(streamId, grpcMessage(Buffer.alloc(0)));
  await awaitPassing(() =>
    expect(raw.frames).toContainEqual(expect.objectContaining({ type: frameTypes.headers, streamId })),
  );
}

describe.each(ports)('$name', (port) => {
  let servers: Servers;

  beforeAll(async () => {
    servers = await start(port);
  });
  afterAll(() => servers.stop());
  afterEach(() => {
    servers.operations.streamMessages = [];
    servers.operations.streamEnd = undefined;
  });

  it('announces how many calls and headers it takes', async () => {
    const raw = await open(servers, port);
    const [{ payload } = { payload: Buffer.alloc(0) }] = raw.framesOf(frameTypes.settings);
    const announced = new Map<number, number>();
    for (let at = 0; at < payload.length; at += 6)
      announced.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    expect(announced.get(3)).toBe(1_000);
    expect(announced.get(6)).toBe(32_768);
  });

  it('does not take more calls at once than it has announced', async () => {
    const raw = await open(servers, port);
    for (let id = 1; id <= 2_001; id += 2) raw.headers(id, grpcHeaders(list));
    await Promise.race([raw.closed, awaitPassing(() => expect(raw.resetCode(2_001)).toBe(refusedStream))]);
    await isServed(servers, port);
  });

  it.each<[string, readonly (readonly [string, string])[]]>([
    ['pairs', Array.from({ length: 140 }, (_, i) => [`x-${i}`, 'a'] as const)],
    ['bytes', Array.from({ length: 40 }, (_, i) => [`x-${i}`, 'a'.repeat(1_000)] as const)],
    ['bytes in one header', [['x-a', 'a'.repeat(40_000)] as const]],
  ])('resets a call with too many %s of headers, and goes on with the connection', async (_what, more) => {
    const raw = await open(servers, port);
    raw.headers(1, grpcHeaders(list, more), true);
    await awaitPassing(() => expect(raw.resetCode(1)).toBe(enhanceYourCalm));
    await isAnswered(raw, 3);
  });

  it('ends a connection whose headers have no end', async () => {
    const raw = await open(servers, port);
    raw.send(frameOf(frameTypes.headers, 0, 1));
    for (let i = 0; i < 10_000; i++)
      raw.send(frameOf(frameTypes.continuation, 0, 1, Buffer.from([0, 1, 97, 1, 97])));
    await raw.closed;
    await isServed(servers, port);
  });

  it('answers pings like keepalives, and as many as behind its own data', async () => {
    servers.operations.streamMessages = Array.from({ length: 400 }, (_, i) => ({
      cursor: `${i}`,
      event: {
        kind: 'log',
        entry: {
          executionId: 1,
          seq: i + 1,
          at: fakeNow,
          level: 'INFO',
          message: 'x'.repeat(500),
          attempt: 1,
        },
      },
    }));
    servers.operations.streamEnd = 'done';
    const raw = await open(servers, port, { 4: 1_000 });
    raw.send(...Array.from({ length: 50 }, () => frameOf(frameTypes.ping, 0, 0, Buffer.alloc(8))));
    raw.headers(1, grpcHeaders(stream));
    raw.data(1, streamRequest);
    const credit = Buffer.alloc(4);
    credit.writeUInt32BE(600);
    let seen = 0;
    // As clients that measure their bandwidth do: a ping for what has come, answered before the next.
    for (let pings = 50; pings < 250; pings++) {
      await awaitPassing(() => expect(raw.framesOf(frameTypes.data).length).toBeGreaterThan(seen), 1);
      seen = raw.framesOf(frameTypes.data).length;
      raw.send(
        frameOf(frameTypes.ping, 0, 0, Buffer.alloc(8)),
        frameOf(frameTypes.windowUpdate, 0, 1, credit),
        frameOf(frameTypes.windowUpdate, 0, 0, credit),
      );
      await awaitPassing(() => expect(raw.framesOf(frameTypes.ping).length).toBeGreaterThan(pings), 1);
    }
    expect(raw.goawayCode).toBeUndefined();
  });

  it.each([
    ['pings', frameOf(frameTypes.ping, 0, 0, Buffer.alloc(8))],
    ['settings', frameOf(frameTypes.settings, 0, 0)],
  ])('ends a connection that goes on with %s, and says why', async (_what, frame) => {
    const raw = await open(servers, port);
    for (let i = 0; i < 1_000 && raw.goawayCode === undefined; i++) {
      const answered = once(raw.socket, 'data');
      raw.send(frame);
      await answered;
    }
    expect(raw.goawayCode).toBe(enhanceYourCalm);
    await raw.closed;
    expect(servers.logged).toContainEqual(expect.objectContaining({ message: 'connection or stream ended' }));
    await isServed(servers, port);
  });

  it.each([
    ['pings', frameOf(frameTypes.ping, 0, 0, Buffer.alloc(8))],
    ['settings', frameOf(frameTypes.settings, 0, 0)],
  ])('ends a connection that floods it with %s', async (_what, frame) => {
    const raw = await open(servers, port);
    for (let i = 0; i < 200; i++) raw.send(...Array.from({ length: 100 }, () => frame));
    await raw.closed;
    await isServed(servers, port);
  });

  it('ends a connection that opens calls and resets them at once', async () => {
    const raw = await open(servers, port);
    const reset = (id: number): Buffer =>
      frameOf(frameTypes.rstStream, 0, id, Buffer.from([0, 0, 0, cancel]));
    for (let id = 1; id < 20_000 && raw.socket.writable; id += 2) {
      raw.headers(id, grpcHeaders(list));
      raw.send(reset(id));
      if (id % 100 === 1) await new Promise((resolve) => setImmediate(resolve));
    }
    await raw.closed;
    await isServed(servers, port);
  });

  it.each<[string, (raw: RawHttp2) => void]>([
    ['a frame that is too long', (raw) => raw.send(frameOf(frameTypes.data, 0, 1, Buffer.alloc(20_000)))],
    ['data on no stream', (raw) => raw.send(frameOf(frameTypes.data, 0, 0, Buffer.alloc(10)))],
    [
      'headers that cannot be decoded',
      (raw) =>
        raw.send(
          frameOf(frameTypes.headers, flags.endHeaders, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ),
    ],
    [
      'a window beyond its bound',
      (raw) => raw.send(frameOf(frameTypes.windowUpdate, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff]))),
    ],
    [
      'a header that no table holds',
      (raw) => raw.headers(1, grpcHeaders(list, [['x-a', 'a'.repeat(70_000)]])),
    ],
    [
      'data without end that is empty',
      (raw) => {
        raw.headers(1, grpcHeaders(list));
        raw.send(...Array.from({ length: 1_000 }, () => frameOf(frameTypes.data, 0, 1)));
      },
    ],
  ])('ends a connection that sends %s', async (_what, send) => {
    const raw = await open(servers, port);
    send(raw);
    await raw.closed;
    await isServed(servers, port);
  });
});

/** What is sent, with more headers, and the code of the refusal. */
const abusiveMessages: readonly [string, Buffer, readonly (readonly [string, string])[], Code][] = [
  ['a message of 50 MB', grpcMessage(Buffer.alloc(50_000_000)), [], Code.ResourceExhausted],
  [
    'gzip that inflates to 1 GB',
    grpcMessage(bomb(), true),
    [['grpc-encoding', 'gzip']],
    Code.ResourceExhausted,
  ],
  ['messages 5,000 deep', grpcMessage(nested(5_000)), [], Code.InvalidArgument],
];

describe.each(plainPorts)('$name', (port) => {
  it('closes a connection that does not begin', async () => {
    const servers = await startOwn(port, { firstFramesTimeoutMs: 100 });
    const socket = connectTcp(Number(servers[port.port].address.split(':')[1]), '127.0.0.1');
    cleanups.push(() => socket.destroy());
    socket.on('error', () => undefined).write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.resume();
    await once(socket, 'close');
    await isServed(servers, port);
  });

  it('tells a connection without calls to go, and leaves one with a call alone', async () => {
    const servers = await startOwn(port, { idleTimeoutMs: 700 });
    const busy = await open(servers, port);
    busy.headers(1, grpcHeaders(stream));
    busy.data(1, streamRequest);
    const idle = await open(servers, port);
    await isAnswered(idle, 1);
    await awaitPassing(() => expect(idle.goawayCode).toBe(noError));
    // Several looks go by while the other one waits.
    const another = await open(servers, port);
    await awaitPassing(() => expect(another.goawayCode).toBe(noError));
    expect(busy.goawayCode).toBeUndefined();
    busy.send(frameOf(frameTypes.rstStream, 0, 1, Buffer.from([0, 0, 0, cancel])));
    await awaitPassing(() => expect(busy.goawayCode).toBe(noError));
  });

  it('tells an old connection to go, and ends its calls when they do not', async () => {
    const servers = await startOwn(port, { maxAgeMs: 1_000, ageGraceMs: 200 });
    const raw = await open(servers, port);
    raw.headers(1, grpcHeaders(stream));
    raw.data(1, streamRequest);
    await awaitPassing(() => expect(servers.operations.openStreams).toBe(1));
    await awaitPassing(() => expect(raw.goawayCode).toBe(noError));
    await raw.closed;
    await awaitPassing(() => expect(servers.operations.openStreams).toBe(0));
  });

  it('resets a unary call whose answer nobody takes, and leaves the connection to the others', async () => {
    const servers = await startOwn(port, { stallTimeoutMs: 200 });
    const raw = await open(servers, port, { 4: 0 });
    raw.headers(1, grpcHeaders(list));
    raw.data(1, grpcMessage(Buffer.alloc(0)));
    let answered = 0;
    const answerPings = setInterval(() => {
      const asked = raw.framesOf(frameTypes.ping).filter((frame) => frame.flags === 0);
      for (; answered < asked.length; answered++) {
        raw.send(frameOf(frameTypes.ping, flags.ack, 0, asked[answered]?.payload));
      }
    }, 10);
    cleanups.push(() => clearInterval(answerPings));
    await awaitPassing(() => expect(raw.resetCode(1)).toBe(cancel));
    raw.headers(3, grpcHeaders('/carillon.v1.JobService/Nothing'));
    raw.data(3, grpcMessage(Buffer.alloc(0)));
    await awaitPassing(() =>
      expect(raw.frames).toContainEqual(expect.objectContaining({ type: frameTypes.headers, streamId: 3 })),
    );
  });

  it('cuts off a caller that reads nothing at all', async () => {
    const servers = await startOwn(port, { stallTimeoutMs: 200, lifeSignTimeoutMs: 200 });
    servers.operations.streamMessages = Array.from({ length: 100_000 }, (_, i) => ({
      cursor: `${i}`,
      event: {
        kind: 'log',
        entry: {
          executionId: 1,
          seq: i + 1,
          at: fakeNow,
          level: 'INFO',
          message: 'x'.repeat(1_000),
          attempt: 1,
        },
      },
    }));
    const raw = await open(servers, port, { 4: 0x7f_ff_ff_ff });
    const credit = Buffer.alloc(4);
    credit.writeUInt32BE(0x7f_ff_00_00);
    raw.send(frameOf(frameTypes.windowUpdate, 0, 0, credit));
    raw.headers(1, grpcHeaders(stream));
    raw.data(1, streamRequest);
    await awaitPassing(() => expect(raw.framesOf(frameTypes.data)).not.toEqual([]));
    raw.socket.pause();
    await awaitPassing(() => expect(servers.operations.openStreams).toBe(0));
    expect(servers.operations.streamedMessages).toBeLessThan(100_000);
    raw.socket.resume();
    await raw.closed;
    await isServed(servers, port);
  });

  it.each(abusiveMessages)('refuses %s', async (_what, message, more, code) => {
    const servers = await startOwn(port, {});
    const baseline = process.memoryUsage().rss;
    // The caller's own memory counts what waits to be sent, and takes no answer beyond its limit.
    const session = connectHttp2(`http://${servers[port.port].address}`, { maxSessionMemory: 1_000 });
    cleanups.push(() => session.destroy());
    session.on('error', () => undefined);
    const headers = Object.fromEntries(grpcHeaders('/carillon.v1.JobService/Trigger', more));
    const call = session.request(headers);
    let status: unknown;
    call.on('error', () => undefined);
    call.on('response', (answer) => {
      status ??= answer['grpc-status'];
    });
    call.on('trailers', (trailers) => {
      status ??= trailers['grpc-status'];
    });
    call.resume();
    call.end(message);
    await awaitPassing(() => expect(status).toBe(String(code)));
    // The bomb is a gigabyte: it is not inflated to see how large it is.
    expect(process.memoryUsage().rss - baseline).toBeLessThan(300_000_000);
    await isServed(servers, port);
  });
});

it('closes HTTP/1 connections of readers that take nothing, and old ones with their next answer', async () => {
  const port: Port = { name: '', port: 'http' };
  const servers = await startOwn(port, { stallTimeoutMs: 200 });
  servers.operations.streamMessages = Array.from({ length: 100_000 }, (_, i) => ({
    cursor: `${i}`,
    event: {
      kind: 'log',
      entry: {
        executionId: 1,
        seq: i + 1,
        at: fakeNow,
        level: 'INFO',
        message: 'x'.repeat(1_000),
        attempt: 1,
      },
    },
  }));
  const socket = speakTo(servers);
  const body = Buffer.from('\0\0\0\0\u0013{"executionId":"1"}', 'latin1');
  const head = `POST ${stream} HTTP/1.1\r\nHost: a\r\nContent-Type: application/connect+json\r\nContent-Length: ${body.length}\r\n\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), body]));
  await once(socket, 'data');
  socket.pause();
  await awaitPassing(() => expect(servers.operations.openStreams).toBe(0));

  const aging = await startOwn(port, { maxAgeMs: 50 });
  const old = speakTo(aging);
  let answers = '';
  old.on('data', (chunk) => {
    answers += String(chunk);
  });
  const ask = setInterval(() => old.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n'), 20);
  cleanups.push(() => clearInterval(ask));
  await once(old, 'close');
  expect(answers).toMatch(/200 OK[\s\S]*connection: close/i);
});

describe('the number of connections', () => {
  const counterOf = (limits: { readonly max?: number; readonly maxPerAddress?: number }) =>
    new ConnectionCounter({ clock: systemClock, logger: silentLogger, ...limits });

  /** True when the server has not closed it after another caller was answered. */
  async function stays(socket: Socket, served: () => Promise<unknown>): Promise<boolean> {
    let isClosed = false;
    socket
      .on('error', () => undefined)
      .on('close', () => {
        isClosed = true;
      });
    await once(socket, 'connect');
    socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    await served();
    return !isClosed;
  }

  it('of one address is limited over both ports, and of all callers', async () => {
    for (const limits of [{ maxPerAddress: 3 }, { max: 3 }]) {
      const servers = await startOwn(plainPorts[0]!, { connections: counterOf(limits) });
      const [grpc, first] = [await RawHttp2.open(servers.grpc.address), speakTo(servers)];
      cleanups.push(() => grpc.socket.destroy());
      const nothing = (): Promise<void> => Promise.resolve();
      expect(await stays(first, nothing)).toBe(true);
      const second = speakTo(servers);
      expect(await stays(second, nothing)).toBe(true);
      const third = speakTo(servers);
      expect(await stays(third, nothing)).toBe(false);
      second.destroy();
      await awaitPassing(async () => expect(await stays(speakTo(servers), nothing)).toBe(true));
    }
  });
});

function speakTo(servers: Servers): Socket {
  const socket = connectTcp(Number(servers.http.address.split(':')[1]), '127.0.0.1');
  cleanups.push(() => socket.destroy());
  return socket;
}

/** A gigabyte of zeros, compressed: about a megabyte. */
function bomb(): Buffer {
  // Members of gzip one behind the other are one file.
  const member = gzipSync(Buffer.alloc(64 * 1_024 * 1_024));
  return Buffer.concat(Array.from({ length: 16 }, () => member));
}

/** Field 1 of a message in itself, so many times. */
function nested(levels: number): Buffer {
  let value = Buffer.alloc(0);
  for (let i = 0; i < levels; i++) {
    const length = [0x80 | (value.length & 0x7f), 0x80 | ((value.length >> 7) & 0x7f), value.length >> 14];
    value = Buffer.concat([Buffer.from([0x0a, ...length]), value]);
  }
  return value;
}
