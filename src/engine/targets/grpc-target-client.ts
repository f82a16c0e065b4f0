import type { GrpcTarget } from '../../domain/job.ts';
import { type Clock, systemClock } from '../../platform/clock.ts';
import { maskOf } from '../secrets/answer-mask.ts';
import type { FindClientCertificate } from '../secrets/client-certificates.ts';
import type { FindSecretText } from '../secrets/secret-texts.ts';
import { AttemptsInFlight } from './attempts-in-flight.ts';
import { anonymous, identityOf, noClientCertificates } from './client-identity.ts';
import { Dialer, type DialerOptions } from './dialer.ts';
import { GrpcConnections } from './grpc/grpc-connections.ts';
import { GrpcExchange, type GrpcExchangeEnvironment } from './grpc/grpc-exchange.ts';
import { type GrpcRequest, requestFromDelivery, withSecretMetadata } from './grpc/run-request.ts';
import { aborted, failureFromUnusableTarget } from './http/failure.ts';
import { noSecretTexts, secretHeadersOf } from './secret-headers.ts';
import type { Delivery, DeliveryContext, DeliveryResult, TargetClient } from './target.ts';

export type GrpcTargetClientOptions = {
  /** Carillon's version, for the user agent. */
  readonly version: string;
  /** Which addresses may be called. */
  readonly egress: DialerOptions['egress'];
  /** Measures timeouts and idle times. Default: the system's. */
  readonly clock?: Clock;
  /**
   * The most attempts on one connection; further ones open another. Default
   * 100, sensible 10 to 1,000. Fewer mean more connections to one callee; more
   * share the fate of one connection and the core that reads it.
   */
  readonly maxCallsPerConnection?: number;
  /**
   * The most connections without an attempt. Default 1,000, sensible up to half
   * of the process's file descriptors. Fewer mean more handshakes.
   */
  readonly maxIdleConnections?: number;
  /**
   * How long a connection stays open without an attempt, in milliseconds.
   * Default 60,000, sensible 5,000 to 300,000. Shorter means more handshakes;
   * longer keeps connections that nobody needs, to addresses that a name may
   * have moved from.
   */
  readonly idleConnectionMs?: number;
  /**
   * How long a connection may take to stand, TLS and HTTP/2 settings each
   * included, in milliseconds. Default 10,000, sensible 1,000 to 30,000.
   * Shorter fails far callees; longer lets a dead address hold an attempt.
   */
  readonly connectTimeoutMs?: number;
  /** The most bytes of a message of an answer. Default 1,048,576. A longer one fails the attempt. */
  readonly maxMessageBytes?: number;
  /**
   * How long `close` waits for attempts in flight, in milliseconds. Default
   * 1,000. The dispatcher has drained by then; it is for what was left behind.
   */
  readonly closeGraceMs?: number;
  readonly lookup?: DialerOptions['lookup'];
  readonly ca?: DialerOptions['ca'];
  /** Finds the certificates that targets name. Default: none, and the attempts of such targets fail. */
  readonly findClientCertificate?: FindClientCertificate;
  /** Finds the metadata that is secret. Default: none, and the attempts of targets with any fail. */
  readonly findSecretText?: FindSecretText;
};

/**
 * Delivers attempts by calls of TargetService.Run. What is sent and how an
 * answer is read is told in target_service.proto, what a status means in
 * status.ts. Proxy variables of the environment are not looked at, service
 * configuration in DNS is not read, nothing is decompressed.
 */
export class GrpcTargetClient implements TargetClient<GrpcTarget> {
  readonly #environment: GrpcExchangeEnvironment;
  readonly #attempts: AttemptsInFlight;
  readonly #userAgent: string;
  readonly #findClientCertificate: FindClientCertificate;
  readonly #findSecretText: FindSecretText;

  constructor(options: GrpcTargetClientOptions) {
    const { clock = systemClock, egress, lookup, ca } = options;
    this.#userAgent = `carillon/${options.version}`;
    this.#findClientCertificate = options.findClientCertificate ?? noClientCertificates;
    this.#findSecretText = options.findSecretText ?? noSecretTexts;
    this.#attempts = new AttemptsInFlight(clock, options.closeGraceMs ?? 1_000);
    this.#environment = {
      clock,
      maxMessageBytes: options.maxMessageBytes ?? 1_048_576,
      connections: new GrpcConnections({
        clock,
        dialer: new Dialer({ clock, egress, lookup, ca }),
        connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
        maxCalls: options.maxCallsPerConnection ?? 100,
        idleMs: options.idleConnectionMs ?? 60_000,
        maxIdle: options.maxIdleConnections ?? 1_000,
      }),
    };
  }

  /** How many connections are open or being opened. */
  get connectionCount(): number {
    return this.#environment.connections.size;
  }

  /** Runs one attempt to its end. Rejects only when `context.log` does, after it has cancelled the call. */
  async deliver(target: GrpcTarget, delivery: Delivery, context: DeliveryContext): Promise<DeliveryResult> {
    let request: GrpcRequest;
    try {
      request = requestFromDelivery(target, delivery, context.timeoutMs, this.#userAgent);
    } catch (error) {
      return failureFromUnusableTarget(error);
    }
    return this.#attempts.run(context, async (signal) => {
      const certificate = target.tls?.clientCertificateSecretName;
      const found =
        certificate === undefined
          ? anonymous
          : await identityOf(certificate, delivery, this.#findClientCertificate);
      if ('failure' in found) return found.failure;
      const secret = await secretHeadersOf(target.secretMetadata, delivery, this.#findSecretText);
      if ('failure' in secret) return secret.failure;
      if (signal.aborted) return aborted;
      const place = { ...request.place, identity: found.identity };
      const whole = withSecretMetadata({ ...request, place }, secret.texts);
      const mask = maskOf(
        delivery.attemptToken,
        secret.texts.flatMap(([, text]) => text.forms),
      );
      return new GrpcExchange(this.#environment, whole, context, signal, mask).run();
    });
  }

  /** Refuses new attempts, waits the grace for those in flight, then cuts them off and closes the connections. */
  async close(): Promise<void> {
    await this.#attempts.close();
    this.#environment.connections.close();
  }
}
