/**
 * One attempt on the wire, from the wish for a connection to its result.
 *
 * It speaks gRPC over node:http2 by itself. The client of grpc-js drops the
 * messages that wait to be read when an error status arrives: of 60 log lines
 * in front of INTERNAL, read with back pressure, 59 were lost, and the last
 * ones before a failure are those that people look for. Here the status counts
 * when everything before it has been read.
 *
 * Back pressure. One chunk is read, its lines are handed to `context.log`, and
 * the next one is asked for when that resolves. Meanwhile the callee is stopped
 * by its flow-control window of 64 KiB; that of the connection stays open, so
 * that one slow attempt does not hold up the others.
 *
 * Failure cases. A call that the callee refused without looking at it (a
 * REFUSED_STREAM, or a connection that was lost before the request was begun)
 * is made once more on another connection. Any other call never goes twice: an
 * attempt is sent to at most one callee, and whether to try again is for the
 * dispatcher to say. When `context.log` rejects, so does the exchange, because
 * that is not the callee's doing.
 */
import type { ClientHttp2Stream } from 'node:http2';
import type { LogLine } from '../../../domain/execution.ts';
import type { Clock } from '../../../platform/clock.ts';
import type { AnswerMask } from '../../secrets/answer-mask.ts';
import { aborted, failed, failureFromError } from '../http/failure.ts';
import { LogAllowance, maxLogLineBytes } from '../log-allowance.ts';
import type { DeliveryContext, DeliveryResult } from '../target.ts';
import { GrpcCall } from './grpc-call.ts';
import { noHttp2Code } from './grpc-connection.ts';
import type { GrpcConnections } from './grpc-connections.ts';
import { type MessageFault, MessageReader } from './message-reader.ts';
import { eventFromBytes } from './run-event.ts';
import type { GrpcRequest } from './run-request.ts';
import { endFromTrailers, failureFromHeaders, isDeadlineExceeded } from './status.ts';

/** What all exchanges of a client have in common. */
export type GrpcExchangeEnvironment = {
  readonly connections: GrpcConnections;
  readonly clock: Clock;
  /** The most bytes of a message of the answer. */
  readonly maxMessageBytes: number;
};

/** How long a callee that has reported its result may take to end the call. */
const endGraceMs = 1_000;

/** How much earlier than the attempt's own timer a callee may find that the time is over. */
const deadlineSlackMs = 100;

type Context = Pick<DeliveryContext, 'log' | 'timeoutMs' | 'maxLogBytes'>;

/** Delivers one attempt; made for it and dropped with it. */
export class GrpcExchange {
  readonly #environment: GrpcExchangeEnvironment;
  readonly #request: GrpcRequest;
  readonly #context: Context;
  readonly #signal: AbortSignal;
  readonly #mask: AnswerMask;
  readonly #startedMs: number;

  constructor(
    environment: GrpcExchangeEnvironment,
    request: GrpcRequest,
    context: Context,
    signal: AbortSignal,
    mask: AnswerMask,
  ) {
    this.#startedMs = environment.clock.monotonicMs();
    this.#environment = environment;
    this.#request = request;
    this.#context = context;
    this.#signal = signal;
    this.#mask = mask;
  }

