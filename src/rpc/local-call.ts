import type { Message } from '@bufbuild/protobuf';
import type { Code } from '@connectrpc/connect';
import type { ErrorReason } from '../domain/errors.ts';
import { Call, type CallContext } from './call.ts';
import type { CallingPeer } from './calling-peer.ts';
import type { ClientCertificate } from './client-certificate.ts';
import { describeError, type ErrorDescription } from './errors.ts';
import { callerIsGone, serveUnary } from './serve.ts';
import type { UnaryMethod } from './services/service.ts';

/** Who makes a call from within the process on behalf of somebody outside, and how that is told things. */
export type LocalCaller = {
  /** A header of the call by its lower-case name. */
  header(name: string): string | undefined;
  /** Takes a header of the response. */
  setHeader(name: string, value: string): void;
  /** Who asked, by the connection. */
  readonly peer: CallingPeer;
  /** Aborts when whoever asked went away. */
  readonly signal: AbortSignal;
};

/** A call that was refused or failed, as a caller over the network would see it. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed';
  readonly error: ErrorDescription;

  constructor(error: ErrorDescription) {
    super(error.message);
    this.error = error;
  }

  get reason(): ErrorReason {
    return this.error.reason;
  }

  get code(): Code {
    return this.error.code;
  }
}

/** A call from within the process. It goes through the same chain as one from outside; nothing is encoded. */
export class LocalCall extends Call {
  readonly #caller: LocalCaller;
  readonly #answer = Promise.withResolvers<Message>();

  constructor(method: UnaryMethod, shared: CallContext, caller: LocalCaller) {
    super(method, shared);
    this.#caller = caller;
    const onGone = (): void => this.fail(callerIsGone());
    caller.signal.addEventListener('abort', onGone, { once: true });
    this.whenSettled(() => caller.signal.removeEventListener('abort', onGone));
  }

  override header(name: string): string | undefined {
    return this.#caller.header(name);
  }

  override setHeader(name: string, value: string): void {
    this.#caller.setHeader(name, value);
  }

  override peer(): string {
    return this.#caller.peer.address;
  }

  override clientCertificate(): ClientCertificate | undefined {
    return this.#caller.peer.clientCertificate();
  }

  /** Whoever asked over HTTP has no deadline to tell; the server's own holds. */
  override remainingMs(): undefined {
    return undefined;
  }

  override encode(response: Message): Message {
    return response;
  }

  protected override reply(response: unknown): void {
    if (this.failure === undefined) this.#answer.resolve(response as Message);
    else this.#answer.reject(new CallFailed(this.error ?? describeError(this.failure, this.requestId)));
  }

  /**
   * Opens the call and runs the handler. `refuse` may say, once the call is
   * open, why it is not to be served.
   *
   * @throws CallFailed for whatever it fails with.
   */
  run(method: UnaryMethod, request: Message, refuse: () => unknown): Promise<Message> {
    void this.#run(method, request, refuse);
    return this.#answer.promise;
  }

  async #run(method: UnaryMethod, request: Message, refuse: () => unknown): Promise<void> {
    if (this.#caller.signal.aborted) this.fail(callerIsGone());
    await this.open();
    const refusal = refuse();
    if (refusal !== undefined) this.fail(refusal);
    serveUnary(method, this, request);
  }
}
