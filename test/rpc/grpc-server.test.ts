import { execFile } from 'node:child_process';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from 'node:http2';
import { create, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code, type ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { JobService, JobServiceListRequestSchema } from '../../gen/carillon/v1/job_service_pb.js';
import { ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../../gen/google/rpc/status_pb.js';
import { Health, HealthCheckResponse_ServingStatus as Serving } from '../../gen/grpc/health/v1/health_pb.js';
import {
  ExtensionRequestSchema,
  ServerReflection,
  type ServerReflectionRequest,
} from '../../gen/grpc/reflection/v1/reflection_pb.js';
import {
  ExtensionRequestSchema as ExtensionRequestV1alphaSchema,
  ServerReflection as ServerReflectionV1alpha,
} from '../../gen/grpc/reflection/v1alpha/reflection_pb.js';
import { type Servers, type ServersOptions, startServers } from '../conformance/servers.ts';
import { createGrpcJsTransport } from '../conformance/transports.ts';
import { awaitPassing } from '../support/await-passing.ts';
import { fakeNow } from '../support/fake-operations.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: ServersOptions = {}): Promise<Servers> {
  const servers = await startServers(options);
  cleanups.push(() => servers.stop());
  return servers;
}

function grpcJs(servers: Servers) {
  const transport = createGrpcJsTransport(servers.grpc.address);
  cleanups.push(() => transport.close());
  return transport;
}

function session(servers: Servers): ClientHttp2Session {
  const opened = connectHttp2(`http://${servers.grpc.address}`);
  opened.on('error', () => undefined);
  cleanups.push(() => opened.destroy());
  return opened;
}

/** A gRPC message as it stands on the wire. */
function framed(bytes: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + bytes.length);
  frame.writeUInt32BE(bytes.length, 1);
  frame.set(bytes, 5);
  return frame;
}

function open(on: ClientHttp2Session, path: string): ClientHttp2Stream {
  const stream = on.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  stream.resume();
  return stream;
}

