/**
 * One RPC under way, whatever the protocol. A call is opened, perhaps served,
 * and settled exactly once: by the handler's answer, by a refusal, by its
 * deadline, by the caller who goes away, or by a server that stops. Whoever
 * settles first wins; the rest is ignored.
 *
 * Interceptors hang on the two ends: `open` on the way in, `close` on the way
 * out, in reverse order. That nests as wrapping functions would, but costs no
 * promise and no closure per interceptor, and lets a deadline settle the call
 * while its handler still waits.
 */
import type { Message } from '@bufbuild/protobuf';
import { unrestricted } from '../domain/access.ts';
import type { Caller, Principal } from '../engine/operations.ts';
import type { ClientCertificate } from './client-certificate.ts';
import type { ErrorDescription } from './errors.ts';
import type { LiveCalls } from './live-calls.ts';
import type { Method } from './services/service.ts';

/** One layer around the handler. No method of it may throw except to refuse the call. */
export type Interceptor = {
  readonly name: string;
  /** Runs when the headers are here, before the request is read. Throws to refuse. */
  open?(call: Call): void | Promise<void>;
  /** Runs when the request is here, before the handler; for each one where requests are streamed. Throws to refuse. */
  check?(call: Call, request: Message): void;
  /** Runs when the call has settled, if its `open` ran. Must not throw. */
  close?(call: Call): void;
};

/** Whoever calls where access control is off. */
export const anonymous: Principal = { actor: 'anonymous', access: unrestricted };

/** What the calls of one server share. */
export type CallContext = { readonly chain: readonly Interceptor[]; readonly live: LiveCalls };

/** The state of a call and its two ends; each protocol says how headers and answers travel. */
export abstract class Call {
  readonly method: Method;
  readonly #interceptors: readonly Interceptor[];
  readonly #live: LiveCalls;
  /** How many interceptors are open: the first so many are closed at the end. */
  #opened = 0;
  #isSettled = false;
  #controller: AbortController | undefined;
  #settledListeners: (() => void)[] | undefined;
  #tellStopping: (() => void) | undefined;

  /** The id that the caller gave or that was made; set by the first interceptor. */
  requestId = '';
  /** Who calls. Everybody may everything until the authentication says otherwise. */
  principal: Principal = anonymous;
  /** Whether a stream was taken in: what ends it from then on is no refusal. */
  isAccepted = false;
  /** The request, or the first of those that are streamed; undefined while none could be read. */
  firstRequest: Message | undefined;
  /** When the call began and ended, on the clock that never jumps. */
  startedMs = 0;
  endedMs = 0;
  /** Calls off the deadline's timer. */
  cancelDeadline: (() => void) | undefined;
  /** Whatever was thrown; undefined for success. */
  failure: unknown;
  /** The failure as the caller sees it; set by the error mapping. */
  error: ErrorDescription | undefined;

  constructor(method: Method, { chain, live }: CallContext) {
    this.method = method;
    this.#interceptors = chain;
    this.#live = live;
    live.add(this, method.kind !== 'unary');
  }

  /** A request header by its lower-case name. */
  abstract header(name: string): string | undefined;
  /** Sets a response header; before the first message. */
  abstract setHeader(name: string, value: string): void;
  /** The caller's address and port. */
  abstract peer(): string;
  /** The certificate that the caller has shown and that was verified; undefined without one, and without TLS. */
  abstract clientCertificate(): ClientCertificate | undefined;
  /** How long until the caller's own deadline, in milliseconds; undefined without one. */
  abstract remainingMs(): number | undefined;
  /** The response as it is carried away; throws where it cannot be. */
  abstract encode(response: Message): unknown;
  /** Answers the caller, once: with the encoded response, or with `error` where there is a failure. */
  protected abstract reply(response: unknown): void;

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** Aborts when the call fails or is given up. Made at first use: most calls never ask. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#isSettled && !this.#controller.signal.aborted) this.#controller.abort(this.failure);
    return this.#controller.signal;
  }

  get caller(): Caller {
    const { actor, access } = this.principal;
    const { name: method, permission } = this.method;
    return { actor, access, requestId: this.requestId, method, permission, peer: this.peer() };
  }

  /**
   * Opens the interceptors in order. Ends with the call open, or settled when
   * one refused. Asynchronous only where an interceptor is.
   */
  open(from = 0): void | Promise<void> {
    for (let i = from; i < this.#interceptors.length && !this.#isSettled; i++) {
      try {
        const opening = this.#interceptors[i]?.open?.(this);
        if (opening !== undefined) return this.#openLater(opening, i + 1);
      } catch (error) {
        return this.fail(error);
      }
      this.#opened = i + 1;
    }
  }

  async #openLater(opening: Promise<void>, next: number): Promise<void> {
    try {
      await opening;
    } catch (error) {
      return this.fail(error);
    }
    this.#opened = next;
    await this.open(next);
  }

  /** Runs the checks in order; throws the refusal of the first that refuses. */
  check(request: Message): void {
    for (const interceptor of this.#interceptors) interceptor.check?.(this, request);
  }

  /** Settles with an answer as `encode` made it; with nothing at the end of a stream. */
  succeed(response?: unknown): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#settle(response);
  }

  /** Settles with a failure, whatever was thrown. */
  fail(failure: unknown): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.failure = failure ?? new Error('the handler failed without a reason');
    this.#settle(undefined);
  }

  #settle(response: unknown): void {
    this.#live.delete(this);
    for (let i = this.#opened - 1; i >= 0; i--) this.#interceptors[i]?.close?.(this);
    if (this.failure !== undefined) this.#controller?.abort(this.failure);
    this.reply(response);
    for (const listener of this.#settledListeners ?? []) listener();
  }

  /** Calls back when the call has settled, at once when it has. The listener must not throw. */
  whenSettled(listener: () => void): void {
    if (this.#isSettled) {
      listener();
      return;
    }
    this.#settledListeners ??= [];
    this.#settledListeners.push(listener);
  }

  /**
   * Has the handler of a stream told when the server begins to stop. Without
   * it the stream ends in that moment, with UNAVAILABLE; with it, the handler
   * ends the stream by itself until the server's grace time is over, as unary
   * calls do. One at a time: a second replaces the first.
   */
  onStopping(tell: () => void): void {
    this.#tellStopping = tell;
  }

  /** Tells the handler that the server stops; false when it has not asked to be told. */
  announceStop(): boolean {
    if (this.#tellStopping === undefined) return false;
    try {
      this.#tellStopping();
    } catch (error) {
      this.fail(error);
    }
    return true;
  }
}
