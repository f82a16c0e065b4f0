/**
 * The worker's side of one stream without the library, driven by a test: it
 * says what the test says, and keeps what it hears. For workers that repeat
 * themselves, come too late, or do not read.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import {
  type Assignment,
  type AttemptRef,
  type WorkerHelloSchema,
  type WorkerLogEntrySchema,
  type WorkerResultSchema,
  WorkerService,
  type WorkerServiceConnectRequest,
  WorkerServiceConnectRequestSchema,
  type WorkerServiceConnectResponse,
  WorkerServiceConnectResponseSchema,
  type WorkerWelcome,
} from '../../gen/carillon/v1/worker_service_pb.js';
import { awaitThat } from './await-that.ts';

type Init<Schema extends Parameters<typeof create>[0]> = Exclude<
  MessageInitShape<Schema>,
  { readonly $typeName: string; readonly $unknown?: unknown }
>;

/** How the worker introduces itself. */
export type Hello = Omit<Init<typeof WorkerHelloSchema>, 'running'> & {
  readonly workerId: string;
  readonly running?: readonly Ref[];
};

/** What it says of an attempt's end; SUCCEEDED unless it says otherwise. */
export type Result = Partial<Init<typeof WorkerResultSchema>>;

/** Names one attempt. */
export type Ref = { readonly executionId: bigint; readonly attempt: number };

type Said = Exclude<
  MessageInitShape<typeof WorkerServiceConnectRequestSchema>['message'],
  undefined | { case: undefined }
>;

const path = `/${WorkerService.typeName}/${WorkerService.method.connect.name}`;

const encode = (request: WorkerServiceConnectRequest): Buffer =>
  Buffer.from(toBinary(WorkerServiceConnectRequestSchema, request));
const decode = (bytes: Buffer): WorkerServiceConnectResponse =>
  fromBinary(WorkerServiceConnectResponseSchema, bytes);

/** The attempt of an assignment, a result or a reference, as text. */
export const nameOf = ({ executionId, attempt }: Ref): string => `${executionId}/${attempt}`;

export class RawWorkerStream {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<WorkerServiceConnectRequest, WorkerServiceConnectResponse>;
  readonly #gone = Promise.withResolvers<void>();
  #welcome: WorkerWelcome | undefined;
  /** What it was assigned, acknowledged and told to cancel, each in its order. */
  readonly assigned: Assignment[] = [];
  readonly acked: AttemptRef[] = [];
  readonly canceled: AttemptRef[] = [];
  /** How the stream ended; undefined while it stands. */
  end: { readonly code: number; readonly details: string } | undefined;
  /** Told once of the welcome. */
  onWelcome: () => void = () => undefined;
  /** Told of each message behind the welcome, when it has been taken down. */
  onMessage: (message: WorkerServiceConnectResponse['message']) => void = () => undefined;
  /** Told once when the stream is gone. */
  onEnd: () => void = () => undefined;

  private constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.max_receive_message_length': 64 * 1_024 * 1_024,
    });
    this.#call = this.#client.makeBidiStreamRequest(path, encode, decode);
    this.#call.on('data', ({ message }: WorkerServiceConnectResponse) => this.#hear(message));
    this.#call.on('error', () => undefined);
    this.#call.on('status', ({ code, details }: { readonly code: number; readonly details: string }) => {
      this.end = { code, details };
      this.#gone.resolve();
      this.#client.close();
      this.onEnd();
    });
  }

  /** Opens a stream on a connection of its own and says hello; the welcome may be a while. */
  static open(address: string, hello: Hello): RawWorkerStream {
    const stream = new RawWorkerStream(address);
    const running = (hello.running ?? []).map(({ executionId, attempt }) => ({ executionId, attempt }));
    void stream.say({ case: 'hello', value: { capacity: 10, ...hello, running } });
    return stream;
  }

  /** Opens a stream; resolves when it is welcome. */
  static async connect(address: string, hello: Hello): Promise<RawWorkerStream> {
    const stream = RawWorkerStream.open(address, hello);
    await awaitThat(`${hello.workerId} is welcome`, () => {
      if (stream.end) throw new Error(`the stream ended with ${stream.end.code}: ${stream.end.details}`);
      return stream.#welcome;
    });
    return stream;
  }

  get isWelcome(): boolean {
    return this.#welcome !== undefined;
  }

  /** Of the attempts that the hello named, those that are not the worker's any more. */
  get rejected(): readonly AttemptRef[] {
    return this.#welcome?.rejected ?? [];
  }

  /** Sends a message; resolves when there is room for another, or the stream is gone. */
  say(message: Said): Promise<void> {
    if (this.end || this.#call.writableEnded) return Promise.resolve();
    const request = create(WorkerServiceConnectRequestSchema, { message });
    const written = new Promise<void>((resolve) => this.#call.write(request, () => resolve()));
    return Promise.race([written, this.#gone.promise]);
  }

  heartbeat(): void {
    void this.say({ case: 'heartbeat', value: {} });
  }

  /** Sends results of attempts in one message, all of them the same. */
  report(refs: readonly Ref[], result: Result = {}): Promise<void> {
    const results = refs.map(({ executionId, attempt }) => ({
      state: ExecutionState.SUCCEEDED,
      ...result,
      executionId,
      attempt,
    }));
    return this.say({ case: 'results', value: { results } });
  }

  /** Sends log lines in one message. */
  log(entries: readonly Init<typeof WorkerLogEntrySchema>[]): Promise<void> {
    return this.say({ case: 'logs', value: { entries: [...entries] } });
  }

  goodbye(): void {
    void this.say({ case: 'goodbye', value: {} });
  }

  /** Closes the worker's side. */
  close(): void {
    this.#call.end();
  }

  /** Reads nothing more: the window shuts when it is full. */
  pause(): void {
    this.#call.pause();
  }

  /** Breaks the connection. */
  break(): void {
    this.#call.cancel();
    this.#client.close();
  }

  awaitAssigned(count: number, limitMs?: number): Promise<unknown> {
    return awaitThat(`${count} assignments`, () => this.assigned.length >= count, limitMs);
  }

  awaitAcked(count: number, limitMs?: number): Promise<unknown> {
    return awaitThat(`${count} acks`, () => this.acked.length >= count, limitMs);
  }

  #hear(message: WorkerServiceConnectResponse['message']): void {
    switch (message.case) {
      case 'welcome':
        this.#welcome = message.value;
        this.onWelcome();
        return;
      case 'assignments':
        this.assigned.push(...message.value.assignments);
        break;
      case 'ack':
        this.acked.push(...message.value.attempts);
        break;
      case 'cancel':
        this.canceled.push(...message.value.attempts);
    }
    this.onMessage(message);
  }
}
