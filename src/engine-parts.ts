/**
 * The parts of the engine and how they hang together: made here, started by
 * the composition root in the order of `parts`.
 */
import { hostname } from 'node:os';
import type { Config } from './config/config.ts';
import { TokenDesk } from './engine/access/token-desk.ts';
import { AttemptEnder } from './engine/attempt-ender.ts';
import { AuditDesk } from './engine/audit/audit-desk.ts';
import { RefusedCalls } from './engine/audit/refused-calls.ts';
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
import { LimitSettling } from './engine/limit-settling.ts';
import { LogWriter } from './engine/log-writer.ts';
import { Membership } from './engine/membership.ts';
import { NamespaceBounds } from './engine/namespace-bounds.ts';
import { NamespaceDesk } from './engine/namespace-desk.ts';
import { OpenStreams } from './engine/open-streams.ts';
import type { Operations, RefusalRecorder } from './engine/operations.ts';
import { PauseCommands } from './engine/pause-commands.ts';
import { AttemptTokens } from './engine/reports/attempt-tokens.ts';
import { CalleeSweep } from './engine/reports/callee-sweep.ts';
import { HandOvers } from './engine/reports/hand-overs.ts';
import { ReportDesk } from './engine/reports/report-desk.ts';
import { Rescuer } from './engine/rescuer.ts';
import { Scheduler } from './engine/scheduler.ts';
import { SecretBox } from './engine/secrets/secret-box.ts';
import { SecretResealing } from './engine/secrets/secret-resealing.ts';
import { TriggerCommand } from './engine/trigger-command.ts';
import { WorkerDesk } from './engine/workers/worker-desk.ts';
import { WorkerHub } from './engine/workers/worker-hub.ts';
import { ZoneDataRenewal } from './engine/zone-data-renewal.ts';
import type { Clock } from './platform/clock.ts';
import type { Logger } from './platform/logger.ts';
import { noMetrics } from './platform/metrics.ts';
import type { OwnPorts } from './platform/own-ports.ts';
import { systemRandom } from './platform/random.ts';
import type { Service } from './platform/service.ts';
import type { Database } from './store/database.ts';
import { guarded } from './store/guarded-operations.ts';
import { Notifier } from './store/notifier.ts';
import type { Store } from './store/store.ts';
import { createTargetParts } from './target-parts.ts';

export type EngineOptions = {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly version: string;
  readonly database: Database;
  readonly store: Store;
  /** What targets may not call, whatever is open. */
  readonly ownPorts: OwnPorts;
};

export type Engine = {
  /** What runs, in the order of the start; stopped in the reverse. */
  readonly parts: readonly Service[];
  /** What the outside may ask, on an instance that serves calls. */
  readonly operations: Operations;
  /** Wake-ups between instances. */
  readonly notifier: Notifier;
  /** Takes calls that were refused into the audit. */
  readonly refusals: RefusalRecorder;
};

/** Something that only has to be stopped. */
const stopOnly = (stop: () => Promise<unknown>): Service => ({
  start: () => Promise.resolve(),
  stop: async () => {
    await stop();
  },
});

/** Makes the engine of an instance; nothing runs yet. */
export function createEngine(options: EngineOptions): Engine {
  const { config, clock, logger, version, database, store, ownPorts } = options;
  const { engine } = config;
  const has = (role: Config['roles'][number]): boolean => config.roles.includes(role);
  const name = `${hostname()}:${process.pid}`;
  const box = new SecretBox(config.secretKey);
  const membership = new Membership({
    store,
    clock,
    logger,
    name,
    roles: config.roles.join(','),
    version,
    secretKeys: box.keyIds,
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
  const settling = new LimitSettling(store);
  const { safetyIntervalMs } = engine;

  const logs = new LogWriter({ store, notifier, clock, logger, instanceId });
  const ender = new AttemptEnder({ store, notifier, continuation, clock, logger, instanceId });
  const handOvers = new HandOvers({ store, clock, logger, instanceId });
  const tokens = new AttemptTokens(store);
  const { logBytesPerAttempt } = engine;
  const bounds = new NamespaceBounds({ store, clock, logger, logBytesPerAttempt });
  const maxLogBytes = (namespace: string): number => bounds.logBytesOf(namespace);
  const streams = new OpenStreams({ maxStreamsOf: (namespace) => bounds.maxStreamsOf(namespace) });
  const workers = new WorkerHub({
    store,
    clock,
    logger,
    instanceId,
    instance: name,
    heartbeatMs: config.worker.heartbeatMs,
    reconnectGraceMs: config.worker.reconnectGraceMs,
    cancelGraceMs: config.worker.cancelGraceMs,
    onFree: () => dispatcher.wake(),
    onAdopted: () => dispatcher.beginAdopted(),
  });
  const { target, masks, secretDesk } = createTargetParts({
    config,
    clock,
    version,
    store,
    workers,
    box,
    ownPorts,
  });
  const dispatcher = new Dispatcher({
    store,
    jobs,
    workers,
    logs,
    ender,
    handOvers,
    tokens,
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
    maxLogBytes,
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
  const random = systemRandom;
  const cancelGraceMs = engine.calleeCancelGraceMs;
  const callees = new CalleeSweep({ store, jobs, continuation, notifier, logger, random, cancelGraceMs });
  const rescuer = new Rescuer({
    store,
    jobs,
    continuation,
    settling,
    callees,
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
    jobs: new JobCache(store, 2_000, 16 * 1_024 * 1_024),
    clock,
    logger,
    metrics: noMetrics,
    leadership,
    intervalMs: safetyIntervalMs,
  });
  const resealing = new SecretResealing({
    store,
    box,
    clock,
    logger,
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

  const refusals = new RefusedCalls({ store, clock, logger });

  const operations: Operations = {
    jobs: guarded(
      new JobDesk({
        store,
        calendars,
        commands: new JobCommands({ store, planning, continuation, notifier, newPauseId }),
        pauses: new PauseCommands({ store, jobs, planning, continuation, notifier, newPauseId }),
        triggers: new TriggerCommand({ store, jobs, continuation, notifier, clock }),
        backfills: new BackfillCommand({ store, jobs, calendars, continuation, notifier }),
      }),
    ),
    calendars: guarded(new CalendarDesk({ store })),
    secrets: guarded(secretDesk),
    namespaces: guarded(new NamespaceDesk({ store, settling, notifier })),
    tokens: guarded(new TokenDesk({ store, notifier })),
    executions: guarded(new LedgerOperations({ store, continuation, notifier, feed, streams })),
    workers: guarded(new WorkerDesk({ store, hub: has('dispatcher') ? workers : undefined })),
    attempts: guarded(
      new ReportDesk({ store, jobs, tokens, masks, continuation, notifier, clock, random, maxLogBytes }),
    ),
    audit: guarded(new AuditDesk({ store, refusals })),
    ready: () => database.ping(),
  };

  const parts: Service[] = [tokens, notifier, membership, bounds, stopOnly(() => continuation.stop())];
  if (has('scheduler')) parts.push(elector, rescuer, scheduler, zoneData, resealing);
  parts.push(stopOnly(() => Promise.all([ender.stop(), handOvers.stop()]).then(() => logs.stop())));
  if (has('dispatcher'))
    parts.push(
      stopOnly(() => target.close()),
      dispatcher,
      workers,
    );
  if (has('api')) parts.push(refusals, feed);
  return { parts, operations, notifier, refusals };
}
