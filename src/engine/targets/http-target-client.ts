import type { HttpTarget } from '../../domain/job.ts';
import { type Clock, systemClock } from '../../platform/clock.ts';
import { formsOfKey, maskOf } from '../secrets/answer-mask.ts';
import type { FindSecretText } from '../secrets/secret-texts.ts';
import type { FindSigningKeys } from '../secrets/signing-keys.ts';
import { type ConnectOptions, createConnector } from './http/connection.ts';
import { Connections } from './http/connections.ts';
import { Exchange, type ExchangeEnvironment } from './http/exchange.ts';
import { aborted, failureFromUnusableTarget } from './http/failure.ts';
import { type HttpRequest, requestFromDelivery } from './http/http-request.ts';
import { signatureHeaders, signingKeysOf } from './http/signature.ts';
import { maxLogLineBytes } from './log-allowance.ts';
import { noSecretTexts, secretHeadersOf } from './secret-headers.ts';
import type { Delivery, DeliveryContext, DeliveryResult, TargetClient } from './target.ts';

export type HttpTargetClientOptions = {
  /** Carillon's version, for the User-Agent. */
  readonly version: string;
  /** Which addresses may be called. */
  readonly egress: ConnectOptions['egress'];
  /** Measures the timeout to the response headers and the grace of `close`. Default: the system's. */
  readonly clock?: Clock;
  /**
   * The most connections to one origin, hence of attempts at once; further
   * ones wait. Default 256, sensible 8 to 1,000. Fewer make slow callees
   * block their own jobs; more can overrun a callee.
   */
  readonly maxConnectionsPerOrigin?: number;
  /**
   * The most origins whose idle connections are kept. Default 1,000, sensible
   * up to half of the process's file descriptors. Fewer mean more handshakes.
   */
  readonly maxOrigins?: number;
  /**
   * How long a connection may take to stand, TLS included, in milliseconds.
   * Default 10,000, sensible 1,000 to 30,000. Shorter fails far callees;
   * longer lets a dead address hold an attempt.
   */
  readonly connectTimeoutMs?: number;
  /**
   * How long a connection stays open without a request, in milliseconds,
   * where the callee's Keep-Alive header does not say. Default 4,000, sensible
   * 1,000 to 60,000. Longer than the callee keeps it, requests meet a closed
   * connection and their attempts fail.
   */
  readonly idleConnectionMs?: number;
  /**
   * The most bytes of names and values of response headers. Default 16,384,
   * sensible 8,192 to 65,536. A response with more fails the attempt.
   */
  readonly maxHeaderBytes?: number;
  /** The most response headers. Default 256. A response with more fails the attempt. */
  readonly maxHeaders?: number;
  /**
   * The most bytes of a body that is not streamed as log lines. Default
   * 1,048,576, at least 65,536. What is longer is cut, and a JSON object that
   * was cut is a log line and no result. As many bytes may be in memory for
   * every attempt in flight.
   */
  readonly maxBodyBytes?: number;
  /**
   * How long `close` waits for attempts in flight, in milliseconds. Default
   * 1,000. The dispatcher has drained by then; it is for what was left behind.
   */
  readonly closeGraceMs?: number;
  /** Resolves names, in place of the system's resolver. It is not asked for a URL whose host is an address. */
  readonly lookup?: ConnectOptions['lookup'];
  /** Certificates (PEM) to trust in place of the ones that come with Node. */
  readonly ca?: ConnectOptions['ca'];
  /** Finds what targets with a signing secret are signed with. Default: nothing, and their attempts fail. */
  readonly findSigningKeys?: FindSigningKeys;
  /** Finds the headers that are secrets. Default: none, and the attempts of targets with any fail. */
  readonly findSecretText?: FindSecretText;
};

/** A callee's Keep-Alive header cannot hold an idle connection longer than this. */
const maxIdleConnectionMs = 60_000;

/**
 * Delivers attempts by HTTP/1.1 requests over kept-alive connections. What is
 * sent is told in http-request.ts and target.proto, how an answer is read in
 * stream-body.ts and plain-body.ts, what counts as a failure in failure.ts.
 *
 * An attempt succeeds with a success code of its target, any 2xx but 202 by
 * default, unless the callee streams an error. 202 that the target does not
 * list means that the callee will report later. Redirects are not followed, proxy
 * variables of the environment are not looked at, nothing is decompressed.
 * A failure is retryable when another attempt may help: the way to the callee
 * broke (except by its certificate), it took too long, it answered 408, 425,
 * 429 or 5xx, or it said so in a stream.
 */
