/** TLS on both ports, in every protocol: what is served, who is refused, who calls, and certificates that change. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { get as getHttps } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { systemClock } from '../../src/platform/clock.ts';
import type { Interceptor } from '../../src/rpc/call.ts';
import type { ClientCertificate } from '../../src/rpc/client-certificate.ts';
import { TlsMaterial } from '../../src/rpc/tls-material.ts';
import { expiredClientCertificate, firstKey } from '../engine/targets/http/client-certificates.ts';
import { awaitPassing } from '../support/await-passing.ts';
import { fakeNow } from '../support/fake-operations.ts';
import {
  callerAuthority,
  firstListener,
  type Identity,
  secondListener,
  stranger,
  twoNamedCaller,
  worker,
} from '../support/identities.ts';
import {
  emptyRevocationList,
  expiredRevocationList,
  keptCaller,
  otherRevocationList,
  revocationList,
  revokedCaller,
  revokingAuthority,
} from '../support/revoked-identities.ts';
import { type MountedTls, type TlsContent, useMountedTls } from '../support/tls-files.ts';
import { type LogLine, memoryLogger, type Servers, type ServersOptions, startServers } from './servers.ts';

type Port = 'grpc' | 'http';

/** A way to call with TLS. */
type Way = {
  readonly name: string;
  readonly port: Port;
  open(baseUrl: string, tls: ConnectionOptions): Transport;
};

const ways: readonly Way[] = [
  {
    name: 'gRPC to the gRPC port',
    port: 'grpc',
    open: (baseUrl, nodeOptions) => createGrpcTransport({ baseUrl, nodeOptions }),
  },
  {
    name: 'gRPC to the HTTP port',
    port: 'http',
    open: (baseUrl, nodeOptions) => createGrpcTransport({ baseUrl, nodeOptions }),
  },
  {
    name: 'Connect over HTTP/1.1',
    port: 'http',
    open: (baseUrl, nodeOptions) => createConnectTransport({ baseUrl, nodeOptions, httpVersion: '1.1' }),
  },
  {
    name: 'Connect over HTTP/2',
    port: 'http',
    open: (baseUrl, nodeOptions) => createConnectTransport({ baseUrl, nodeOptions, httpVersion: '2' }),
  },
];

const trust = { ca: [firstListener.cert, secondListener.cert] };
const ports = ['grpc', 'http'] as const;
const mountTls = useMountedTls();
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type TlsServers = Servers & {
  readonly files: MountedTls;
  readonly tls: TlsMaterial;
  /** What each call knew of its caller's certificate. */
  readonly callers: (ClientCertificate | undefined)[];
  readonly tlsLog: LogLine[];
};

async function startTls(
  options: ServersOptions = {},
  content: TlsContent = { ...firstListener, ca: callerAuthority },
): Promise<TlsServers> {
  const files = await mountTls(content);
  const tlsLog: LogLine[] = [];
  const tls = new TlsMaterial({ files, clock: systemClock, logger: memoryLogger(tlsLog) });
  await tls.start();
  const callers: (ClientCertificate | undefined)[] = [];
  const seeCallers: Interceptor = {
    name: 'caller',
    open: (call) => void callers.push(call.clientCertificate()),
  };
  const servers = await startServers({
    ...options,
    moreInterceptors: [seeCallers],
    grpc: { tls, ...options.grpc },
    http: { tls, ...options.http },
  });
  const stop = async (): Promise<void> => {
    await servers.stop();
    await tls.stop();
  };
  return { ...servers, files, tls, callers, tlsLog, stop };
}

function hostAndPort(servers: Servers, port: Port): { readonly host: string; readonly port: number } {
  return { host: '127.0.0.1', port: Number(servers[port].address.split(':')[1]) };
}

/** Opens a TLS connection by hand and waits for its handshake. */
async function handshake(servers: Servers, port: Port, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connectTls({ ...hostAndPort(servers, port), ...trust, ALPNProtocols: ['h2'], ...options });
  cleanups.push(() => socket.destroy());
  await once(socket, 'secureConnect');
  socket.on('error', () => undefined);
  return socket;
}

