/**
 * The connections to all callees.
 *
 * Purpose. An attempt takes a connection to its origin, has it for itself and
 * gives it back. Own lists of single undici Clients in place of undici's Pool:
 * an attempt that is cancelled while it waits or connects leaves at once (a
 * Pool keeps its place in the queue and its socket opening), and idle Clients
 * go with their socket (a Pool keeps them). It costs nothing. Requests per
 * second of CPU against a trivial callee in another process, medians of five
 * alternating runs with 64 and 256 in flight: single Clients 44,000 and 39,900,
 * Pool.dispatch 44,200 and 37,300, Pool.request 31,200 and 27,400,
 * Agent.request 29,200 and 28,300; all of deliver() 29,900 and 28,200.
 *
 * Invariants.
 * - A connection is idle or lent to one exchange. Per origin at most
 *   `maxPerOrigin` exist; who finds none waits, first come first served.
 * - The connection that was used last is lent first, so that those too many
 *   run into their idle time and close.
 * - An origin is known as long as it has a connection or somebody waits. With
 *   `maxOrigins` known, the least recently used idle one is let go for a new
 *   one. Origins at work are never let go: more than `maxOrigins` are known
 *   only while each of them has an attempt in flight.
 *
 * Failure. A connection whose exchange did not end well is destroyed, never
 * lent again: what is left of a response on it would be read as the next one.
 */
import { Connection, type ConnectionOptions } from './connection.ts';

/** Who wants a connection. */
export type Borrower = {
  /** Gets a connection; gives it back by `Connections.release`. */
  begin(connection: Connection): void;
  /** There will be none: the connections are closed. */
  refuse(): void;
};

export type ConnectionsOptions = ConnectionOptions & {
  /** The most connections to one origin. */
  readonly maxPerOrigin: number;
  /** The most origins with open connections, except that each at work may have its own. */
  readonly maxOrigins: number;
};

type Origin = {
  readonly name: string;
  /** The last one was used last. */
  readonly idle: Connection[];
  readonly lent: Set<Connection>;
  readonly waiting: Set<Borrower>;
};

/** Lends connections by origin. */
export class Connections {
  readonly #options: ConnectionsOptions;
  /** In the order of use, the least recent first. */
  readonly #origins = new Map<string, Origin>();
  #closed = false;
  #onIdle: (() => void) | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** How many origins are known. */
  get originCount(): number {
    return this.#origins.size;
  }

  /** Lends a connection to the origin, at once or when one comes back. */
  acquire(name: string, borrower: Borrower): void {
    if (this.#closed) {
      borrower.refuse();
      return;
    }
    const origin = this.#use(name);
    const connection = origin.idle.pop();
    if (connection) this.#lend(origin, connection, borrower);
    else if (origin.lent.size < this.#options.maxPerOrigin) this.#lend(origin, this.#open(origin), borrower);
    else origin.waiting.add(borrower);
  }

  /** Takes back a borrower's wish for a connection that it has not got. */
  forget(name: string, borrower: Borrower): void {
    this.#origins.get(name)?.waiting.delete(borrower);
  }

  /** Takes a connection back; one that is not reusable is destroyed. */
  release(name: string, connection: Connection, reusable: boolean): void {
    const origin = this.#origins.get(name);
    if (!origin?.lent.delete(connection)) return;
    const keep = reusable && !this.#closed;
    if (keep) connection.reused = true;
    else void connection.destroy();
    const [next] = origin.waiting;
    if (next) {
      origin.waiting.delete(next);
      this.#lend(origin, keep ? connection : this.#open(origin), next);
    } else if (keep) {
      origin.idle.push(connection);
    } else {
      this.#forgetIfEmpty(origin);
    }
  }

  /**
   * Refuses everybody who waits, closes what is idle, and waits until what is
   * lent has come back or the grace is over; then destroys what is left.
   */
  async close(graceEnds: Promise<void>): Promise<void> {
    this.#closed = true;
    const closing: Promise<void>[] = [];
    for (const origin of [...this.#origins.values()]) {
      for (const borrower of origin.waiting) borrower.refuse();
      origin.waiting.clear();
      for (const connection of origin.idle.splice(0)) closing.push(connection.destroy());
      this.#forgetIfEmpty(origin);
    }
    if (this.#origins.size > 0) {
      await Promise.race([graceEnds, new Promise<void>((resolve) => (this.#onIdle = resolve))]);
    }
    for (const origin of this.#origins.values()) {
      for (const connection of origin.lent) closing.push(connection.destroy());
    }
    await Promise.all(closing);
  }

  #use(name: string): Origin {
    let origin = this.#origins.get(name);
    if (origin) {
      this.#origins.delete(name);
    } else {
      if (this.#origins.size >= this.#options.maxOrigins) this.#letGoOfOne();
      origin = { name, idle: [], lent: new Set(), waiting: new Set() };
    }
    this.#origins.set(name, origin);
    return origin;
  }

  #letGoOfOne(): void {
    for (const origin of this.#origins.values()) {
      if (origin.lent.size > 0) continue;
      for (const connection of origin.idle.splice(0)) void connection.destroy();
      this.#forgetIfEmpty(origin);
      return;
    }
  }

  #open(origin: Origin): Connection {
    const connection = new Connection(origin.name, this.#options, () => this.#onClosed(origin, connection));
    return connection;
  }

  #lend(origin: Origin, connection: Connection, borrower: Borrower): void {
    origin.lent.add(connection);
    borrower.begin(connection);
  }

  /** A socket has closed. Whoever has the connection lent is told by it; an idle one is not needed any more. */
  #onClosed(origin: Origin, connection: Connection): void {
    const at = origin.idle.indexOf(connection);
    if (at === -1) return;
    origin.idle.splice(at, 1);
    void connection.destroy();
    this.#forgetIfEmpty(origin);
  }

  #forgetIfEmpty(origin: Origin): void {
    if (origin.lent.size > 0 || origin.idle.length > 0 || origin.waiting.size > 0) return;
    if (this.#origins.get(origin.name) === origin) this.#origins.delete(origin.name);
    if (this.#origins.size === 0) this.#onIdle?.();
  }
}
