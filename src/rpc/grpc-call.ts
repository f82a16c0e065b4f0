/** A call as grpc-js carries it. */
import { Buffer } from 'node:buffer';
import type { EventEmitter } from 'node:events';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { type Message, toBinary } from '@bufbuild/protobuf';
import {
  Metadata,
  type ServerDuplexStream,
  type ServerErrorResponse,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { StatusSchema } from '../../gen/google/rpc/status_pb.js';
import { DomainError } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { Call, type CallContext } from './call.ts';
import { type ClientCertificate, clientCertificateOf } from './client-certificate.ts';
import { describeError, type ErrorDescription } from './errors.ts';
import { callerIsGone, type StartHandler } from './serve.ts';
import type { Method } from './services/service.ts';

/** Where gRPC carries google.rpc.Status with its details. */
const detailsHeader = 'grpc-status-details-bin';

/** The status of an error, with the details in the trailers. */
export function grpcStatusFromDescription(
  description: ErrorDescription,
  trailers = new Metadata(),
): Omit<StatusObject, 'code'> & { code: number } {
  const { code, message, details } = description;
  const status = toBinary(StatusSchema, {
    $typeName: 'google.rpc.Status',
    code,
    message,
    details: details.map(({ desc, value }) => ({
      $typeName: 'google.protobuf.Any' as const,
      typeUrl: `type.googleapis.com/${desc.typeName}`,
      value: toBinary(desc, value),
    })),
  });
  trailers.set(detailsHeader, bufferOf(status));
  return { code, details: message, metadata: trailers };
}

/** The same bytes as a Buffer, without a copy. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

type StreamTransport = ServerWritableStream<unknown, Buffer> | ServerDuplexStream<unknown, Buffer>;

type Transport = ServerUnaryCall<unknown, Buffer> | StreamTransport;

/** What the calls of the gRPC port share. */
export type GrpcCallContext = CallContext & { readonly clock: Clock };

abstract class GrpcCall<Carrier extends Transport> extends Call {
  protected readonly transport: Carrier;
  /** Sent before the first message; in the trailers where there is only an error. */
  protected readonly headers = new Metadata();
  readonly #clock: Clock;

  constructor(method: Method, context: GrpcCallContext, transport: Carrier) {
    super(method, context);
    this.transport = transport;
    this.#clock = context.clock;
    const events: EventEmitter = transport;
    events.on('cancelled', () => {
      if (!this.isSettled) this.fail(this.#isLate() ? callerIsLate() : callerIsGone());
    });
  }

  override header(name: string): string | undefined {
    const value = this.transport.metadata.get(name)[0];
    return typeof value === 'string' ? value : undefined;
  }

  override setHeader(name: string, value: string): void {
    this.headers.set(name, value);
  }

  override peer(): string {
    return this.transport.getPeer();
  }

  /**
   * By the connection, because grpc-js would parse the certificate anew for each
   * call that asks. The member that leads there is private; test/conformance/tls
   * holds it.
   */
  override clientCertificate(): ClientCertificate | undefined {
    const { call } = this.transport as unknown as { readonly call?: { readonly stream?: ServerHttp2Stream } };
    const session = call?.stream?.session;
    return session && clientCertificateOf(session as ServerHttp2Session);
  }

  override remainingMs(): number | undefined {
    const deadline = this.transport.getDeadline();
    if (deadline === Infinity) return undefined;
    return Number(deadline) - this.#clock.now().getTime();
  }

  override encode(response: Message): Buffer {
    return bufferOf(toBinary(this.method.desc.output, response));
  }

  /**
   * The status of the failure. It goes out without headers of its own: a
   * client's retry policy takes an answer that begins with headers as final.
   */
  protected failedStatus(): Omit<StatusObject, 'code'> & { code: number } {
    return grpcStatusFromDescription(this.error ?? describeError(this.failure, this.requestId), this.headers);
  }

  #isLate(): boolean {
    return (this.remainingMs() ?? Infinity) <= 0;
  }
}

/** A unary call of grpc-js, answered by its callback. */
export class GrpcUnaryCall extends GrpcCall<ServerUnaryCall<unknown, Buffer>> {
  readonly #answer: sendUnaryData<Buffer>;

  constructor(
    method: Method,
    context: GrpcCallContext,
    transport: ServerUnaryCall<unknown, Buffer>,
    answer: sendUnaryData<Buffer>,
  ) {
    super(method, context, transport);
    this.#answer = answer;
  }

  protected override reply(response: unknown): void {
    if (this.failure !== undefined) {
      this.#answer(this.failedStatus() as ServerErrorResponse);
    } else {
      this.transport.sendMetadata(this.headers);
      this.#answer(null, response as Buffer);
    }
  }
}

/** A call of grpc-js that streams its responses. */
export class GrpcStreamCall extends GrpcCall<StreamTransport> {
  #hasHeaders = false;

  /**
   * Starts the handler and sends what it yields, each message when there is
   * room for it. Ends when the call settles, whoever settles it, and then lets
   * go of the handler's iterator. Callbacks, because a generator around the
   * handler's costs 1 µs of the 12 that a message takes (bench/bidi-rate.ts).
   */
  respond(start: StartHandler): void {
    if (this.isSettled) return;
    try {
      const messages = start();
      const onStep = (step: IteratorResult<Message>): void => {
        if (this.isSettled) return;
        if (step.done === true) this.succeed();
        else this.#write(step.value, next);
      };
      const onError = (error: unknown): void => this.fail(error);
      const next = (): void => {
        if (this.isSettled) return;
        try {
          messages.next().then(onStep, onError);
        } catch (error) {
          this.fail(error);
        }
      };
      // Not awaited: a generator that waits returns when the call's signal frees it.
      this.whenSettled(() => void messages.return?.().catch(() => undefined));
      next();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Writes one message and goes on when there is room for another. */
  #write(message: Message, next: () => void): void {
    try {
      const bytes = this.encode(message);
      this.#sendHeaders();
      if (this.transport.write(bytes)) next();
      else this.transport.once('drain', next);
    } catch (error) {
      this.fail(error);
    }
  }

  protected override reply(): void {
    if (this.transport.cancelled) return;
    if (this.failure !== undefined) {
      // grpc-js ends the stream with the status that it is given as an error,
      // behind the messages that still wait.
      this.transport.emit('error', this.failedStatus());
      return;
    }
    this.#sendHeaders();
    this.transport.end();
  }

  #sendHeaders(): void {
    if (this.#hasHeaders) return;
    this.#hasHeaders = true;
    this.transport.sendMetadata(this.headers);
  }
}

function callerIsLate(): DomainError {
  return new DomainError('DEADLINE_EXCEEDED', "the caller's deadline has passed");
}
