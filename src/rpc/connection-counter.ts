import type { Socket } from 'node:net';
import type { Clock } from '../platform/clock.ts';
import { callerNetworkOf } from '../platform/ip-address.ts';
import type { Logger } from '../platform/logger.ts';

/** What the counter is made with. */
export type ConnectionCounterOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The most connections of all callers. Default 10,000. */
  readonly max?: number;
  /** The most connections of one address, or of one /64 in IPv6. Default 1,000. */
  readonly maxPerAddress?: number;
};

/** How long the log is silent about further refusals, in milliseconds: they can come by the thousand. */
const quietMs = 10_000;

/**
 * Counts the connections of both ports, and refuses those beyond the limits.
 * Loopback counts like any address: a proxy on the same machine speaks for
 * others, and a program that leaks connections is nearest of all.
 */
export class ConnectionCounter {
  readonly #options: ConnectionCounterOptions;
  readonly #byNetwork = new Map<string, number>();
  #all = 0;
  #refused = 0;
  #quietUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: ConnectionCounterOptions) {
    this.#options = options;
  }

  /** Takes a connection in until it closes; false when there are too many. */
  admit(socket: Socket): boolean {
    const { max = 10_000, maxPerAddress = 1_000 } = this.#options;
    const network = callerNetworkOf(socket.remoteAddress ?? 'unknown');
    const before = this.#byNetwork.get(network) ?? 0;
    if (this.#all >= max) return this.#refuse(network, { connections: this.#all, max });
    if (before >= maxPerAddress) return this.#refuse(network, { connections: before, maxPerAddress });
    this.#all++;
    this.#byNetwork.set(network, before + 1);
    socket.once('close', () => this.#forget(network));
    return true;
  }

  #forget(network: string): void {
    this.#all--;
    const left = (this.#byNetwork.get(network) ?? 0) - 1;
    if (left > 0) this.#byNetwork.set(network, left);
    else this.#byNetwork.delete(network);
  }

  #refuse(network: string, limit: Readonly<Record<string, number>>): false {
    const { clock, logger } = this.#options;
    this.#refused++;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#quietUntilMs) return false;
    this.#quietUntilMs = nowMs + quietMs;
    logger.warn({ network, ...limit, refused: this.#refused }, 'connections refused: too many');
    this.#refused = 0;
    return false;
  }
}
