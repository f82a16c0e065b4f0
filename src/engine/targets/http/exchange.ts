/**
 * One attempt on the wire, from the wish for a connection to its result.
 *
 * States.
 *   waiting     no connection yet. Ends by `begin`, an abort, the timeout or `refuse`.
 *   connected   the request is sent or about to be. The timeout runs on.
 *   responding  the response headers are here, the timeout is over, the body is read.
 *   ended       the outcome is known and the connection is given back; log lines are still on their way.
 *   settled     the promise is resolved. Whatever undici still says is ignored.
 * An abort settles from every state at once.
 *
 * Backpressure. While `context.log` is pending the connection is paused, so
 * that the callee is read no faster than its lines are stored. undici may hand
 * over what the socket had already read, at most 64 KiB; those lines wait
 * their turn. There is one `log` call at a time, hence the order of lines.
 *
 * Failure cases. A connection that was used before may have been closed by the
 * callee in the meantime. When that shows before a byte of the request was
 * written, the request goes to another connection. Once it may have been
 * written it never goes twice: an attempt is sent to at most one callee, and
 * whether to try again is for the dispatcher to say. When `context.log`
 * rejects, so does the exchange, because that is not the callee's doing.
 *
 * It is the undici handler itself, and the abort listener itself: an attempt
 * costs no AbortController, no stream and no closure besides its timer's.
 */
import type { Dispatcher } from 'undici';
import type { LogLine } from '../../../domain/execution.ts';
import type { HttpTarget } from '../../../domain/job.ts';
import type { Clock } from '../../../platform/clock.ts';
import type { AnswerMask } from '../../secrets/answer-mask.ts';
import type { DeliveryContext, DeliveryResult } from '../target.ts';
import { bodyFromHeaders, type ResponseHeaders } from './body-from-headers.ts';
import { boundedText } from './callee-text.ts';
import type { Connection } from './connection.ts';
import type { Borrower, Connections } from './connections.ts';
import {
  aborted,
  accepted,
  failed,
  failureFromCallee,
  failureFromError,
  failureFromStatus,
} from './failure.ts';
import type { HttpRequest } from './http-request.ts';
import { textLine } from './log-entry.ts';
import type { BodyLimits, ResponseBody } from './response-body.ts';

/** What all exchanges of a client have in common. */
export type ExchangeEnvironment = {
  readonly connections: Connections;
  readonly clock: Clock;
  readonly bodyLimits: Omit<BodyLimits, 'maxLogBytes'>;
  /** The most headers that a response may have. */
  readonly maxHeaders: number;
};

type State = 'waiting' | 'connected' | 'responding' | 'ended' | 'settled';

/** Delivers one attempt; made for it and dropped with it. */
export class Exchange implements Dispatcher.DispatchHandler, Borrower {
  readonly #environment: ExchangeEnvironment;
  readonly #target: HttpTarget;
  readonly #request: HttpRequest;
  readonly #context: DeliveryContext;
  readonly #mask: AnswerMask;
  #state: State = 'waiting';
  #resolve!: (result: DeliveryResult) => void;
  #reject!: (error: unknown) => void;
  #cancelTimer: (() => void) | undefined;
  #connection: Connection | undefined;
  #beganAgain = false;
  #controller: Dispatcher.DispatchController | undefined;
  #status = 0;
  #headers: ResponseHeaders = {};
  #body: ResponseBody | undefined;
  /** Lines that wait for the `log` call under way. */
  #lines: LogLine[] = [];
  #logging = false;
  #outcome: DeliveryResult | undefined;

  constructor(
    environment: ExchangeEnvironment,
    target: HttpTarget,
    request: HttpRequest,
    context: DeliveryContext,
    mask: AnswerMask,
  ) {
    this.#environment = environment;
    this.#target = target;
    this.#request = request;
    this.#context = context;
    this.#mask = mask;
  }

