/** The server's side of worker streams, driven by a test: it says what the test says, and keeps what it hears. */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type sendUnaryData,
  type status,
} from '@grpc/grpc-js';
import { afterEach } from 'vitest';
import { ExecutionCause } from '../../gen/carillon/v1/execution_pb.js';
import {
  type Assignment,
  type AssignmentSchema,
  type AttemptRef,
  type WorkerHello,
  type WorkerLogEntry,
  type WorkerResult,
  WorkerService,
  type WorkerServiceConnectRequest,
  WorkerServiceConnectRequestSchema,
  type WorkerServiceConnectResponse,
  WorkerServiceConnectResponseSchema,
  type WorkerServiceListRequest,
  WorkerServiceListRequestSchema,
  type WorkerServiceListResponse,
  WorkerServiceListResponseSchema,
} from '../../gen/carillon/v1/worker_service_pb.js';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../../gen/google/rpc/status_pb.js';
import { awaitThat } from './await-that.ts';

type Said = NonNullable<MessageInitShape<typeof WorkerServiceConnectResponseSchema>['message']>;
type Assigned = Omit<Exclude<MessageInitShape<typeof AssignmentSchema>, Assignment>, '$typeName'>;
type Transport = ServerDuplexStream<WorkerServiceConnectRequest, WorkerServiceConnectResponse>;

const definition: ServiceDefinition = {
  list: {
    path: `/${WorkerService.typeName}/List`,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message) => Buffer.from(toBinary(WorkerServiceListRequestSchema, message)),
    requestDeserialize: (bytes) => fromBinary(WorkerServiceListRequestSchema, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(WorkerServiceListResponseSchema, message)),
    responseDeserialize: (bytes) => fromBinary(WorkerServiceListResponseSchema, bytes),
  },
  connect: {
    path: `/${WorkerService.typeName}/Connect`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message) => Buffer.from(toBinary(WorkerServiceConnectRequestSchema, message)),
    requestDeserialize: (bytes) => fromBinary(WorkerServiceConnectRequestSchema, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(WorkerServiceConnectResponseSchema, message)),
    responseDeserialize: (bytes) => fromBinary(WorkerServiceConnectResponseSchema, bytes),
  },
};

/** One attempt by its names. */
export const ref = (executionId: number, attempt = 1) => ({ executionId: BigInt(executionId), attempt });

/** What a fake server does by itself. */
export type FakeWorkerServerOptions = {
  /** Where it listens. Default: a free port. */
  readonly address?: string;
  /** Welcomes every hello and acknowledges every result at once. Default: true. */
  readonly isPolite?: boolean;
  readonly heartbeatMs?: number;
  /** Serves TLS with this key and certificate, in PEM. Default: no TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** What List answers. */
  readonly list?: (
    request: WorkerServiceListRequest,
  ) => MessageInitShape<typeof WorkerServiceListResponseSchema>;
};

/** A worker's stream as the server sees it. */
export class FakeStream {
  readonly #transport: Transport;
  readonly #options: FakeWorkerServerOptions;
  /** Everything that was heard, in its order. */
  readonly heard: WorkerServiceConnectRequest['message'][] = [];
  /** Whether the worker has closed its side. */
  hasEnded = false;
  /** Whether the stream is gone in any way. */
  isGone = false;