/** Opens an HTTP/2 connection; however it ends, that is no fault of the test. */
function connectHttp2(servers: Servers, port: Port): ClientHttp2Session {
  const session = connect(`https://${servers[port].address}`, trust);
  session.on('error', () => undefined);
  cleanups.push(() => session.destroy());
  return session;
}

const closed = (socket: Socket): Promise<unknown> => {
  socket.on('error', () => undefined);
  socket.resume();
  return new Promise((resolve) => socket.once('close', resolve));
};

/** Lists the jobs with a transport. */
const list = (transport: Transport) => createClient(JobService, transport).list({}, { timeoutMs: 10_000 });

describe('both ports with TLS', () => {
  let servers: TlsServers;

  beforeAll(async () => {
    servers = await startTls({ http: { corsOrigins: ['https://ops.example.com'] } });
  });
  afterAll(() => servers.stop());
  afterEach(() => {
    servers.callers.length = 0;
    servers.tlsLog.length = 0;
  });

  const open = ({ port, open }: Way, identity: Partial<Identity> = {}): Transport =>
    open(`https://${servers[port].address}`, { ...trust, ...identity });

  describe.each(ways)('$name', (way) => {
    it('serves callers without a certificate, who are nobody', async () => {
      expect((await list(open(way))).jobs).toEqual([]);
      expect(servers.callers).toEqual([undefined]);
    });

    it('tells what the certificate of a caller says', async () => {
      const transport = open(way, worker);
      await list(transport);
      await list(transport);
      expect(servers.callers).toEqual([
        {
          subjectName: 'report worker',
          dnsNames: ['worker.example', '*.workers.example'],
          uris: ['spiffe://example.org/worker', 'spiffe://example.org/a, DNS:admin.example'],
          fingerprint256: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
          validTo: expect.any(Date),
        },
        servers.callers[0],
      ]);
      if (way.name !== 'Connect over HTTP/1.1') expect(servers.callers[1]).toBe(servers.callers[0]);
    });

    it('takes two names for none', async () => {
      await list(open(way, twoNamedCaller));
      expect(servers.callers).toMatchObject([{ subjectName: undefined, dnsNames: [], uris: [] }]);
    });

    it.each([
      ['that no trusted authority has signed', stranger],
      ['that has expired', { cert: expiredClientCertificate, key: firstKey }],
    ])('refuses a caller with a certificate %s, and says so in the log', async (_what, identity) => {
      const error = await list(open(way, identity)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ConnectError);
      expect((error as ConnectError).code).not.toBe(Code.Unauthenticated);
      expect(servers.callers).toEqual([]);
      expect(servers.tlsLog).toContainEqual(
        expect.objectContaining({
          level: 'info',
          message: 'client certificate refused',
          remoteAddress: '127.0.0.1',
        }),
      );
    });

    it('carries streams', async () => {
      servers.operations.streamMessages = [{ cursor: 'c', event: { kind: 'heartbeat', at: fakeNow } }];
      servers.operations.streamEnd = 'done';
      const messages = createClient(ExecutionService, open(way, worker)).stream({
        source: { case: 'executionId', value: 1n },
      });
      const cursors: string[] = [];
      for await (const { cursor } of messages) cursors.push(cursor);
      expect(cursors).toEqual(['c']);
      expect(servers.callers).toMatchObject([{ subjectName: 'report worker' }]);
    });
  });

  it.each(ports)('the %s port speaks TLS 1.3 where it can, 1.2 at least', async (port) => {
    expect((await handshake(servers, port)).getProtocol()).toBe('TLSv1.3');
    expect((await handshake(servers, port, { maxVersion: 'TLSv1.2' })).getProtocol()).toBe('TLSv1.2');
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await expect(handshake(servers, port, old)).rejects.toThrow(/protocol version|handshake failure/);
  });

  it.each(ports)('the %s port cuts off what is no TLS, and goes on', async (port) => {
    for (const text of [
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      '\x16\x03\x01\xff\xff',
    ]) {
      const socket = connectTcp(hostAndPort(servers, port));
      const ended = closed(socket);
      socket.end(text, 'latin1');
      await ended;
    }
    await list(open(ways.find((way) => way.port === port) as Way));
  });

  it('the HTTP port speaks the version that the caller asks for, HTTP/1.1 to one that does not', async () => {
    const versionOf = async (ALPNProtocols: string[] | undefined) =>
      (await handshake(servers, 'http', { ALPNProtocols })).alpnProtocol;
    expect(await versionOf(['h2', 'http/1.1'])).toBe('h2');
    expect(await versionOf(['http/1.1'])).toBe('http/1.1');
    await expect(versionOf(['spdy/3'])).rejects.toThrow();
    const socket = await handshake(servers, 'http', { ALPNProtocols: undefined });
    socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(String((await once(socket, 'data'))[0])).toContain('200 OK');
  });

  it('the HTTP port answers probes and preflights', async () => {
    const answerOf = (path: string, headers = {}, method = 'GET') =>
      new Promise<{ status: number | undefined; headers: Record<string, unknown> }>((resolve, reject) => {
        const where = {
          ...hostAndPort(servers, 'http'),
          ...trust,
          path,
          headers,
          method,
          agent: false as const,
        };
        getHttps(where, (answer) => {
          answer.resume();
          resolve({ status: answer.statusCode, headers: answer.headers });
        }).on('error', reject);
      });
    expect((await answerOf('/readyz')).status).toBe(200);
    const origin = 'https://ops.example.com';
    const preflight = { origin, 'access-control-request-method': 'POST' };
    expect(await answerOf('/carillon.v1.JobService/List', preflight, 'OPTIONS')).toMatchObject({
      status: 204,
      headers: { 'access-control-allow-origin': origin },
    });
  });
});

