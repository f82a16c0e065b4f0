import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls } from 'node:tls';
import type { TlsOptions } from '../../domain/job.ts';
import type { Clock } from '../../platform/clock.ts';
import type { EgressPolicy } from '../../platform/egress-policy.ts';
import type { ClientCertificate } from '../secrets/client-certificate.ts';
import { judgedLookup } from './egress.ts';

export type DialerOptions = {
  readonly clock: Clock;
  /** Which addresses may be dialled. */
  readonly egress: EgressPolicy;
  /**
   * Finds the addresses of a host, in place of the system's resolver. It is
   * asked for every host, also for one that is an address in any notation, and
   * of the addresses that it returns those that `egress` allows are dialled.
   */
  readonly lookup?: LookupFunction;
  /** Certificates (PEM) to trust where the target brings none, in place of the ones that come with Node. */
  readonly ca?: string | readonly string[];
};

/** Where to connect to, and how. */
export type Place = {
  /** A name or an address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Absent: no TLS. */
  readonly tls?: TlsOptions;
  /** What a callee that asks who calls is shown; for TLS. */
  readonly identity?: ClientCertificate;
};

export type DialOptions = {
  /** How long the connection may take to stand, lookup and TLS included, in milliseconds. */
  readonly timeoutMs: number;
  /** The protocol to agree on in the TLS handshake. */
  readonly alpn?: string;
  /** Gives up at once. */
  readonly signal: AbortSignal;
};

/** A silent connection is probed by the kernel after this time, so that a callee whose machine is gone is noticed. */
const keepAliveDelayMs = 60_000;

type Found = readonly { readonly address: string; readonly family: number }[];

/** Opens the connections of gRPC and socket targets: the one place where their sockets come from. */
export class Dialer {
  readonly #options: DialerOptions;

  constructor(options: DialerOptions) {
    this.#options = options;
  }

  /**
   * Opens a connection. Rejects with the error of the lookup, the connection or
   * the handshake, with an EgressRefusal, with code ETIMEDOUT after the timeout and with ABORT_ERR at
   * the signal; nothing is left of the socket then.
   */
  dial(place: Place, { timeoutMs, alpn, signal }: DialOptions): Promise<Socket> {
    const { clock, egress, lookup } = this.#options;
    return new Promise((resolve, reject) => {
      let socket: Socket | undefined;
      let isOver = false;
      const end = (error?: Error): void => {
        if (isOver) return;
        isOver = true;
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
        if (socket && !error) {
          resolve(socket);
          return;
        }
        socket?.destroy();
        reject(error);
      };
      const onAbort = (): void => end(errorWithCode('ABORT_ERR'));
      const cancelTimer = clock.setTimer(timeoutMs, () => end(errorWithCode('ETIMEDOUT')));
      const onFound = (error: Error | null, found: Found): void => {
        if (isOver) return;
        if (error || found.length === 0) {
          end(error ?? errorWithCode('ENOTFOUND'));
          return;
        }
        try {
          socket = this.#connect(place, found, alpn);
          // It stays: an error after the handover shows when the connection is read.
          socket.on('error', end);
          socket.once(place.tls ? 'secureConnect' : 'connect', () => end());
        } catch (cause) {
          end(cause as Error);
        }
      };
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
      else {
        const judged = judgedLookup(egress, place.port, lookup);
        judged(place.host, { all: true }, onFound as Parameters<LookupFunction>[2]);
      }
    });
  }

  #connect({ host, port, tls, identity }: Place, found: Found, alpn: string | undefined): Socket {
    const [first] = found;
    const options = {
      // Of an address the socket asks no lookup.
      host: isIP(host) === 0 ? host : first!.address,
      port,
      lookup: ((_host, { all }, callback) => {
        if (all) callback(null, [...found]);
        else callback(null, first!.address, first!.family);
      }) as LookupFunction,
      autoSelectFamily: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveDelayMs,
    };
    if (!tls) return connectTcp(options);
    const { ca } = this.#options;
    const name = tls.serverName ?? host;
    return connectTls({
      ...options,
      // The handshake carries no addresses as server names.
      servername: isIP(name) === 0 ? name : '',
      checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
      ca: tls.caPem ?? (typeof ca === 'object' ? [...ca] : ca),
      ...identity?.credentials,
      ...(alpn !== undefined && { ALPNProtocols: [alpn] }),
    });
  }
}

/** An error that says what it is by its code, as the system's do. */
export function errorWithCode(code: string): Error {
  return Object.assign(new Error(code), { code });
}
