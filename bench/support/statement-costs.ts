/** What the statements of an idle leader take, called through the store the way the engine calls them. */
import { systemClock } from '../../src/platform/clock.ts';
import { createLogger } from '../../src/platform/logger.ts';
import { zoneDataVersion } from '../../src/platform/zone-data.ts';
import { Database, run } from '../../src/store/database.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { ensure, quantile } from './statistics.ts';

/** Medians in milliseconds, each with the round trips. */
export type StatementCosts = {
  /** The whole tick with nothing due: begin, fence, lock_due, commit, next_fire. */
  readonly tickMs: number;
  readonly lockDueMs: number;
  readonly findWaitMs: number;
  /** One look for jobs to be continued, which the leader takes at every safety interval. */
  readonly sweepMs: number;
  /** The walk over all timers for other zone data, which the leader takes once in a term. */
  readonly walkMs: number;
  /** The first page of List, by key, 50 jobs. */
  readonly listMs: number;
  /** Count of all jobs. */
  readonly countMs: number;
  readonly ticks: number;
};

const maxTicks = 1_000;
const maxTicksMs = 30_000;
const batchSize = 2_000;

/** Measures beside a Carillon that leads and is idle. */
export async function measureStatements(url: string): Promise<StatementCosts> {
  const database = new Database({
    url,
    poolSize: 2,
    clock: systemClock,
    logger: createLogger({ level: 'warn' }),
    statementTimeoutMs: 60_000,
  });
  try {
    return await measure(createStore(database));
  } finally {
    await database.close();
  }
}

async function measure(store: Store): Promise<StatementCosts> {
  const { db } = store;
  const [lease] = await run<{ instanceId: number; term: number }>(
    db,
    'select instance_id as "instanceId", term from carillon.leader_lease',
  );
  ensure(lease !== undefined, 'nobody leads');
  const tick: number[] = [];
  const lockDue: number[] = [];
  const findWait: number[] = [];
  const endMs = performance.now() + maxTicksMs;
  while (tick.length < maxTicks && performance.now() < endMs) {
    const beganMs = performance.now();
    await store.transaction(async (tx) => {
      ensure(await store.leases.findTerm(tx, lease.instanceId, lease.term), 'the leader has changed');
      const fromMs = performance.now();
      const due = await store.timers.lockDue(tx, batchSize, null);
      lockDue.push(performance.now() - fromMs);
      ensure(due.length === 0, 'a job is due that should not be');
    });
    const fromMs = performance.now();
    await store.timers.findWaitMs(db);
    findWait.push(performance.now() - fromMs);
    tick.push(performance.now() - beganMs);
  }
  return {
    tickMs: quantile(tick, 0.5),
    lockDueMs: quantile(lockDue, 0.5),
    findWaitMs: quantile(findWait, 0.5),
    sweepMs: await medianMs(100, async () => {
      await store.continuations.listBufferedOrUnused(db, 0, 500);
      await store.continuations.listFinishedDelays(db, 0, 1_000);
    }),
    walkMs: await medianMs(5, () => store.timers.listOtherZoneData(db, zoneDataVersion, 0, 1_000)),
    listMs: await medianMs(5, () => store.jobs.list(db, { order: 'key', limit: 50 })),
    countMs: await medianMs(5, () => store.jobs.count(db, {})),
    ticks: tick.length,
  };
}

async function medianMs(times: number, call: () => Promise<unknown>): Promise<number> {
  const took: number[] = [];
  for (let n = 0; n < times; n++) {
    const fromMs = performance.now();
    await call();
    took.push(performance.now() - fromMs);
  }
  return quantile(took, 0.5);
}