/** The status of a raw call, from wherever it comes. */
async function statusOf(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders> {
  let status: IncomingHttpHeaders = {};
  stream.on('response', (headers) => Object.assign(status, headers));
  stream.on('trailers', (trailers) => {
    status = { ...status, ...trailers };
  });
  await new Promise((resolve) => stream.once('close', resolve));
  return status;
}

function reasonOf(status: IncomingHttpHeaders): string | undefined {
  const bytes = Buffer.from(String(status['grpc-status-details-bin']), 'base64');
  const [info] = fromBinary(StatusSchema, bytes).details;
  return info && fromBinary(ErrorInfoSchema, info.value).reason;
}

describe('the gRPC port', () => {
  it('refuses bytes that are no message with INVALID_ARGUMENT', async () => {
    const servers = await start();
    const stream = open(session(servers), '/carillon.v1.JobService/Get');
    stream.end(framed(Buffer.from([0x0a, 0xff, 0xff, 0xff])));
    const status = await statusOf(stream);
    expect(status['grpc-status']).toBe(String(Code.InvalidArgument));
    expect(reasonOf(status)).toBe('INVALID_ARGUMENT');
    expect(servers.ended).toEqual(['carillon.v1.JobService/Get INVALID_ARGUMENT']);
  });

  it('refuses text that is not UTF-8 and messages nested too deep', async () => {
    const servers = await start();
    const http2 = session(servers);
    const badText = open(http2, '/carillon.v1.JobService/List');
    badText.end(framed(Buffer.from([0x1a, 0x02, 0xc3, 0x28])));
    expect((await statusOf(badText))['grpc-status']).toBe(String(Code.InvalidArgument));
    let value = Buffer.alloc(0);
    for (let i = 0; i < 5_000; i++) {
      const length = Buffer.from([
        0x0a,
        0x80 | (value.length & 0x7f),
        0x80 | ((value.length >> 7) & 0x7f),
        value.length >> 14,
      ]);
      value = Buffer.concat([length, value]);
    }
    const deep = open(http2, '/carillon.v1.JobService/Trigger');
    deep.end(framed(value));
    expect((await statusOf(deep))['grpc-status']).toBe(String(Code.InvalidArgument));
  });

  it.each([
    '/grpc.health.v1.Health/Check',
    '/grpc.health.v1.Health/Watch',
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
  ])('refuses bytes that are no message also at %s', async (path) => {
    const servers = await start();
    const stream = open(session(servers), path);
    stream.end(framed(Buffer.from([0x0a, 0xff, 0xff, 0xff])));
    const status = await statusOf(stream);
    expect(status['grpc-status']).toBe(String(Code.InvalidArgument));
    expect(reasonOf(status)).toBe('INVALID_ARGUMENT');
  });

  it('answers an unknown method with UNIMPLEMENTED and its reason', async () => {
    const servers = await start();
    const stream = open(session(servers), '/carillon.v1.JobService/Nothing');
    stream.end(framed(Buffer.alloc(0)));
    const status = await statusOf(stream);
    expect(status['grpc-status']).toBe(String(Code.Unimplemented));
    expect(reasonOf(status)).toBe('UNIMPLEMENTED');
  });

  it('sends errors without headers of their own, so that retry policies apply', async () => {
    const servers = await start();
    const stream = open(session(servers), '/carillon.v1.JobService/Get');
    let trailers = 0;
    stream.on('trailers', () => trailers++);
    stream.end(framed(Buffer.alloc(0)));
    expect((await statusOf(stream))['grpc-status']).toBe(String(Code.InvalidArgument));
    expect(trailers).toBe(0);
  });

  it('closes requests that drip in', async () => {
    const servers = await start({ grpc: { requestTimeoutMs: 100 } });
    const stream = open(session(servers), '/carillon.v1.JobService/List');
    stream.write(
      framed(toBinary(JobServiceListRequestSchema, create(JobServiceListRequestSchema))).subarray(0, 3),
    );
    await new Promise((resolve) => stream.once('close', resolve));
    expect(servers.operations.asked).toEqual([]);
  });

  it('announces how many calls a connection may have', async () => {
    const servers = await start();
    const http2 = session(servers);
    await new Promise((resolve) => http2.once('remoteSettings', resolve));
    expect(http2.remoteSettings.maxConcurrentStreams).toBe(1_000);
  });

  it.each(['grpc', 'http'] as const)(
    'reads a stream no faster than a slow watcher takes it (%s)',
    async (port) => {
      const servers = await start();
      const message = 'x'.repeat(1_000);
      const total = 50_000;
      servers.operations.streamMessages = Array.from({ length: total }, (_, i) => ({
        cursor: `${i}`,
        event: {
          kind: 'log',
          entry: { executionId: 1, seq: i + 1, at: fakeNow, level: 'INFO', message, attempt: 1 },
        },
      }));
      const transport = createGrpcTransport({ baseUrl: `http://${servers[port].address}` });
      const canceling = new AbortController();
      const executions = createClient(ExecutionService, transport);
      const request = { source: { case: 'executionId', value: 1n } } as const;
      const messages = executions.stream(request, { signal: canceling.signal })[Symbol.asyncIterator]();
      await messages.next();
      let before = -1;
      // The server has stopped reading when nothing more is taken between two looks.
      await vi.waitFor(
        () => {
          const now = servers.operations.streamedMessages;
          const isStill = now === before;
          before = now;
          expect(isStill).toBe(true);
        },
        { interval: 100, timeout: 10_000 },
      );
      expect(servers.operations.streamedMessages).toBeLessThan(total / 5);
      canceling.abort();
      await awaitPassing(() => expect(servers.operations.openStreams).toBe(0));
    },
  );
});

describe('stopping the gRPC port', () => {
  it('ends streams with UNAVAILABLE and RetryInfo, behind what they have sent', async () => {
    const servers = await start();
    servers.operations.streamMessages = [{ cursor: 'c', event: { kind: 'heartbeat', at: fakeNow } }];
    const executions = createClient(ExecutionService, grpcJs(servers));
    const messages = executions
      .stream({ source: { case: 'executionId', value: 1n } })
      [Symbol.asyncIterator]();
    expect(await messages.next()).toMatchObject({ value: { cursor: 'c' } });
    const ended = messages.next().then(
      () => undefined,
      (error: unknown) => error,
    );
    await servers.stop();
    const error = (await ended) as ConnectError;
    expect(error.code).toBe(Code.Unavailable);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: 'UNAVAILABLE' }]);
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
    expect(servers.operations.openStreams).toBe(0);
  });

  it('lets unary calls under way finish, and ends them with UNAVAILABLE after the grace time', async () => {
    const servers = await start({ grpc: { stopGraceMs: 150 } });
    const jobs = createClient(JobService, grpcJs(servers));
    const slow = jobs
      .get({ job: { ref: { case: 'key', value: { name: 'slow' } } } })
      .catch((error: unknown) => error);
    await awaitPassing(() => expect(servers.operations.asked).toHaveLength(1));
    await servers.stop();
    const error = (await slow) as ConnectError;
    expect(error.code).toBe(Code.Unavailable);
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
  });
});

