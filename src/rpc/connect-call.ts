/** A call as connect-node carries it: Connect, gRPC-Web or gRPC. */
import type { Message } from '@bufbuild/protobuf';
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect';
import { DomainError } from '../domain/errors.ts';
import type { Logger } from '../platform/logger.ts';
import { Call, type CallContext } from './call.ts';
import type { CallingPeer } from './calling-peer.ts';
import type { ClientCertificate } from './client-certificate.ts';
import { connectErrorFromDescription, describeError } from './errors.ts';
import { malformedRequest } from './malformed-request.ts';
import { callerIsGone } from './serve.ts';
import type { Method } from './services/service.ts';

/** What the calls of the HTTP port share. */
export type ConnectCallContext = CallContext & { readonly logger: Logger };

/** A call whose answer is a promise, or an iteration that ends with its error. */
export class ConnectCall extends Call {
  readonly #context: HandlerContext;
  readonly #peer: CallingPeer;
  readonly #logger: Logger;
  #isServed = false;
  #answer: { resolve(response: Message): void; reject(error: ConnectError): void } | undefined;

  constructor(method: Method, shared: ConnectCallContext, context: HandlerContext, peer: CallingPeer) {
    super(method, shared);
    this.#context = context;
    this.#peer = peer;
    this.#logger = shared.logger;
    // connect-node aborts the context with every error before it writes the
    // error down, also with those of its own.
    context.signal.addEventListener('abort', () => this.#onAbort(context.signal.reason), { once: true });
  }

  override header(name: string): string | undefined {
    return this.#context.requestHeader.get(name) ?? undefined;
  }

  override setHeader(name: string, value: string): void {
    this.#context.responseHeader.set(name, value);
  }

  override peer(): string {
    return this.#peer.address;
  }

  override clientCertificate(): ClientCertificate | undefined {
    return this.#peer.clientCertificate();
  }

  override remainingMs(): number | undefined {
    return this.#context.timeoutMs();
  }

  /** connect-node encodes, by the protocol of the call. */
  override encode(response: Message): Message {
    return response;
  }

  /** Runs the handler; resolves to its response or rejects with the error as it goes out. */
  serve(run: () => void): Promise<Message> {
    this.#isServed = true;
    return new Promise((resolve, reject) => {
      this.#answer = { resolve, reject };
      if (this.isSettled) this.reply(undefined);
      else run();
    });
  }

  /** Says that a handler has the call: from now on an abort means that the caller went away. */
  markServed(): void {
    this.#isServed = true;
  }

  /** The failure as it goes out; undefined for success and while the call is under way. */
  get connectError(): ConnectError | undefined {
    if (this.failure === undefined) return undefined;
    return connectErrorFromDescription(this.error ?? describeError(this.failure, this.requestId));
  }

  protected override reply(response: unknown): void {
    const { connectError } = this;
    if (connectError === undefined) this.#answer?.resolve(response as Message);
    else this.#answer?.reject(connectError);
  }

  /**
   * Settles the call where it has not settled, and gives errors that are
   * connect-node's own the code, the words and the details of our table: what
   * cannot be decoded has no handler that could refuse it.
   */
  #onAbort(reason: unknown): void {
    if (!this.isSettled) this.fail(this.#isServed ? failureOfCaller(reason) : failureOfRequest(reason));
    if (!(reason instanceof ConnectError) || reason.details.length > 0) return;
    const { code, rawMessage, message, details } = this.connectError ?? this.#failedLate(reason);
    Object.assign(reason, { code, rawMessage, message, details });
  }

  /** The handler had succeeded, but its response could not be sent. */
  #failedLate(reason: ConnectError): ConnectError {
    if (reason.code === Code.Internal) {
      const { requestId, method } = this;
      this.#logger.error({ method: method.name, requestId, error: reason }, 'response not sent');
    }
    return connectErrorFromDescription(describeError(reason, this.requestId));
  }
}

function failureOfCaller(reason: unknown): DomainError {
  if (reason instanceof ConnectError && reason.code === Code.DeadlineExceeded) {
    return new DomainError('DEADLINE_EXCEEDED', "the caller's deadline has passed");
  }
  return callerIsGone();
}

/** Why a request never became a message: a fault of the caller, whatever connect-node calls it. */
export function failureOfRequest(reason: unknown): DomainError {
  if (!(reason instanceof ConnectError)) return callerIsGone();
  switch (reason.code) {
    case Code.Canceled:
    case Code.Aborted:
    case Code.DeadlineExceeded:
      return failureOfCaller(reason);
    case Code.ResourceExhausted:
      return new DomainError('QUOTA_EXCEEDED', reason.rawMessage, {
        quota: { subject: 'request', description: reason.rawMessage },
      });
    case Code.Unimplemented:
      return new DomainError('UNIMPLEMENTED', reason.rawMessage);
    default:
      return malformedRequest(reason.rawMessage);
  }
}