describe('a certificate that changes', () => {
  it.each(ways)('holds for new connections, and lets those that exist go on: $name', async (way) => {
    const servers = await startTls();
    cleanups.push(() => servers.stop());
    const shown = async (): Promise<string | undefined> =>
      (await handshake(servers, way.port)).getPeerX509Certificate()?.subject;
    expect(await shown()).toBe('CN=first listener');
    const before = way.open(`https://${servers[way.port].address}`, { ca: firstListener.cert });
    const kept = connectHttp2(servers, way.port);
    await once(kept, 'connect');
    await list(before);

    await servers.files.swap({ ...secondListener, ca: callerAuthority });
    await servers.tls.reread();
    expect(await shown()).toBe('CN=second listener');
    expect(
      (await list(way.open(`https://${servers[way.port].address}`, { ca: secondListener.cert }))).jobs,
    ).toEqual([]);
    await new Promise((resolve, reject) =>
      kept.ping((error) => (error ? reject(error) : resolve(undefined))),
    );
    if (way.name !== 'Connect over HTTP/1.1') await list(before);

    await servers.files.swap({ cert: firstListener.cert, key: secondListener.key });
    await servers.tls.reread();
    await servers.tls.reread();
    expect(await shown()).toBe('CN=second listener');
  });

  it.each(ports)(
    'changes with it who is trusted, also for callers who come back: the %s port',
    async (port) => {
      const servers = await startTls();
      cleanups.push(() => servers.stop());
      const first = await handshake(servers, port, worker);
      const [session] = (await once(first, 'session')) as [Buffer];
      await servers.files.swap({ ...firstListener, ca: secondListener.cert });
      await servers.tls.reread();
      // TLS 1.3 is done for the caller before it hears that it is refused.
      await closed(await handshake(servers, port, { ...worker, session }));
      expect(servers.tlsLog).toContainEqual(
        expect.objectContaining({ message: 'client certificate refused' }),
      );
    },
  );
});

