/**
 * The composition root: the one place that sees every part, and the order in
 * which they start and stop.
 *
 * Start: database, migration, instance, election, loops, servers last, so that
 * whoever can connect is served. Stop is the reverse: the servers refuse and
 * end their streams, the dispatcher drains, what it ended is written, the
 * leader resigns, the instance takes its row away, the pool closes, the
 * embedded Postgres stops.
 */
import { createAccessControl } from './access-parts.ts';
import type { Config } from './config/config.ts';
import { isLoopbackHost, listenAddressToText } from './config/listen-address.ts';
import { createAdminToken } from './engine/access/first-token.ts';
import { createEngine, type Engine } from './engine-parts.ts';
import { createGateways } from './gateways/gateways.ts';
import type { Clock } from './platform/clock.ts';
import type { Logger } from './platform/logger.ts';
import { noMetrics } from './platform/metrics.ts';
import { OwnPorts } from './platform/own-ports.ts';
import type { Service } from './platform/service.ts';
import { createChain } from './rpc/chain.ts';
import { ConnectionCounter } from './rpc/connection-counter.ts';
import { GrpcServer } from './rpc/grpc-server.ts';
import { HttpServer } from './rpc/http-server.ts';
import { createServices } from './rpc/services/services.ts';
import { TlsMaterial } from './rpc/tls-material.ts';
import { Database } from './store/database.ts';
import { EmbeddedPostgres } from './store/embedded-postgres/embedded-postgres.ts';
import { migrate } from './store/migrate.ts';
import { createStore, type Store } from './store/store.ts';

export type AppOptions = {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly version: string;
};

/** Where an instance can be reached. */
export type Addresses = {
  readonly grpc?: string;
  readonly http?: string;
  readonly embeddedDatabase: boolean;
};

/** How long a start waits for a database that does not answer yet. */
const databaseWaitMs = 30_000;

export class App implements Service {
  readonly #options: AppOptions;
  /** What runs, in the order of the start. */
  readonly #parts: Service[] = [];
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #addresses: Addresses | undefined;
  #firstToken: string | undefined;
  readonly #ownPorts = new OwnPorts();

  constructor(options: AppOptions) {
    this.#options = options;
  }

  /** Where this instance can be reached, from the end of `start` on. */
  get addresses(): Addresses {
    if (!this.#addresses) throw new Error('the instance has not been started');
    return this.#addresses;
  }

  /** The token of an administrator, where this start has made the first one of the database; shown once, kept nowhere. */
  get firstToken(): string | undefined {
    return this.#firstToken;
  }

  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    // A start that is under way is waited for, or fails by itself.
    await this.#starting?.catch(() => undefined);
    for (let part = this.#parts.pop(); part; part = this.#parts.pop()) {
      try {
        await part.stop();
      } catch (error) {
        this.#options.logger.error({ error }, 'a part did not stop cleanly');
      }
    }
  }

