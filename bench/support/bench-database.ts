/** The Postgres of one run: the embedded one with its production settings (fsync on) in a folder that is removed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { systemClock } from '../../src/platform/clock.ts';
import { createLogger } from '../../src/platform/logger.ts';
import { EmbeddedPostgres } from '../../src/store/embedded-postgres/embedded-postgres.ts';

export class BenchDatabase {
  readonly #dataDir: string;
  readonly #postgres: EmbeddedPostgres;
  readonly #clients: pg.Client[] = [];

  private constructor(dataDir: string, postgres: EmbeddedPostgres) {
    this.#dataDir = dataDir;
    this.#postgres = postgres;
  }

  /** Starts a server on an empty folder. */
  static async start(): Promise<BenchDatabase> {
    const dataDir = await mkdtemp(join(tmpdir(), 'carillon-bench-'));
    const logger = createLogger({ level: 'warn' });
    const postgres = new EmbeddedPostgres({ dataDir, clock: systemClock, logger });
    await postgres.start();
    return new BenchDatabase(dataDir, postgres);
  }

  /** Makes an empty database; returns its URL. */
  async create(name: string): Promise<string> {
    const admin = await this.connect(this.#postgres.url);
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.query(`create database ${name}`);
    // What the last figure left to be written is not the next one's to pay for.
    await admin.query('checkpoint');
    return this.#postgres.url.replace(/[^/]*$/, name);
  }

  /** Removes a database, whoever is connected to it. */
  async drop(name: string): Promise<void> {
    const admin = await this.connect(this.#postgres.url);
    await admin.query(`drop database ${name} with (force)`);
  }

  /** Opens a session that ends with the server. */
  async connect(url: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  /** Stops the server and removes its data. */
  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end().catch(() => undefined)));
    await this.#postgres.stop();
    await rm(this.#dataDir, { recursive: true, force: true });
  }
}