describe.each(ways)('revocation lists: $name', (way) => {
  const ca = `${callerAuthority}${revokingAuthority}`;
  const startWith = async (crl: string | undefined): Promise<TlsServers> => {
    const servers = await startTls({}, { ...firstListener, ca, crl });
    cleanups.push(() => servers.stop());
    return servers;
  };
  const callAs = (servers: TlsServers, identity: Identity): Promise<'served' | 'cut off'> =>
    list(way.open(`https://${servers[way.port].address}`, { ...trust, ...identity })).then(
      () => 'served',
      (error: unknown) => {
        expect(error).toBeInstanceOf(ConnectError);
        return 'cut off';
      },
    );
  const reasons = ({ tlsLog }: TlsServers) =>
    tlsLog.flatMap(({ message, reason }) => (message === 'client certificate refused' ? [reason] : []));

  it('cut off a caller whose certificate is revoked, and no other of its authority', async () => {
    // OpenSSL by itself would read the first list of the file alone.
    const servers = await startWith(`${otherRevocationList}${revocationList}`);
    expect(await callAs(servers, keptCaller)).toBe('served');
    expect(await callAs(servers, revokedCaller)).toBe('cut off');
    expect(reasons(servers)).toEqual(['CERT_REVOKED']);
    expect(await list(way.open(`https://${servers[way.port].address}`, trust))).toMatchObject({ jobs: [] });
  });

  it('cut off callers whose authority has no list that holds', async () => {
    const servers = await startWith(revocationList);
    expect(await callAs(servers, worker)).toBe('cut off');
    const late = await startWith(expiredRevocationList);
    expect(await callAs(late, keptCaller)).toBe('cut off');
    expect([...reasons(servers), ...reasons(late)]).toEqual(['UNABLE_TO_GET_CRL', 'CRL_HAS_EXPIRED']);
  });

  it('are not asked for where there are none', async () => {
    const servers = await startWith(undefined);
    expect(await callAs(servers, revokedCaller)).toBe('served');
  });
});

it.each(ports)('a new revocation list holds from the next connection on: the %s port', async (port) => {
  const content = { ...firstListener, ca: revokingAuthority };
  const servers = await startTls({}, { ...content, crl: emptyRevocationList });
  cleanups.push(() => servers.stop());
  const before = await handshake(servers, port, revokedCaller);
  const [session] = (await once(before, 'session')) as [Buffer];
  expect(servers.tlsLog.map(({ message }) => message)).not.toContain('client certificate refused');
  await servers.files.swap({ ...content, crl: revocationList });
  await servers.tls.reread();
  // Also for one who comes back with the session of before.
  await closed(await handshake(servers, port, { ...revokedCaller, session }));
  expect(servers.tlsLog).toContainEqual(
    expect.objectContaining({ message: 'client certificate refused', reason: 'CERT_REVOKED' }),
  );
  expect(before.destroyed).toBe(false);
});

describe('connections without an end', () => {
  const short = { http: { headersTimeoutMs: 150, requestTimeoutMs: 300 }, grpc: { requestTimeoutMs: 150 } };

  it.each([undefined, ['http/1.1'], ['h2']])(
    'are closed when nothing comes behind the handshake: %j',
    async (ALPNProtocols) => {
      const servers = await startTls(short);
      cleanups.push(() => servers.stop());
      await closed(await handshake(servers, 'http', { ALPNProtocols }));
    },
  );

  it.each(ports)('are closed when a request drips in: the %s port', async (port) => {
    const servers = await startTls(short);
    cleanups.push(() => servers.stop());
    const http2 = connectHttp2(servers, port);
    const stream = http2.request({
      ':method': 'POST',
      ':path': '/carillon.v1.JobService/List',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    stream.write('\0');
    await once(stream, 'close');
    expect(servers.operations.asked).toEqual([]);
  });

  it.each(ports)('do not keep the %s port from stopping, whatever they wait for', async (port) => {
    const servers = await startTls({ http: { stopGraceMs: 600_000 }, grpc: { stopGraceMs: 600_000 } });
    cleanups.push(() => servers.stop());
    const raw = connectTcp(hostAndPort(servers, port));
    await once(raw, 'connect');
    const hello = connectTcp(hostAndPort(servers, port));
    await once(hello, 'connect');
    hello.write('\x16\x03\x01\x02\x00\x01', 'latin1');
    const silent = await handshake(servers, port);
    const http2 = connectHttp2(servers, port);
    await once(http2, 'remoteSettings');
    const ended = [raw, hello, silent].map(closed);
    await servers[port].stop();
    for (const socket of [raw, hello]) cleanups.push(() => socket.destroy());
    await ended[2];
    await awaitPassing(() => expect(http2.destroyed).toBe(true));
  });
});