  async #start(): Promise<void> {
    try {
      await this.#startParts();
    } catch (error) {
      this.#starting = undefined;
      await this.#stop();
      throw error;
    }
  }

  async #run(part: Service): Promise<void> {
    this.#parts.push(part);
    await part.start();
  }

  async #startParts(): Promise<void> {
    const { config, clock, logger, version } = this.#options;
    const { leaseTtlMs } = config.engine;
    const url = config.databaseUrl ?? (await this.#startEmbeddedPostgres());
    const database = new Database({
      url,
      poolSize: config.database.poolSize,
      clock,
      logger,
      onAddress: (address, port) => this.#ownPorts.addDatabase(address, port),
      // Shorter than the lease: a leader that is stopped in a transaction must not outlast it.
      idleInTransactionMs: Math.floor(leaseTtlMs / 2),
      lockTimeoutMs: Math.floor(leaseTtlMs / 2),
      statementTimeoutMs: Math.floor(leaseTtlMs * 0.9),
    });
    this.#parts.push({ start: () => Promise.resolve(), stop: () => database.close() });
    await database.awaitReady(databaseWaitMs);
    await migrate(url, logger);

    const store = createStore(database);
    await store.feed.renewEpochIfForeign(store.db);
    const ownPorts = this.#ownPorts;
    // Before the first attempt; once more when they are bound, which tells what names and port 0 came to.
    if (config.roles.includes('api'))
      for (const { host, port } of [config.grpc.address, config.http.address])
        ownPorts.addListener(host, port);
    const engine = createEngine({ config, clock, logger, version, database, store, ownPorts });
    for (const part of engine.parts) await this.#run(part);
    const servers = config.roles.includes('api') ? await this.#startServers(engine, store) : {};
    this.#addresses = { ...servers, embeddedDatabase: config.databaseUrl === undefined };
  }

  async #startEmbeddedPostgres(): Promise<string> {
    const { config, clock, logger } = this.#options;
    const embedded = new EmbeddedPostgres({ dataDir: config.dataDir, clock, logger });
    await this.#run(embedded);
    return embedded.url;
  }

  async #startServers(
    engine: Engine,
    store: Store,
  ): Promise<{ readonly grpc: string; readonly http: string }> {
    const { config, clock, logger } = this.#options;
    const access = config.access.control
      ? createAccessControl({ config, clock, logger, store, ...engine })
      : undefined;
    for (const part of access?.parts ?? []) await this.#run(part);
    if (access) this.#firstToken = await createAdminToken(store, { name: 'first', onlyFirst: true });
    const operations = access?.operations ?? engine.operations;
    const services = createServices(operations);
    const { authentication } = access ?? {};
    const { refusals } = engine;
    const chain = createChain({ clock, logger, metrics: noMetrics, services, refusals, authentication });
    const ready = operations.ready;
    const tls = await this.#startTls();
    if (!tls && access && !isForThisMachine(config)) {
      logger.warn(
        {},
        'bearer tokens come in plain text; put TLS in front of this instance, or configure it here',
      );
    }
    const {
      maxConnections: max,
      maxConnectionsPerAddress: maxPerAddress,
      maxConnectionAgeMs,
    } = config.server;
    const connections = new ConnectionCounter({ clock, logger, max, maxPerAddress });
    const guard = { connections, maxAgeMs: maxConnectionAgeMs };
    const grpc = new GrpcServer({
      address: listenAddressToText(config.grpc.address),
      services,
      chain,
      ready,
      clock,
      logger,
      guard,
      tls,
      reflection: config.reflection,
    });
    const http = new HttpServer({
      address: listenAddressToText(config.http.address),
      services,
      chain,
      ready,
      clock,
      logger,
      guard,
      tls,
      corsOrigins: config.http.corsOrigins,
      hosts: !access && isLoopbackHost(config.http.address.host) ? config.http.hosts : undefined,
      mounts: createGateways({
        names: config.gateways,
        timeZone: config.gatewayTimeZone,
        services,
        chain,
        clock,
        logger,
        allowedOrigins: config.http.corsOrigins,
      }),
    });
    await this.#run(grpc);
    await this.#run(http);
    for (const { host, port } of [...grpc.places, ...http.places]) this.#ownPorts.addListener(host, port);
    return { grpc: grpc.address, http: http.address };
  }

  /** The certificate of both servers; undefined where they speak plain text. */
  async #startTls(): Promise<TlsMaterial | undefined> {
    const { config, clock, logger } = this.#options;
    const { certFile, keyFile, clientCaFile, clientCrlFile } = config.tls;
    if (certFile === undefined || keyFile === undefined) return undefined;
    const tls = new TlsMaterial({ files: { certFile, keyFile, clientCaFile, clientCrlFile }, clock, logger });
    await this.#run(tls);
    return tls;
  }
}

const isForThisMachine = ({ grpc, http }: Config): boolean =>
  [grpc.address, http.address].every(({ host }) => isLoopbackHost(host));