  /** Runs the exchange; call it once. */
  run(): Promise<DeliveryResult> {
    const { clock, connections } = this.#environment;
    const { timeoutMs } = this.#target;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#context.signal.addEventListener('abort', this);
      if (timeoutMs !== undefined) {
        this.#cancelTimer = clock.setTimer(timeoutMs, () => this.#onTimeout(timeoutMs));
      }
      connections.acquire(this.#request.origin, this);
    });
  }

  begin(connection: Connection): void {
    this.#state = 'connected';
    this.#connection = connection;
    connection.send(this.#request, this);
  }

  refuse(): void {
    this.#settle(failed('this instance is stopping', true));
  }

  /** The abort of the context's signal. */
  handleEvent(): void {
    this.#giveUp(aborted);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: ResponseHeaders): void {
    // Interim responses such as 103 come before the one that counts.
    if (this.#state !== 'connected' || status < 200) return;
    this.#state = 'responding';
    this.#stopTimer();
    const { maxHeaders, bodyLimits } = this.#environment;
    if ((controller.rawHeaders as readonly unknown[]).length > 2 * maxHeaders) {
      this.#end(failed(`response has more than ${maxHeaders} headers`, false), false);
      return;
    }
    this.#status = status;
    this.#headers = headers;
    const { maxLogBytes } = this.#context;
    const limits = { ...bodyLimits, maxLogBytes };
    this.#body = bodyFromHeaders(headers, this.#isSuccess(), limits, this.#mask);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#state !== 'responding' || !this.#body) return;
    this.#log(this.#body.push(chunk));
    if (this.#body.full) this.#endOfBody(false);
  }

  onResponseEnd(): void {
    if (this.#state === 'responding') this.#endOfBody(true);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#state !== 'connected' && this.#state !== 'responding') return;
    const wasWritten = this.#controller !== undefined;
    if (!wasWritten && this.#connection?.reused && !this.#beganAgain) {
      this.#beginAgain();
      return;
    }
    // What stands of an unfinished line is the last that was heard of the callee.
    if (this.#body) this.#log(this.#body.end(true));
    this.#end(failureFromError(error), false);
  }

  /** Takes another connection: the one it got was closed before it was used. */
  #beginAgain(): void {
    this.#beganAgain = true;
    this.#state = 'waiting';
    this.#release(false);
    this.#environment.connections.acquire(this.#request.origin, this);
  }

  #onTimeout(timeoutMs: number): void {
    const awaited = this.#controller ? 'response headers' : 'connection';
    this.#giveUp({
      ...failed(`no ${awaited} within ${timeoutMs} ms`, true),
      reason: 'ATTEMPT_TIMEOUT',
    });
  }

  #isSuccess(): boolean {
    const { successCodes } = this.#target;
    if (this.#isAccepted()) return true;
    return successCodes.length > 0 ? successCodes.includes(this.#status) : this.#status < 300;
  }

  /** Whether the callee says that it will report later: 202 means that unless the target lists it as a success. */
  #isAccepted(): boolean {
    return this.#status === 202 && !this.#target.successCodes.includes(202);
  }

  #endOfBody(complete: boolean): void {
    const body = this.#body as ResponseBody;
    this.#log(body.end());
    // No result yet, but often the callee's own name for the work.
    if (body.result && this.#isAccepted()) this.#log([lineOf(body.result, this.#environment.bodyLimits)]);
    this.#end(this.#outcomeFromBody(body), complete);
  }

  #outcomeFromBody(body: ResponseBody): DeliveryResult {
    if (!this.#isSuccess()) {
      const now = this.#environment.clock.now();
      return failureFromStatus(this.#status, this.#headers, body.text, now);
    }
    if (body.error !== undefined) return failureFromCallee(body.error);
    if (this.#isAccepted()) return accepted(body.loggedBytes);
    return {
      outcome: 'SUCCEEDED',
      message: '',
      retryable: false,
      ...(body.result && { result: body.result }),
    };
  }

  /** The outcome is known; it settles when the lines before it are stored. */
  #end(outcome: DeliveryResult, reusable: boolean): void {
    this.#state = 'ended';
    this.#outcome = outcome;
    this.#stopTimer();
    this.#release(reusable);
    if (!this.#logging) this.#settle(outcome);
  }

  #log(lines: readonly LogLine[]): void {
    for (const line of lines) this.#lines.push(line);
    if (this.#lines.length > 0 && !this.#logging) void this.#drainLines();
  }

  async #drainLines(): Promise<void> {
    this.#logging = true;
    // undici hands over every chunk of a chunked body by itself, though many came in one read of the
    // socket. A microtask later all of them are here, and their lines make up one call.
    await undefined;
    if (this.#state === 'responding') this.#controller?.pause();
    try {
      while (this.#lines.length > 0 && this.#state !== 'settled') {
        const lines = this.#lines;
        this.#lines = [];
        await this.#context.log(lines);
      }
    } catch (error) {
      this.#release(false);
      this.#settle(undefined, error);
    }
    this.#logging = false;
    if (this.#state === 'ended') this.#settle(this.#outcome);
    else if (this.#state === 'responding') this.#controller?.resume();
  }

  /** Ends in the middle of whatever is under way: nobody waits for the callee or for the log any more. */
  #giveUp(result: DeliveryResult): void {
    if (this.#state === 'settled') return;
    if (this.#state === 'waiting') this.#environment.connections.forget(this.#request.origin, this);
    this.#settle(result);
    this.#release(false);
  }

  #release(reusable: boolean): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection) this.#environment.connections.release(this.#request.origin, connection, reusable);
  }

  #stopTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #settle(result: DeliveryResult | undefined, error?: unknown): void {
    if (this.#state === 'settled') return;
    this.#state = 'settled';
    this.#stopTimer();
    this.#context.signal.removeEventListener('abort', this);
    this.#lines = [];
    if (result) this.#resolve(result);
    else this.#reject(error);
  }
}

function lineOf(
  result: NonNullable<ResponseBody['result']>,
  { maxLineBytes }: Pick<BodyLimits, 'maxLineBytes'>,
): LogLine {
  return textLine(boundedText(JSON.stringify(result), maxLineBytes));
}