describe('health', () => {
  it('says SERVING for the server and its services while the instance is ready', async () => {
    const servers = await start();
    const health = createClient(Health, grpcJs(servers));
    for (const service of ['', 'carillon.v1.JobService', 'carillon.v1.AdminService']) {
      expect((await health.check({ service })).status).toBe(Serving.SERVING);
    }
  });

  it('says NOT_SERVING while it is not', async () => {
    const servers = await start();
    servers.operations.notReady = new Error('no database');
    const health = createClient(Health, grpcJs(servers));
    expect((await health.check({})).status).toBe(Serving.NOT_SERVING);
  });

  it('does not know services that it does not have', async () => {
    const servers = await start();
    const health = createClient(Health, grpcJs(servers));
    const error = await health.check({ service: 'other' }).catch((thrown: unknown) => thrown);
    expect((error as ConnectError).code).toBe(Code.NotFound);
  });

  it('tells watchers of changes, and ends them when the server stops', async () => {
    const servers = await start();
    const health = createClient(Health, grpcJs(servers));
    const watched = health.watch({})[Symbol.asyncIterator]();
    expect((await watched.next()).value).toMatchObject({ status: Serving.SERVING });
    servers.operations.notReady = new Error('no database');
    expect((await watched.next()).value).toMatchObject({ status: Serving.NOT_SERVING });
    const unknown = health.watch({ service: 'other' })[Symbol.asyncIterator]();
    expect((await unknown.next()).value).toMatchObject({ status: Serving.SERVICE_UNKNOWN });
    const ends = Promise.all([watched, unknown].map((each) => each.next().catch((error: unknown) => error)));
    await servers.stop();
    expect((await ends).map((error) => (error as ConnectError).code)).toEqual([
      Code.Unavailable,
      Code.Unavailable,
    ]);
  });
});

const serviceNames = [
  'carillon.v1.JobService',
  'carillon.v1.ExecutionService',
  'carillon.v1.AdminService',
  'carillon.v1.WorkerService',
  'carillon.v1.AttemptService',
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
];

