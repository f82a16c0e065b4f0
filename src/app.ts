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
import { hostname } from 'node:os';
import type { Config } from './config/config.ts';
import { listenAddressToText } from './config/listen-address.ts';
import { AttemptEnder } from './engine/attempt-ender.ts';
import { BackfillCommand } from './engine/backfill-command.ts';
import { CalendarCache } from './engine/calendar-cache.ts';
import { CalendarDesk } from './engine/calendar-desk.ts';
import { Dispatcher } from './engine/dispatcher.ts';
import { ExecutionFeed } from './engine/execution-feed.ts';
import { LedgerOperations } from './engine/execution-operations.ts';
import { FirePlanning } from './engine/fire-planning.ts';
import { JobCache } from './engine/job-cache.ts';
import { JobCommands } from './engine/job-commands.ts';
import { JobContinuation } from './engine/job-continuation.ts';
import { JobDesk, newPauseId } from './engine/job-operations.ts';
import { LeaderElector } from './engine/leader-elector.ts';
import { LogWriter } from './engine/log-writer.ts';
import { Membership } from './engine/membership.ts';
import type { Operations } from './engine/operations.ts';
import { PauseCommands } from './engine/pause-commands.ts';
import { Rescuer } from './engine/rescuer.ts';
import { Scheduler } from './engine/scheduler.ts';
import { GrpcTargetClient } from './engine/targets/grpc-target-client.ts';
import { HttpTargetClient } from './engine/targets/http-target-client.ts';
import { SocketTargetClient } from './engine/targets/socket-target-client.ts';
import { TargetClients } from './engine/targets/target-clients.ts';
import { TriggerCommand } from './engine/trigger-command.ts';
import { ZoneDataRenewal } from './engine/zone-data-renewal.ts';
import type { Clock } from './platform/clock.ts';
import type { Logger } from './platform/logger.ts';
import { noMetrics } from './platform/metrics.ts';
import { systemRandom } from './platform/random.ts';
import type { Service } from './platform/service.ts';
import { createChain } from './rpc/chain.ts';
import { GrpcServer } from './rpc/grpc-server.ts';
import { HttpServer } from './rpc/http-server.ts';
import { createServices } from './rpc/services/services.ts';
import { Database } from './store/database.ts';
import { EmbeddedPostgres } from './store/embedded-postgres/embedded-postgres.ts';
import { guarded } from './store/guarded-operations.ts';
import { migrate } from './store/migrate.ts';
import { Notifier } from './store/notifier.ts';
import { createStore } from './store/store.ts';

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

  constructor(options: AppOptions) {
    this.#options = options;
  }

  /** Where this instance can be reached, from the end of `start` on. */
  get addresses(): Addresses {
    if (!this.#addresses) throw new Error('the instance has not been started');
    return this.#addresses;
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
    const { engine } = config;
    const url = config.databaseUrl ?? (await this.#startEmbeddedPostgres());
    const database = new Database({
      url,
      poolSize: config.database.poolSize,
      clock,
      logger,
      // Shorter than the lease: a leader that is stopped in a transaction must not outlast it.
      idleInTransactionMs: Math.floor(engine.leaseTtlMs / 2),
      lockTimeoutMs: Math.floor(engine.leaseTtlMs / 2),
      statementTimeoutMs: Math.floor(engine.leaseTtlMs * 0.9),
    });
    this.#parts.push({ start: () => Promise.resolve(), stop: () => database.close() });
    await database.awaitReady(databaseWaitMs);
    await migrate(url, logger);

    const store = createStore(database);
    await store.feed.renewEpochIfForeign(store.db);
    const has = (role: Config['roles'][number]): boolean => config.roles.includes(role);
    const membership = new Membership({
      store,
      clock,
      logger,
      name: `${hostname()}:${process.pid}`,
      roles: config.roles.join(','),
      version,
      ttlMs: engine.instanceTtlMs,
      onLost: () => dispatcher.abandon(),
    });
    const instanceId = (): number => membership.id;
    const notifier = new Notifier({
      database,
      clock,
      logger,
      origin: `${process.pid}-${clock.now().getTime()}`,
    });
    const jobs = new JobCache(store);
    const calendars = new CalendarCache(store);
    const planning = new FirePlanning({ store, jobs, calendars, clock, logger });
    const continuation = new JobContinuation({ store, jobs, planning, notifier, clock, logger });
    const { safetyIntervalMs } = engine;

    const logs = new LogWriter({ store, notifier, clock, logger, instanceId });
    const ender = new AttemptEnder({ store, notifier, continuation, clock, logger, instanceId });
    const maxLogBytes = engine.logBytesPerAttempt;
    const target = new TargetClients({
      http: new HttpTargetClient({
        version,
        clock,
        maxConnectionsPerOrigin: engine.connectionsPerOrigin,
        maxLogBytes,
      }),
      grpc: new GrpcTargetClient({ version, clock, maxLogBytes }),
      socket: new SocketTargetClient({ clock, maxLogBytes }),
    });
    const dispatcher = new Dispatcher({
      store,
      jobs,
      logs,
      ender,
      notifier,
      clock,
      logger,
      metrics: noMetrics,
      target,
      instanceId,
      isAlive: () => membership.isAlive(),
      maxRunning: engine.maxRunning,
      batchSize: engine.claimBatchSize,
      safetyIntervalMs,
      shutdownGraceMs: engine.shutdownGraceMs,
      random: systemRandom,
    });
    const elector = new LeaderElector({
      store,
      clock,
      logger,
      instanceId,
      ttlMs: engine.leaseTtlMs,
      renewMs: engine.leaseRenewMs,
      onChange: () => scheduler.wake(),
    });
    const leadership = (): ReturnType<LeaderElector['leadership']> => elector.leadership();
    const scheduler = new Scheduler({
      store,
      planning,
      continuation,
      notifier,
      clock,
      logger,
      metrics: noMetrics,
      leadership,
      stepDown: (term) => elector.stepDown(term, 'the database knows another leader'),
      batchSize: engine.fireBatchSize,
      safetyIntervalMs,
    });
    const rescuer = new Rescuer({
      store,
      jobs,
      continuation,
      notifier,
      clock,
      logger,
      leadership,
      instanceTtlMs: engine.instanceTtlMs,
      intervalMs: safetyIntervalMs,
      feedRetentionMs: config.feed.retentionMs,
    });
    const zoneData = new ZoneDataRenewal({
      store,
      jobs: new JobCache(store, 2_000),
      clock,
      logger,
      metrics: noMetrics,
      leadership,
      intervalMs: safetyIntervalMs,
    });
    const feed = new ExecutionFeed({
      store,
      notifier,
      clock,
      logger,
      safetyIntervalMs,
      heartbeatMs: config.stream.heartbeatMs,
      bufferBytes: config.stream.bufferBytes,
    });

    await this.#run(notifier);
    await this.#run(membership);
    this.#parts.push({ start: () => Promise.resolve(), stop: () => continuation.stop() });
    if (has('scheduler')) {
      await this.#run(elector);
      await this.#run(rescuer);
      await this.#run(scheduler);
      await this.#run(zoneData);
    }
    this.#parts.push({ start: () => Promise.resolve(), stop: () => ender.stop().then(() => logs.stop()) });

    if (has('dispatcher')) {
      this.#parts.push({ start: () => Promise.resolve(), stop: () => target.close() });
      await this.#run(dispatcher);
    }
    let servers: { readonly grpc?: string; readonly http?: string } = {};
    if (has('api')) {
      await this.#run(feed);
      servers = await this.#startServers({
        jobs: guarded(
          new JobDesk({
            store,
            calendars,
            commands: new JobCommands({ store, planning, continuation, notifier, newPauseId }),
            pauses: new PauseCommands({ store, jobs, planning, continuation, notifier, newPauseId }),
            triggers: new TriggerCommand({ store, jobs, continuation, notifier }),
            backfills: new BackfillCommand({ store, jobs, calendars, continuation, notifier }),
          }),
        ),
        calendars: guarded(new CalendarDesk({ store })),
        executions: guarded(new LedgerOperations({ store, continuation, notifier, feed })),
        ready: () => database.ping(),
      });
    }
    this.#addresses = { ...servers, embeddedDatabase: config.databaseUrl === undefined };
  }

  async #startEmbeddedPostgres(): Promise<string> {
    const { config, clock, logger } = this.#options;
    const embedded = new EmbeddedPostgres({ dataDir: config.dataDir, clock, logger });
    await this.#run(embedded);
    return embedded.url;
  }

  async #startServers(operations: Operations): Promise<{ readonly grpc: string; readonly http: string }> {
    const { config, clock, logger } = this.#options;
    const services = createServices(operations);
    const chain = createChain({ clock, logger, metrics: noMetrics, services });
    const ready = operations.ready;
    const grpc = new GrpcServer({
      address: listenAddressToText(config.grpc.address),
      services,
      chain,
      ready,
      clock,
    });
    const http = new HttpServer({
      address: listenAddressToText(config.http.address),
      services,
      chain,
      ready,
      clock,
      logger,
      corsOrigins: config.http.corsOrigins,
    });
    await this.#run(grpc);
    await this.#run(http);
    return { grpc: grpc.address, http: http.address };
  }
}
