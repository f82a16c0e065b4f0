/**
 * The one way to Postgres.
 *
 * Sessions carry the limits that keep a stopped or slow process from holding
 * others up: a session idle inside a transaction is ended by the server before
 * a leader's lease would expire, and no statement waits for a lock or runs for
 * ever. Connections that break are thrown away; the next query gets a new one.
 *
 * Hot statements begin with a comment, `/* claim *\/ …`. Its text becomes the
 * name of a prepared statement, so that the server plans them once per session;
 * pg_stat_activity shows the name as well. All other statements are planned
 * each time, which suits queries whose shape varies.
 */
import { Socket } from 'node:net';
import { CompiledQuery, Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { isTransactionConflict, isTransient } from './database-errors.ts';
import type { Schema } from './schema.ts';

export type DatabaseOptions = {
  readonly url: string;
  /** The most connections of the pool. */
  readonly poolSize: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * Is told at each connection of the pool where the database is: the address that the connection leads to, all others
   * of its host's name, and loopback where it leads over a socket in the file system.
   */
  readonly onAddress?: (address: string, port: number) => void;
  /** The longest wait for a connection, be it a free one of the pool or a new one. Default 3,000. */
  readonly connectTimeoutMs?: number;
  /** Ends a session that idles inside a transaction. Shorter than the leader's lease. Default 2,000. */
  readonly idleInTransactionMs?: number;
  /** The longest wait for a lock. Default 2,000. */
  readonly lockTimeoutMs?: number;
  /** The longest statement. Default 10,000. */
  readonly statementTimeoutMs?: number;
};

/** The database or a transaction in it; store functions take either first. */
export type Db = Kysely<Schema>;

/** An open transaction. */
export type Tx = Transaction<Schema>;

const parseInt8 = (text: string): number => Number(text);

/** int8 is read as a number: ids and counts stay below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === pg.types.builtins.INT8) return parseInt8;
    if (oid === int8ArrayOid) return parseInt8Array;
    return format === undefined ? pg.types.getTypeParser(oid) : pg.types.getTypeParser(oid, format as 'text');
  }) as pg.CustomTypesConfig['getTypeParser'],
};

const int8ArrayOid = 1016;

const parseInt8Array = (text: string): number[] =>
  text === '{}' ? [] : text.slice(1, -1).split(',').map(Number);

/**
 * A client that prepares the statements which begin with a comment, under the name in it.
 *
 * Postgres plans such a statement anew for the values of each call for as long as it expects that to pay, which takes a
 * millisecond where a plan that fits all values exists: more than most of them run. Where a list is short or a limit
 * small it always expects so. Those that run often therefore hide such values from it, `unnest((select $1::bigint[]))`
 * in place of `unnest($1::bigint[])`, and are planned once on each connection (test/store/planned-once.test.ts).
 */
class NamingClient extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super(config);
    // A connection that breaks while a transaction holds it fails that transaction's next query, and the pool
    // drops it when it comes back; the event must not fail the process.
    this.on('error', () => undefined);
  }

  override query(...args: unknown[]): never {
    const [text, values] = args;
    if (typeof text === 'string' && text.startsWith('/* ')) {
      const name = text.slice(3, text.indexOf(' */'));
      return this.#watched(super.query({ name, text, values } as never, ...(args.slice(2) as [])));
    }
    return this.#watched(super.query(...(args as [never])));
  }

  /** Cuts a connection that did not answer in time: a late answer must not meet the next query. */
  #watched(result: unknown): never {
    if (result instanceof Promise) {
      result.catch((error: unknown) => {
        if (error instanceof Error && error.message === 'Query read timeout') {
          streamOf(this).destroy();
        }
      });
    }
    return result as never;
  }
}