  /** Runs the exchange; call it once. At the signal it lets go of the connection. */
  async run(): Promise<DeliveryResult> {
    const refusal = failed('callee refuses new calls', true);
    return (await this.#tryOnce()) ?? (await this.#tryOnce()) ?? refusal;
  }

  /** Undefined when the callee has not looked at the call. */
  async #tryOnce(): Promise<DeliveryResult | undefined> {
    const { connections } = this.#environment;
    const connection = connections.acquire(this.#request.place);
    try {
      await untilAborted(connection.opened, this.#signal);
    } catch (error) {
      // Others may go on to wait for what this one gives up.
      connections.release(connection, this.#signal.aborted && connection.calls > 1);
      return this.#signal.aborted ? aborted : failureFromConnection(error);
    }
    let stream: ClientHttp2Stream;
    try {
      stream = connection.request(this.#request.headers);
    } catch {
      connections.release(connection, false);
      return undefined;
    }
    const call = new GrpcCall(stream, this.#request.body);
    // One that was silent may be half dead.
    void call.closed.then(() => connections.release(connection, call.headers !== undefined));
    return this.#read(call);
  }

  async #read(call: GrpcCall): Promise<DeliveryResult | undefined> {
    const { clock, maxMessageBytes } = this.#environment;
    const reader = new MessageReader(maxMessageBytes);
    const allowance = new LogAllowance(this.#context.maxLogBytes);
    const onAbort = (): void => call.cancel();
    this.#signal.addEventListener('abort', onAbort);
    try {
      if (this.#signal.aborted) return aborted;
      for (;;) {
        const { value, error } = await call.next();
        if (this.#signal.aborted) return aborted;
        const wrong = call.headers && failureFromHeaders(call.headers);
        if (wrong) return wrong;
        if (!value) {
          const end = await endOf(call, error, this.#mask);
          if (end && error === undefined) call.letEnd(clock, endGraceMs);
          return this.#isTimeOver(call) ? this.#timeout() : end;
        }
        const end = await this.#hear(reader.push(value), allowance);
        if (this.#signal.aborted) return aborted;
        if (end) {
          call.letEnd(clock, endGraceMs);
          return end;
        }
        if (reader.fault) return failureFromFault(reader.fault, maxMessageBytes);
      }
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
      if (!call.isLetEnd) call.cancel();
    }
  }

  /** Both sides measure the attempt's time. Which of them is first to see that it is over makes no difference. */
  #isTimeOver(call: GrpcCall): boolean {
    const elapsedMs = this.#environment.clock.monotonicMs() - this.#startedMs;
    return isDeadlineExceeded(call.trailers) && elapsedMs >= this.#context.timeoutMs - deadlineSlackMs;
  }

  #timeout(): DeliveryResult {
    const message = `the attempt took longer than ${this.#context.timeoutMs} ms`;
    return { ...failed(message, true), reason: 'ATTEMPT_TIMEOUT' };
  }

  /** Logs the lines of the messages up to the end that one of them tells, which it returns. */
  async #hear(messages: readonly Buffer[], allowance: LogAllowance): Promise<DeliveryResult | undefined> {
    const lines: LogLine[] = [];
    let end: DeliveryResult | undefined;
    for (const message of messages) {
      const event = eventFromBytes(message, maxLogLineBytes, this.#mask);
      const line = event.line && allowance.admit(event.line, message.length);
      if (line) lines.push(line);
      end = event.end;
      if (end) break;
    }
    if (lines.length > 0) await this.#context.log(lines);
    return end;
  }
}

/** The end of an answer that says nothing more; undefined when the callee has not looked at the call. */
async function endOf(call: GrpcCall, error: unknown, mask: AnswerMask): Promise<DeliveryResult | undefined> {
  const told = endFromTrailers(call.trailers ?? {}, mask);
  if (told) return told;
  if (error === undefined) {
    // The trailers may be told after the end of the data.
    await call.closed;
    const end = endFromTrailers(call.trailers ?? {}, mask);
    if (end) return end;
  }
  if (call.wasRefused) return undefined;
  // The end of the data may be all that shows of a reset.
  if (error !== undefined || call.wasReset) return failureFromBreak(error);
  return failed('answer ended without a gRPC status', true);
}

/** Resolves or rejects as the promise does, but rejects at the signal. */
function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    if (signal.aborted) onAbort();
  });
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

function failureFromConnection(error: unknown): DeliveryResult {
  const code = codeOf(error);
  if (code === noHttp2Code || code.startsWith('ERR_HTTP2_'))
    return failed('callee does not speak HTTP/2', true);
  return failureFromError(error);
}

function failureFromBreak(error: unknown): DeliveryResult {
  if (error === undefined || /^(?:ERR_HTTP2_|ERR_STREAM_)/.test(codeOf(error))) {
    return failed('call broken off by callee before its answer was complete', true);
  }
  return failureFromError(error);
}

function failureFromFault(fault: MessageFault, maxBytes: number): DeliveryResult {
  // The callee has done its work by then and would answer the same again.
  return fault === 'too long'
    ? failed(`answer has a message of more than ${maxBytes} bytes`, false)
    : failed('answer has a compressed message, which is not accepted', false);
}
