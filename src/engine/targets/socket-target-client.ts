import type { Socket } from 'node:net';
import { invalidField } from '../../domain/errors.ts';
import type { SocketTarget } from '../../domain/job.ts';
import { validateSocketTarget } from '../../domain/socket-target.ts';
import { type Clock, systemClock } from '../../platform/clock.ts';
import { type AnswerMask, maskOf } from '../secrets/answer-mask.ts';
import type { FindClientCertificate } from '../secrets/client-certificates.ts';
import { AttemptsInFlight } from './attempts-in-flight.ts';
import { anonymous, identityOf, noClientCertificates } from './client-identity.ts';
import { Dialer, type DialerOptions, errorWithCode } from './dialer.ts';
import { aborted, failed, failureFromError, failureFromUnusableTarget } from './http/failure.ts';
import { bodyFromDelivery } from './http/http-request.ts';
import { SocketAnswer } from './socket/socket-answer.ts';
import type { Delivery, DeliveryContext, DeliveryResult, TargetClient } from './target.ts';

export type SocketTargetClientOptions = {
  /** Which addresses may be called. */
  readonly egress: DialerOptions['egress'];
  /** Measures the timeouts and the grace of `close`. Default: the system's. */
  readonly clock?: Clock;
  /**
   * How long a connection may take to stand, TLS included, in milliseconds,
   * where the target does not say. Default 10,000, sensible 1,000 to 30,000.
   * Shorter fails far callees; longer lets a dead address hold an attempt.
   */
  readonly connectTimeoutMs?: number;
  /** The most bytes of a line of the answer. Default 1,048,576. A longer one fails the attempt. */
  readonly maxLineBytes?: number;
  /**
   * How long `close` waits for attempts in flight, in milliseconds. Default
   * 1,000. The dispatcher has drained by then; it is for what was left behind.
   */
  readonly closeGraceMs?: number;
  readonly lookup?: DialerOptions['lookup'];
  readonly ca?: DialerOptions['ca'];
  /** Finds the certificates that targets name. Default: none, and the attempts of such targets fail. */
  readonly findClientCertificate?: FindClientCertificate;
};

/**
 * Delivers attempts by a line of JSON over a TCP connection of their own. What
 * is sent and how an answer is read is told at SocketTarget in target.proto.
 * The callee is read no faster than its lines are stored.
 */
export class SocketTargetClient implements TargetClient<SocketTarget> {
  readonly #clock: Clock;
  readonly #dialer: Dialer;
  readonly #attempts: AttemptsInFlight;
  readonly #connectTimeoutMs: number;
  readonly #maxLineBytes: number;
  readonly #findClientCertificate: FindClientCertificate;

  constructor(options: SocketTargetClientOptions) {
    const { clock = systemClock, egress, lookup, ca } = options;
    this.#clock = clock;
    this.#dialer = new Dialer({ clock, egress, lookup, ca });
    this.#attempts = new AttemptsInFlight(clock, options.closeGraceMs ?? 1_000);
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 10_000;
    this.#findClientCertificate = options.findClientCertificate ?? noClientCertificates;
    this.#maxLineBytes = options.maxLineBytes ?? 1_048_576;
  }

  /** Runs one attempt to its end. Rejects only when `context.log` does, after it has closed the connection. */
  async deliver(target: SocketTarget, delivery: Delivery, context: DeliveryContext): Promise<DeliveryResult> {
    try {
      const [violation] = validateSocketTarget(target, 'target');
      if (violation) throw invalidField(violation.field, violation.description);
    } catch (error) {
      return failureFromUnusableTarget(error);
    }
    return this.#attempts.run(context, (signal) => this.#exchange(target, delivery, context, signal));
  }

  /** Refuses new attempts, waits the grace for those in flight, then cuts them off. */
  close(): Promise<void> {
    return this.#attempts.close();
  }

  async #exchange(
    target: SocketTarget,
    delivery: Delivery,
    context: DeliveryContext,
    signal: AbortSignal,
  ): Promise<DeliveryResult> {
    const timeoutMs = target.connectTimeoutMs ?? this.#connectTimeoutMs;
    const secret = target.tls?.clientCertificateSecretName;
    const found =
      secret === undefined ? anonymous : await identityOf(secret, delivery, this.#findClientCertificate);
    if ('failure' in found) return found.failure;
    if (signal.aborted) return aborted;
    let socket: Socket;
    try {
      const { host, port, tls } = target;
      socket = await this.#dialer.dial({ host, port, tls, identity: found.identity }, { timeoutMs, signal });
    } catch (error) {
      return failureFromError(error);
    }
    const onAbort = (): void => void socket.destroy();
    signal.addEventListener('abort', onAbort);
    try {
      if (signal.aborted) return aborted;
      socket.write(`${bodyFromDelivery(delivery, delivery.fireAt.toISOString())}\n`);
      return await this.#read(socket, target, context, signal, maskOf(delivery.attemptToken));
    } finally {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
    }
  }

  async #read(
    socket: Socket,
    { idleTimeoutMs }: SocketTarget,
    context: DeliveryContext,
    signal: AbortSignal,
    mask: AnswerMask,
  ): Promise<DeliveryResult> {
    const { maxLogBytes } = context;
    const answer = new SocketAnswer({ maxLineBytes: this.#maxLineBytes, maxLogBytes, mask });
    const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      // Only while it is listened to: the time that lines take to be stored is not the callee's.
      const cancelTimer =
        idleTimeoutMs === undefined
          ? undefined
          : this.#clock.setTimer(idleTimeoutMs, () => socket.destroy(errorWithCode(silenceCode)));
      const { value, error } = await nextOf(chunks);
      cancelTimer?.();
      if (signal.aborted) return aborted;
      // What stands of an unfinished line is the last that was heard of the callee.
      const lines = value ? answer.push(value) : answer.close();
      if (lines.length > 0) await context.log(lines);
      if (answer.end) return answer.end;
      if (error !== undefined) return failureFromBreak(error, idleTimeoutMs);
      if (!value) return failed('connection closed by callee before it sent a result', true);
    }
  }
}

/** The code of the error by which a silent callee's connection is closed. */
const silenceCode = 'ERR_CALLEE_SILENT';

/** The next chunk, neither at the end, or how the connection broke. */
async function nextOf(
  chunks: AsyncIterator<Buffer>,
): Promise<{ readonly value?: Buffer; readonly error?: unknown }> {
  try {
    const { done, value } = await chunks.next();
    return done ? {} : { value };
  } catch (error) {
    return { error };
  }
}

function failureFromBreak(error: unknown, idleTimeoutMs: number | undefined): DeliveryResult {
  if (error instanceof Error && 'code' in error && error.code === silenceCode) {
    return { ...failed(`the callee sent nothing for ${idleTimeoutMs} ms`, true), reason: 'ATTEMPT_TIMEOUT' };
  }
  return failureFromError(error);
}