describe.each([
  ['v1', ServerReflection, ExtensionRequestSchema],
  ['v1alpha', ServerReflectionV1alpha, ExtensionRequestV1alphaSchema],
] as const)('reflection %s', (_, service, extension: DescMessage) => {
  type Ask = ServerReflectionRequest['messageRequest'];

  async function ask(...questions: Ask[]) {
    const servers = await start();
    const transport = createGrpcTransport({ baseUrl: `http://${servers.grpc.address}` });
    const client = createClient(service as typeof ServerReflection, transport);
    const requests = (async function* () {
      for (const messageRequest of questions) yield { host: 'h', messageRequest };
    })();
    const answers = [];
    for await (const answer of client.serverReflectionInfo(requests)) answers.push(answer);
    expect(answers.map(({ originalRequest }) => originalRequest?.messageRequest)).toEqual(questions);
    return answers.map(({ messageResponse }) => messageResponse);
  }

  it('lists the services', async () => {
    const [answer] = await ask({ case: 'listServices', value: '' });
    expect(answer).toMatchObject({ value: { service: serviceNames.map((name) => ({ name })) } });
  });

  it('gives the file of a name, a symbol or an extension, with its imports', async () => {
    const questions: Ask[] = [
      { case: 'fileByFilename', value: 'carillon/v1/job_service.proto' },
      { case: 'fileContainingSymbol', value: 'carillon.v1.JobService' },
      { case: 'fileContainingSymbol', value: 'carillon.v1.JobService.Trigger' },
      { case: 'fileContainingSymbol', value: 'carillon.v1.JobServiceTriggerRequest' },
      { case: 'fileContainingSymbol', value: 'carillon.v1.OverlapPolicy' },
      { case: 'fileContainingSymbol', value: 'google.rpc.QuotaFailure' },
    ];
    const answers = await ask(...questions, {
      case: 'fileContainingExtension',
      value: create(extension, { containingType: 'google.protobuf.FieldOptions', extensionNumber: 1_159 }),
    } as Ask);
    const names = answers.map((answer) => {
      if (answer.case !== 'fileDescriptorResponse') return undefined;
      return answer.value.fileDescriptorProto.map(
        (bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name,
      );
    });
    for (const files of names.slice(0, 4)) {
      expect(files?.[0]).toBe('carillon/v1/job_service.proto');
      expect(files).toEqual(
        expect.arrayContaining(['google/protobuf/timestamp.proto', 'buf/validate/validate.proto']),
      );
    }
    expect(names[4]?.[0]).toBe('carillon/v1/job.proto');
    expect(names[5]?.[0]).toBe('google/rpc/error_details.proto');
    expect(names[6]?.[0]).toBe('buf/validate/validate.proto');
  });

  it('knows the extensions of a message', async () => {
    const [some, none, unknown] = await ask(
      { case: 'allExtensionNumbersOfType', value: 'google.protobuf.FieldOptions' },
      { case: 'allExtensionNumbersOfType', value: 'carillon.v1.Job' },
      { case: 'allExtensionNumbersOfType', value: 'no.such.Message' },
    );
    expect(some).toMatchObject({ value: { extensionNumber: expect.arrayContaining([1_159]) } });
    expect(none).toMatchObject({ value: { extensionNumber: [] } });
    expect(unknown).toMatchObject({ case: 'errorResponse', value: { errorCode: Code.NotFound } });
  });

  it('answers what it does not have with NOT_FOUND, and goes on', async () => {
    const answers = await ask(
      { case: 'fileByFilename', value: '../../etc/passwd' },
      { case: 'fileContainingSymbol', value: 'no.such.Symbol' },
      { case: 'listServices', value: '' },
    );
    expect(answers.map((answer) => answer.case)).toEqual([
      'errorResponse',
      'errorResponse',
      'listServicesResponse',
    ]);
  });
});

describe('reflection that is switched off', () => {
  it('is UNIMPLEMENTED in both versions, and takes nothing else away', async () => {
    const servers = await start({ grpc: { reflection: false } });
    const transport = createGrpcTransport({ baseUrl: `http://${servers.grpc.address}` });
    for (const service of [ServerReflection, ServerReflectionV1alpha]) {
      const path = `/${service.typeName}/ServerReflectionInfo`;
      const stream = open(session(servers), path);
      stream.end(framed(Buffer.alloc(0)));
      const status = await statusOf(stream);
      expect([path, status['grpc-status']]).toEqual([path, String(Code.Unimplemented)]);
      expect(reasonOf(status)).toBe('UNIMPLEMENTED');
    }
    expect((await createClient(JobService, transport).list({})).jobs).toEqual([]);
    expect((await createClient(Health, transport).check({})).status).toBe(Serving.SERVING);
  });
});

describe('reflection with buf', () => {
  /** buf curl against the port; it knows nothing of the protos but what reflection tells. */
  function bufCurl(servers: Servers, method: string, data: string, protocol: string) {
    const buf = new URL('../../node_modules/.bin/buf', import.meta.url).pathname;
    const url = `http://${servers.grpc.address}/${method}`;
    const flags = [
      '--protocol',
      'grpc',
      '--http2-prior-knowledge',
      '--reflect',
      '--reflect-protocol',
      protocol,
    ];
    return new Promise<string>((resolve) => {
      // Asynchronous on purpose: the server that answers lives in this process.
      execFile(buf, ['curl', ...flags, '-d', data, url], (_error, stdout, stderr) =>
        resolve(stdout + stderr),
      );
    });
  }

  it.each(['grpc-v1', 'grpc-v1alpha'])('calls by %s alone', async (protocol) => {
    const servers = await start();
    const job = '{"job":{"key":{"name":"a"},"target":{"http":{"url":"http://a"}}}}';
    expect(JSON.parse(await bufCurl(servers, 'carillon.v1.JobService/Add', job, protocol))).toMatchObject({
      created: true,
    });
    expect(await bufCurl(servers, 'carillon.v1.JobService/Get', '{"job":{"id":"99"}}', protocol)).toContain(
      'not_found',
    );
  });
});