export class HttpTargetClient implements TargetClient<HttpTarget> {
  readonly #environment: ExchangeEnvironment;
  readonly #userAgent: string;
  readonly #closeGraceMs: number;
  readonly #findSigningKeys: FindSigningKeys;
  readonly #findSecretText: FindSecretText;
  #closing: Promise<void> | undefined;

  constructor(options: HttpTargetClientOptions) {
    const { egress, lookup, ca } = options;
    this.#userAgent = `carillon/${options.version}`;
    this.#closeGraceMs = options.closeGraceMs ?? 1_000;
    this.#findSigningKeys = options.findSigningKeys ?? (async () => ({ missing: 'secret' }));
    this.#findSecretText = options.findSecretText ?? noSecretTexts;
    this.#environment = {
      clock: options.clock ?? systemClock,
      maxHeaders: options.maxHeaders ?? 256,
      bodyLimits: {
        maxLineBytes: maxLogLineBytes,
        maxBodyBytes: options.maxBodyBytes ?? 1_048_576,
      },
      connections: new Connections({
        maxPerOrigin: options.maxConnectionsPerOrigin ?? 256,
        maxOrigins: options.maxOrigins ?? 1_000,
        connector: createConnector({ egress, lookup, ca, timeoutMs: options.connectTimeoutMs ?? 10_000 }),
        idleMs: options.idleConnectionMs ?? 4_000,
        maxIdleMs: maxIdleConnectionMs,
        maxHeaderBytes: options.maxHeaderBytes ?? 16_384,
      }),
    };
  }

  /** How many origins have an open connection or an attempt. */
  get originCount(): number {
    return this.#environment.connections.originCount;
  }

  /**
   * Runs one attempt to its end. Rejects only when `context.log` does, after
   * it has let go of the connection.
   */
  deliver(target: HttpTarget, delivery: Delivery, context: DeliveryContext): Promise<DeliveryResult> {
    if (context.signal.aborted) return Promise.resolve(aborted);
    let request: HttpRequest;
    try {
      request = requestFromDelivery(target, delivery, this.#userAgent);
    } catch (error) {
      return Promise.resolve(failureFromUnusableTarget(error));
    }
    if (target.signingSecretName === undefined && target.secretHeaders === undefined) {
      const mask = maskOf(delivery.attemptToken);
      return new Exchange(this.#environment, target, request, context, mask).run();
    }
    return this.#deliverWithSecrets(target, request, delivery, context);
  }

  async #deliverWithSecrets(
    target: HttpTarget,
    request: HttpRequest,
    delivery: Delivery,
    context: DeliveryContext,
  ): Promise<DeliveryResult> {
    const { clock } = this.#environment;
    const found = await orUndefinedAt(
      context.signal,
      Promise.all([
        signingKeysOf(target.signingSecretName, delivery, this.#findSigningKeys),
        secretHeadersOf(target.secretHeaders, delivery, this.#findSecretText),
      ]),
    );
    if (found === undefined) return aborted;
    const [signing, secret] = found;
    if ('failure' in signing) return signing.failure;
    if ('failure' in secret) return secret.failure;
    for (const [name, text] of secret.texts) request.headers.push(name, text.value);
    if (signing.keys.length > 0) {
      const { keys } = signing;
      const id = String(delivery.executionId);
      request.headers.push(...signatureHeaders({ keys, id, at: clock.now() }, request.body));
    }
    const mask = maskOf(delivery.attemptToken, [
      ...secret.texts.flatMap(([, text]) => text.forms),
      ...signing.keys.flatMap(formsOfKey),
    ]);
    return new Exchange(this.#environment, target, request, context, mask).run();
  }

  /** Refuses new attempts, waits the grace for those in flight, then cuts them off; resolves when all sockets are closed. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { clock, connections } = this.#environment;
    const called = new AbortController();
    await connections.close(clock.sleep(this.#closeGraceMs, called.signal));
    called.abort();
  }
}

/** What the promise resolves to; undefined when the signal aborts first. */
function orUndefinedAt<T>(signal: AbortSignal, promise: Promise<T>): Promise<T | undefined> {
  return Promise.race([
    promise,
    new Promise<undefined>((resolve) => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true });
    }),
  ]);
}