  constructor(transport: Transport, options: FakeWorkerServerOptions) {
    this.#transport = transport;
    this.#options = options;
    transport.on('data', ({ message }: WorkerServiceConnectRequest) => this.#hear(message));
    transport.once('end', () => {
      this.hasEnded = true;
      this.isGone = true;
      transport.end();
    });
    transport.once('cancelled', () => {
      this.isGone = true;
    });
    transport.on('error', () => undefined);
  }

  get hello(): WorkerHello {
    const [first] = this.heard;
    if (first?.case !== 'hello') throw new Error('there was no hello');
    return first.value;
  }

  get results(): WorkerResult[] {
    return this.heard.flatMap(resultsOf);
  }

  get lines(): WorkerLogEntry[] {
    return this.heard.flatMap((message) => (message.case === 'logs' ? message.value.entries : []));
  }

  get started(): AttemptRef[] {
    return this.heard.flatMap((message) => (message.case === 'started' ? message.value.attempts : []));
  }

  /** How many messages of a kind were heard. */
  count(kind: WorkerServiceConnectRequest['message']['case']): number {
    return this.heard.filter((message) => message.case === kind).length;
  }

  say(message: Said): void {
    this.#transport.write(create(WorkerServiceConnectResponseSchema, { message }));
  }

  welcome(rejected: { executionId: bigint; attempt: number }[] = []): void {
    const heartbeatInterval = durationFromMs(this.#options.heartbeatMs ?? 5_000);
    this.say({
      case: 'welcome',
      value: { heartbeatInterval, reconnectGrace: durationFromMs(10_000), instance: 'fake', rejected },
    });
  }

  /** Assigns executions by their ids, as first attempts with nothing special about them. */
  assign(ids: readonly number[], more: Assigned = {}): void {
    const assignments = ids.map((id) => ({
      ...ref(id),
      jobId: 7n,
      jobKey: { namespace: 'default', group: 'default', name: 'noop' },
      fireTime: timestampFromDate(new Date('2026-03-01T10:00:00.250Z')),
      cause: ExecutionCause.SCHEDULE,
      idempotencyKey: String(id),
      queue: 'q',
      ...more,
    }));
    this.say({ case: 'assignments', value: { assignments } });
  }

  cancel(ids: readonly number[], reason = 'asked to'): void {
    this.say({ case: 'cancel', value: { attempts: ids.map((id) => ref(id)), reason } });
  }

  acknowledge(ids: readonly number[]): void {
    this.say({ case: 'ack', value: { attempts: ids.map((id) => ref(id)) } });
  }

  drain(): void {
    this.say({ case: 'drain', value: {} });
  }

  /** Ends the stream with an error, with Carillon's own reason when there is one. */
  fail(code: status, details: string, reason?: string): void {
    const metadata = new Metadata();
    if (reason !== undefined) {
      const info = create(ErrorInfoSchema, { domain: 'carillon', reason });
      const value = toBinary(ErrorInfoSchema, info);
      const typeUrl = 'type.googleapis.com/google.rpc.ErrorInfo';
      const shown = create(StatusSchema, { code, message: details, details: [{ typeUrl, value }] });
      metadata.set('grpc-status-details-bin', Buffer.from(toBinary(StatusSchema, shown)));
    }
    this.isGone = true;
    this.#transport.emit('error', { code, details, metadata });
  }

  /** Reads nothing more until `resume`. */
  pause(): void {
    this.#transport.pause();
  }

  resume(): void {
    this.#transport.resume();
  }

  awaitResults(count: number): Promise<WorkerResult[]> {
    return awaitThat(`${count} results`, () => (this.results.length >= count ? this.results : undefined));
  }

  #hear(message: WorkerServiceConnectRequest['message']): void {
    this.heard.push(message);
    if (this.#options.isPolite === false) return;
    if (message.case === 'hello') this.welcome();
    const attempts = resultsOf(message).map(({ executionId, attempt }) => ({ executionId, attempt }));
    if (attempts.length > 0) this.say({ case: 'ack', value: { attempts } });
  }
}

/** The results that a message carries, one or many. */
function resultsOf(message: WorkerServiceConnectRequest['message']): WorkerResult[] {
  if (message.case === 'results') return message.value.results;
  return message.case === 'result' ? [message.value] : [];
}

/** An instance as far as a worker can tell. */
export class FakeWorkerServer {
  readonly streams: FakeStream[] = [];
  readonly address: string;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.address = `127.0.0.1:${port}`;
  }

  static async start(options: FakeWorkerServerOptions = {}): Promise<FakeWorkerServer> {
    const server = new Server({ 'grpc.max_receive_message_length': 4 * 1_024 * 1_024 });
    let fake: FakeWorkerServer | undefined;
    server.addService(definition, {
      connect: (transport: Transport) => fake?.streams.push(new FakeStream(transport, options)),
      list: (
        { request }: { readonly request: WorkerServiceListRequest },
        answer: sendUnaryData<WorkerServiceListResponse>,
      ) => answer(null, create(WorkerServiceListResponseSchema, options.list?.(request))),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(options.address ?? '127.0.0.1:0', credentialsFrom(options), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    fake = new FakeWorkerServer(server, port);
    return fake;
  }

  /** The stream of this number, from 1, once its hello has been heard. */
  stream(number: number): Promise<FakeStream> {
    return awaitThat(`stream ${number}`, () => {
      const stream = this.streams[number - 1];
      return stream !== undefined && stream.heard.length > 0 ? stream : undefined;
    });
  }

  /** Is gone at once: connections break. */
  kill(): void {
    this.#server.forceShutdown();
  }
}

function credentialsFrom({ tls }: FakeWorkerServerOptions): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = { private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert) };
  return ServerCredentials.createSsl(null, [pair]);
}

/** Starts fake servers and ends them behind each test. */
export function useFakeWorkerServers(): (options?: FakeWorkerServerOptions) => Promise<FakeWorkerServer> {
  const running: FakeWorkerServer[] = [];
  afterEach(() => {
    for (const server of running.splice(0)) server.kill();
  });
  return async (options) => {
    const server = await FakeWorkerServer.start(options);
    running.push(server);
    return server;
  };
}
