/**
 * The connections to all gRPC callees.
 *
 * Purpose. Attempts to one callee share connections: HTTP/2 carries many calls
 * on one. A connection belongs to an address with its TLS options and the
 * certificate that was shown on it: when that is changed, the connections that
 * showed the one before carry nothing new, and close when they have been idle.
 *
 * Invariants.
 * - A connection has at most `maxCalls` attempts, and no more than the callee's
 *   settings allow; who finds none with room gets a new one. So an instance has
 *   at most one connection for each attempt, and usually one for each callee.
 * - A connection without attempts is kept for `idleMs`. With `maxIdle` of them
 *   the one that has been idle longest is closed for the next.
 * - A connection that failed to open, that the callee closes, or on which an
 *   attempt heard nothing until it was given up takes no new attempts: what is
 *   half dead must not hold one attempt after the other until its timeout.
 *   There is no backoff here: each attempt of a dead callee dials, and the wait
 *   between attempts is the job's own.
 */
import type { Place } from '../dialer.ts';
import { GrpcConnection, type GrpcConnectionOptions } from './grpc-connection.ts';

export type GrpcConnectionsOptions = GrpcConnectionOptions & {
  /** How long a connection stays open without an attempt, in milliseconds. */
  readonly idleMs: number;
  /** The most connections without an attempt. */
  readonly maxIdle: number;
};

/** Lends connections by callee. */
export class GrpcConnections {
  readonly #options: GrpcConnectionsOptions;
  readonly #all = new Set<GrpcConnection>();
  /** Those that take new attempts, by callee. */
  readonly #lendable = new Map<string, Set<GrpcConnection>>();
  /** Those without an attempt and how to keep them open, the one that has been idle longest first. */
  readonly #idle = new Map<GrpcConnection, () => void>();

  constructor(options: GrpcConnectionsOptions) {
    this.#options = options;
  }

  /** How many connections there are. */
  get size(): number {
    return this.#all.size;
  }

  /** Lends a connection, which may still be opening; give it back by `release`. */
  acquire(place: Place): GrpcConnection {
    const key = JSON.stringify([place.host, place.port, place.tls, place.identity?.id]);
    const connections = this.#lendable.get(key) ?? new Set();
    this.#lendable.set(key, connections);
    for (const connection of connections) {
      if (!connection.hasRoom) continue;
      connection.calls++;
      this.#keep(connection);
      return connection;
    }
    const opened = new GrpcConnection(key, place, this.#options);
    opened.calls = 1;
    this.#all.add(opened);
    connections.add(opened);
    void opened.unusable.then(() => this.#retire(opened));
    return opened;
  }

  /** Takes a connection back; with one that is not `usable` nothing new is begun. */
  release(connection: GrpcConnection, usable: boolean): void {
    connection.calls--;
    if (!usable || connection.isRetired) {
      this.#retire(connection);
      return;
    }
    if (connection.calls > 0) return;
    const { clock, idleMs, maxIdle } = this.#options;
    this.#idle.set(
      connection,
      clock.setTimer(idleMs, () => this.#retire(connection)),
    );
    const [longest] = this.#idle.keys();
    if (this.#idle.size > maxIdle && longest) this.#retire(longest);
  }

  /** Closes all connections, whoever has them. */
  close(): void {
    for (const connection of this.#all) connection.destroy();
    for (const connection of this.#all) this.#retire(connection);
  }

  /** Calls off that an idle connection is closed. */
  #keep(connection: GrpcConnection): void {
    this.#idle.get(connection)?.();
    this.#idle.delete(connection);
  }

  /** Lends it no more; closes it when nobody has it. */
  #retire(connection: GrpcConnection): void {
    connection.retire();
    this.#keep(connection);
    const connections = this.#lendable.get(connection.key);
    connections?.delete(connection);
    if (connections?.size === 0) this.#lendable.delete(connection.key);
    if (connection.calls > 0) return;
    this.#all.delete(connection);
    connection.destroy();
  }
}
