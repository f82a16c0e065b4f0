/**
 * One stream to one instance, from hello to its end. Each has a connection of
 * its own, whose first try is its last: waiting and trying again is up to the
 * worker, which knows other addresses.
 *
 * A server that is gone without a word is noticed by pings of the connection:
 * nothing else has to come from a server to an idle worker.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { durationMs } from '@bufbuild/protobuf/wkt';
import { Client, type ClientDuplexStream, credentials, Metadata, status } from '@grpc/grpc-js';
import {
  type WorkerHello,
  WorkerService,
  type WorkerServiceConnectRequest,
  WorkerServiceConnectRequestSchema,
  type WorkerServiceConnectResponse,
  WorkerServiceConnectResponseSchema,
  type WorkerWelcome,
} from '../../gen/carillon/v1/worker_service_pb.js';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../../gen/google/rpc/status_pb.js';
import type { Clock } from '../platform/clock.ts';
import type { Channel, OutgoingMessage } from './outbox.ts';
import type { WorkerTls } from './worker-options.ts';

/** How a stream ended. */
export type StreamEnd = {
  /** The gRPC status; 0 when all was said. */
  readonly code: number;
  /** The status in words. */
  readonly details: string;
  /** Carillon's own reason, such as CONCURRENT_CHANGE; undefined when the error is not its own. */
  readonly reason: string | undefined;
};

/** What the server says. */
export type ServerMessage = WorkerServiceConnectResponse['message'];

/** What a stream works with. */
export type WorkerStreamOptions = {
  readonly address: string;
  readonly tls: WorkerTls;
  /** Shown as `authorization: Bearer`; undefined: nothing is. */
  readonly token: string | undefined;
  readonly hello: WorkerHello;
  readonly clock: Clock;
  /** Told of each message behind the welcome. */
  readonly onMessage: (message: ServerMessage) => void;
  /** Told of the welcome, before anything else. */
  readonly onWelcome: (welcome: WorkerWelcome) => void;
  /** Told once, behind everything else. */
  readonly onEnd: (end: StreamEnd) => void;
};

/** How long the way from the connection to the welcome may take, in milliseconds. */
const welcomeTimeoutMs = 10_000;

/** How much of the heartbeat interval passes between two heartbeats. A busy event loop is late for its timers. */
const heartbeatShare = 0.5;

/** The shortest wait between heartbeats, whatever the server asks for, in milliseconds. */
const minHeartbeatMs = 10;

const channelOptions = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // Connections of other clients carry their own backoff, and ours is the worker's.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
  // Many assignments with large parameters may come in one message.
  'grpc.max_receive_message_length': 64 * 1_024 * 1_024,
} as const;

const path = `/${WorkerService.typeName}/${WorkerService.method.connect.name}`;

type Call = ClientDuplexStream<WorkerServiceConnectRequest, WorkerServiceConnectResponse>;

export class WorkerStream implements Channel {
  readonly #options: WorkerStreamOptions;
  readonly #client: Client;
  readonly #call: Call;
  #callOffTimer: () => void;
  #isWelcome = false;
  #hasEnded = false;
  #isClosed = false;

  constructor(options: WorkerStreamOptions) {
    this.#options = options;
    const { address, tls, token, hello, clock } = options;
    this.#client = new Client(address, credentialsFrom(tls), {
      ...channelOptions,
      ...(typeof tls === 'object' && tls.serverName !== undefined
        ? { 'grpc.ssl_target_name_override': tls.serverName, 'grpc.default_authority': tls.serverName }
        : {}),
    });
    this.#call = this.#client.makeBidiStreamRequest(path, encode, decode, metadataWith(token));
    this.#call.on('data', (response: WorkerServiceConnectResponse) => this.#receive(response.message));
    // The status says the same, and says it of a stream that ended well, too.
    this.#call.on('error', () => undefined);
    this.#call.on('status', ({ code, details, metadata }: CallStatus) =>
      this.#finish({ code, details, reason: reasonFrom(metadata) }),
    );
    this.#callOffTimer = clock.setTimer(welcomeTimeoutMs, () =>
      this.close(status.DEADLINE_EXCEEDED, `no welcome within ${welcomeTimeoutMs} ms`),
    );
    this.send({ case: 'hello', value: hello });
  }

  send(message: OutgoingMessage, written?: () => void): void {
    if (this.#hasEnded || this.#call.writableEnded) return;
    this.#call.write({ $typeName: 'carillon.v1.WorkerServiceConnectRequest', message }, () => written?.());
  }

  /** Closes the worker's side: everything is said. The server ends the stream then. */
  end(): void {
    this.#call.end();
  }

  /** Ends the stream at once. */
  close(code: number = status.CANCELLED, details = 'the worker has closed the stream'): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#call.cancel();
    this.#client.close();
    this.#finish({ code, details, reason: undefined });
  }

  #receive(message: ServerMessage): void {
    if (this.#hasEnded) return;
    if (this.#isWelcome) {
      this.#options.onMessage(message);
      return;
    }
    // Whatever comes before the welcome has no meaning.
    if (message.case !== 'welcome') return;
    this.#isWelcome = true;
    this.#callOffTimer();
    const { heartbeatInterval } = message.value;
    if (heartbeatInterval !== undefined) {
      this.#beat(Math.max(durationMs(heartbeatInterval) * heartbeatShare, minHeartbeatMs));
    }
    this.#options.onWelcome(message.value);
  }

  #beat(afterMs: number): void {
    this.#callOffTimer = this.#options.clock.setTimer(afterMs, () => {
      // While earlier messages wait to be read by the server, one more tells it nothing.
      if (!this.#call.writableNeedDrain) this.send({ case: 'heartbeat', value: heartbeat });
      this.#beat(afterMs);
    });
  }

  #finish(end: StreamEnd): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#callOffTimer();
    if (!this.#isClosed) this.#client.close();
    this.#isClosed = true;
    this.#options.onEnd(end);
  }
}

type CallStatus = { readonly code: number; readonly details: string; readonly metadata: Metadata };

const heartbeat = { $typeName: 'carillon.v1.WorkerHeartbeat' } as const;

function encode(request: WorkerServiceConnectRequest): Buffer {
  const bytes = toBinary(WorkerServiceConnectRequestSchema, request);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function decode(bytes: Buffer): WorkerServiceConnectResponse {
  return fromBinary(WorkerServiceConnectResponseSchema, bytes);
}

function credentialsFrom(tls: WorkerTls): ReturnType<typeof credentials.createInsecure> {
  if (tls === false) return credentials.createInsecure();
  if (tls === true) return credentials.createSsl();
  return credentials.createSsl(bufferFrom(tls.ca), bufferFrom(tls.key), bufferFrom(tls.cert));
}

function bufferFrom(pem: string | Buffer | undefined): Buffer | null {
  return pem === undefined ? null : Buffer.from(pem);
}

/** The reason that Carillon gave with an error. */
function reasonFrom(metadata: Metadata): string | undefined {
  const [bytes] = metadata.get('grpc-status-details-bin');
  if (!(bytes instanceof Buffer)) return undefined;
  try {
    for (const { typeUrl, value } of fromBinary(StatusSchema, bytes).details) {
      if (!typeUrl.endsWith('/google.rpc.ErrorInfo')) continue;
      const info = fromBinary(ErrorInfoSchema, value);
      if (info.domain === 'carillon') return info.reason;
    }
  } catch {
    // Details that are no details say nothing.
  }
  return undefined;
}

function metadataWith(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}