/** The socket of a connection, which pg keeps to itself. */
const streamOf = (client: pg.ClientBase): Socket =>
  (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream;

/** Thrown by a rehearsal at its own end, so that the transaction is rolled back. */
class RehearsalEnd<T> extends Error {
  result: T | undefined;
}

export class Database {
  readonly db: Db;
  readonly #pool: pg.Pool;
  readonly #options: DatabaseOptions;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    const found = new Set<string>();
    this.#pool = new pg.Pool({
      ...sessionOptions(options),
      max: options.poolSize,
      Client: NamingClient,
      // A socket tells of each address that it finds, before it tries one.
      stream: () => new Socket().on('lookup', (error, address) => error ?? found.add(address)),
    });
    this.#pool.on('connect', (client) => {
      const { host, port } = client;
      const leadsTo = host.startsWith('/') ? '127.0.0.1' : streamOf(client).remoteAddress;
      if (leadsTo !== undefined) options.onAddress?.(leadsTo, port);
      for (const address of found) options.onAddress?.(address, port);
    });
    // An idle connection that breaks is dropped by the pool; the event must not fail the process.
    this.#pool.on('error', (error) => options.logger.debug({ error }, 'idle database connection broke'));
    this.db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: this.#pool }) });
  }

  /**
   * Runs a transaction. When it fails because it met another one (deadlock,
   * serialization, an id made twice) it is run again from the start, up to
   * three times: `body` must not have effects outside the transaction.
   */
  async transaction<T>(body: (tx: Tx) => Promise<T>): Promise<T> {
    for (let n = 1; ; n++) {
      try {
        return await this.db.transaction().execute(body);
      } catch (error) {
        if (n >= 3 || !isTransactionConflict(error)) throw error;
        this.#options.logger.debug({ error, n }, 'transaction met another one, trying again');
      }
    }
  }

  /**
   * Runs a transaction and takes it back: tells what `body` came to, and
   * nothing of it stays. While it runs it holds its locks like any other.
   */
  async rehearse<T>(body: (tx: Tx) => Promise<T>): Promise<T> {
    const end = new RehearsalEnd<T>();
    try {
      return await this.transaction(async (tx) => {
        end.result = await body(tx);
        throw end;
      });
    } catch (error) {
      if (error === end) return end.result as T;
      throw error;
    }
  }

  /** Reads with several statements what was committed at one moment: all of them see the same snapshot. */
  async snapshot<T>(body: (tx: Tx) => Promise<T>): Promise<T> {
    const transaction = this.db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only');
    return transaction.execute(body);
  }

  /** A connection outside the pool, for sessions that listen or hold a lock. The caller ends it. */
  async connect(applicationName: string): Promise<pg.Client> {
    const client = new pg.Client({ ...sessionOptions(this.#options), application_name: applicationName });
    await client.connect();
    return client;
  }

  /**
   * Sends a notification, in a transaction of its own. That one need not wait for the disk: it changes nothing, and
   * what it speaks of was committed before.
   */
  async notify(channel: string, payload: string): Promise<void> {
    await this.#pool.query(
      `/* notify */ select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`,
      [channel, payload],
    );
  }

  /** Resolves when the database answers. */
  async ping(): Promise<void> {
    await this.#pool.query('select 1');
  }

  /** Resolves when the database answers, trying for `waitMs` with growing waits; rejects with the last error. */
  async awaitReady(waitMs: number): Promise<void> {
    const { clock } = this.#options;
    const deadline = clock.monotonicMs() + waitMs;
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
      try {
        return await this.ping();
      } catch (error) {
        if (!isTransient(error) || clock.monotonicMs() + pauseMs > deadline) throw error;
        await clock.sleep(pauseMs);
      }
    }
  }

  async close(): Promise<void> {
    await this.db.destroy();
  }
}

function sessionOptions(options: DatabaseOptions): pg.PoolConfig {
  const { url, connectTimeoutMs = 3_000, statementTimeoutMs = 10_000 } = options;
  const { idleInTransactionMs = 2_000, lockTimeoutMs = 2_000 } = options;
  return {
    connectionString: url,
    application_name: 'carillon',
    types,
    keepAlive: true,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: 60_000,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    lock_timeout: lockTimeoutMs,
    statement_timeout: statementTimeoutMs,
    // A half-open connection answers nothing, not even the server's own timeout.
    query_timeout: statementTimeoutMs + 2_000,
  };
}

/** Runs a statement of constant text. Text that begins with a comment is prepared under that name. */
export async function run<Row>(db: Db, text: string, parameters: readonly unknown[] = []): Promise<Row[]> {
  const result = await db.executeQuery<Row>(CompiledQuery.raw(text, parameters as unknown[]));
  return result.rows;
}

/** Writes numbers as the text of a Postgres array, which costs less than letting the driver do it one by one. */
export const numberArray = (values: readonly (number | null)[]): string =>
  `{${values.map((value) => (value === null ? 'NULL' : value)).join(',')}}`;
