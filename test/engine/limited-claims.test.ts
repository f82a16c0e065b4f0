/** Claims under limits in a real database: never more than allowed, by however many instances, and no less than there is room for. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Placement } from '../../src/domain/job.ts';
import type { RunLimits } from '../../src/domain/run-limits.ts';
import { LimitSettling } from '../../src/engine/limit-settling.ts';
import { LimitedClaims, type LimitedClaimsOptions } from '../../src/engine/limited-claims.ts';
import type { ConnectedWorker } from '../../src/engine/workers/connected-worker.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { run } from '../../src/store/database.ts';
import type { LimitStore } from '../../src/store/limit-store.ts';
import type { Store } from '../../src/store/store.ts';
import { ManualClock } from '../platform/manual-clock.ts';
import { awaitThat } from '../support/await-that.ts';
import { triggerAudit } from '../support/caller.ts';
import { useStoredJobs } from './stored-jobs.ts';

const stored = useStoredJobs();
let [one, two] = [0, 0];
let queueId = 0;

beforeAll(async () => {
  const { store } = stored;
  const register = (name: string) =>
    store.instances.register(store.db, { name, roles: 'dispatcher', version: '0' }, 3_600_000);
  [one, two] = [await register('one'), await register('two')];
  [queueId] = (await store.queues.ensure(store.db, 'default', ['mail'])) as [number];
});

beforeEach(async () => {
  await stored.rows('delete from carillon.open_execution');
  await limitNamespace({});
  await limitQueue({});
});

async function limitNamespace(limits: RunLimits): Promise<void> {
  const { store } = stored;
  await store.namespaces.ensure(store.db, 'default');
  await stored.rows('update carillon.namespace set starts_booked_until = null');
  await store.transaction((tx) => store.namespaces.update(tx, 'default', { limits }));
  await new LimitSettling(store).pass();
}

async function limitQueue(limits: RunLimits): Promise<void> {
  const { store } = stored;
  await stored.rows('update carillon.queue set starts_booked_until = null');
  await store.transaction((tx) => store.namespaces.limitQueue(tx, queueId, limits));
  await new LimitSettling(store).pass();
}

/** Triggers a job so many times. */
async function trigger(
  jobId: number,
  count: number,
  more: { readonly priority?: number; readonly placement?: Placement } = {},
): Promise<readonly number[]> {
  const { store } = stored;
  const ids = await store.triggers.drawIds(store.db, count);
  await store.transaction((tx) =>
    store.triggers.insertTriggered(
      tx,
      ids.map((id) => ({
        id,
        jobId,
        cause: 'API',
        state: 'PENDING',
        message: '',
        priority: more.priority ?? 0,
        queueTimeoutMs: null,
        parameters: null,
        buffered: false,
        placement: more.placement ?? null,
        audit: triggerAudit,
      })),
    ),
  );
  return ids;
}

const addJob = (maxRunning = 0): Promise<number> => stored.addJob({ definition: { maxRunning } });

async function addQueueJob(maxRunning = 0): Promise<number> {
  const id = await addJob(maxRunning);
  await stored.rows('update carillon.job set queue_id = $2 where id = $1', [id, queueId]);
  return id;
}

/** Tests look again at once. */
const unrested = { clock: systemClock, restMs: 0 };
const noWorkers = { openQueues: new Set<number>(), workersOf: () => [], reserveClaimed: () => undefined };

/** Workers of the queue with so many free places each. */
function workersWith(free: Record<string, number>) {
  const workers = Object.entries(free).map(
    ([workerId, places]) => ({ hello: { workerId, labels: {} }, free: places }) as unknown as ConnectedWorker,
  );
  const reserved: { queueId: number; workerId: string | null }[] = [];
  return {
    openQueues: new Set([queueId]),
    workersOf: (id: number) => (id === queueId ? workers : []),
    reserveClaimed: (id: number, claimed: readonly { readonly workerId: string | null }[]) =>
      void reserved.push(...claimed.map(({ workerId }) => ({ queueId: id, workerId }))),
    reserved,
  };
}

const claimsOf = (instance: number, workers: Parameters<typeof make>[1] = noWorkers, batchSize = 100) =>
  make(instance, workers, batchSize);

function make(
  instance: number,
  workers: ConstructorParameters<typeof LimitedClaims>[0]['workers'],
  batchSize: number,
) {
  return new LimitedClaims({
    ...unrested,
    store: stored.store,
    workers,
    instanceId: () => instance,
    batchSize,
  });
}

/** Claims of the first instance over a store of which some parts are the test's. */
function claimsWith(
  limits: Partial<LimitStore>,
  rest: Pick<LimitedClaimsOptions, 'clock' | 'restMs'> = unrested,
): LimitedClaims {
  const { store } = stored;
  const watched: Store = { ...store, limits: Object.assign(Object.create(store.limits), limits) };
  return new LimitedClaims({
    ...rest,
    store: watched,
    workers: noWorkers,
    instanceId: () => one,
    batchSize: 100,
  });
}

/** So many free slots. */
const slots =
  (free: number) =>
  (wanted: number): number =>
    Math.min(wanted, free);

async function endAll(instance: number, claimed: readonly { executionId: number; attempt: number }[]) {
  const { store } = stored;
  return store.attempts.end(
    store.db,
    instance,
    claimed.map(({ executionId, attempt }) => ({ executionId, attempt, outcome: 'SUCCEEDED', message: '' })),
  );
}

const laneOf = async (id: number): Promise<number | null> => {
  const [row] = await stored.rows<{ lane: number | null }>(
    'select lane from carillon.open_execution where execution_id = $1',
    [id],
  );
  return row!.lane;
};

describe('max_running of a job', () => {
  it('lets so many run and no more; each end makes room for one, the oldest first', async () => {
    const job = await addJob(3);
    const ids = await trigger(job, 5);
    const claims = claimsOf(one);
    const first = await claims.claim(slots(100));
    expect(first.map(({ executionId }) => executionId).toSorted()).toEqual(ids.slice(0, 3));
    expect(await claims.claim(slots(100))).toEqual([]);
    expect(claims.waitMs).toBeUndefined();
    expect(await endAll(one, first.slice(0, 1))).toMatchObject([{ isFinal: true, isLimited: true }]);
    expect((await claims.claim(slots(100))).map(({ executionId }) => executionId)).toEqual([ids[3]]);
  });

  it('is kept by two instances that claim at once, fifty times over', async () => {
    const job = await addJob(2);
    await trigger(job, 100);
    const claims = [claimsOf(one), claimsOf(two)];
    let ended = 0;
    for (let round = 0; ended < 100; round++) {
      expect(round).toBeLessThan(400);
      const taken = await Promise.all(claims.map((each) => each.claim(slots(10))));
      const [{ running } = { running: 0 }] = await stored.rows<{ running: number }>(
        'select count(*)::integer as running from carillon.open_execution where instance_id is not null and job_id = $1',
        [job],
      );
      expect(running).toBeLessThanOrEqual(2);
      ended += taken.flat().length;
      await endAll(one, taken[0]!);
      await endAll(two, taken[1]!);
    }
  });

  it('of one job with a long backlog does not keep others waiting, and priorities hold among them', async () => {
    const [busy, other] = [await addJob(1), await addJob(1)];
    await trigger(busy, 2_000, { priority: 5 });
    const claims = claimsOf(one);
    await claims.claim(slots(10));
    const [low] = await trigger(other, 1);
    const [high] = await trigger(other, 1, { priority: 9 });
    expect((await claims.claim(slots(10))).map(({ executionId }) => executionId)).toEqual([high]);
    expect(low).toBeDefined();
  });

  it('that is set while executions wait and run counts those that run, and lets go of all when it is lifted', async () => {
    const job = await addJob();
    const ids = await trigger(job, 4);
    const { store } = stored;
    await store.attempts.claim(store.db, one, 1);
    const setTo = async (maxRunning: number): Promise<void> => {
      await stored.rows('update carillon.job set max_running = $2 where id = $1', [job, maxRunning]);
      await store.transaction((tx) => store.jobs.moveOpen(tx, job));
    };
    await setTo(2);
    expect(await laneOf(ids[3]!)).toBe(job);
    expect(await claimsOf(one).claim(slots(100))).toHaveLength(1);
    await setTo(0);
    expect(await laneOf(ids[3]!)).toBeNull();
    expect(await store.attempts.claim(store.db, one, 100)).toHaveLength(2);
  });

  it('counts what waits for a retry as free, and the retry stands in the lane again', async () => {
    const job = await addJob(1);
    const [first, second] = await trigger(job, 2);
    const claims = claimsOf(one);
    const [claimed] = await claims.claim(slots(10));
    expect(claimed!.executionId).toBe(first);
    const { store } = stored;
    await store.attempts.end(store.db, one, [
      { executionId: first!, attempt: 1, outcome: 'FAILED', message: '', retryAfterMs: 3_600_000 },
    ]);
    expect(await laneOf(first!)).toBe(job);
    expect((await claims.claim(slots(10))).map(({ executionId }) => executionId)).toEqual([second]);
  });

  it('counts what its callee has and will report on later, until it does', async () => {
    const job = await addJob(1);
    await trigger(job, 2);
    const claims = claimsOf(one);
    const [claimed] = await claims.claim(slots(10));
    const { store } = stored;
    const { executionId, attempt } = claimed!;
    expect(
      await store.reports.handOver(store.db, one, [
        { executionId, attempt, timeoutMs: 60_000, loggedBytes: 0 },
      ]),
    ).toEqual([executionId]);
    expect(await claims.claim(slots(10))).toEqual([]);
    const end = { executionId, attempt, outcome: 'SUCCEEDED', message: '' } as const;
    expect(await store.attempts.endOf(store.db, [null], [end])).toMatchObject([{ isLimited: true }]);
    expect(await claims.claim(slots(10))).toHaveLength(1);
  });

  it('takes no more than there are free slots, and goes on at once when a batch was full', async () => {
    const job = await addJob(50);
    await trigger(job, 30);
    const claims = claimsOf(one, noWorkers, 10);
    expect(await claims.claim(slots(4))).toHaveLength(4);
    expect(await claims.claim(slots(100))).toHaveLength(10);
    expect(claims.waitMs).toBe(0);
    expect(await claims.claim(slots(0))).toEqual([]);
  });
});

describe('limits of a queue and of a namespace', () => {
  it('max_running of a queue bounds its workers together, who share by free places', async () => {
    await limitQueue({ maxRunning: 6 });
    await trigger(await addQueueJob(), 20);
    const workers = workersWith({ a: 3, b: 9 });
    expect(await claimsOf(one, workers).claim(slots(0))).toHaveLength(6);
    expect(workers.reserved.filter(({ workerId }) => workerId === 'b')).toHaveLength(6);
    expect(await claimsOf(two, workersWith({ c: 5 })).claim(slots(0))).toEqual([]);
  });

  it('a job’s, a queue’s and a namespace’s hold together', async () => {
    await limitNamespace({ maxRunning: 7 });
    await limitQueue({ maxRunning: 5 });
    await trigger(await addQueueJob(2), 10);
    await trigger(await addQueueJob(), 10);
    await trigger(await addJob(), 10);
    const claimed = await claimsOf(one, workersWith({ a: 50 })).claim(slots(50));
    expect(claimed).toHaveLength(7);
    expect(claimed.filter(({ workerId }) => workerId === 'a')).toHaveLength(5);
  });

  it('an execution for a certain worker waits for that worker, and for the limit', async () => {
    await limitQueue({ maxRunning: 1 });
    const job = await addQueueJob();
    const [placed] = await trigger(job, 1, { placement: { workerId: 'b' }, priority: 1 });
    const [any] = await trigger(job, 1);
    const claims = claimsOf(one, workersWith({ a: 5 }));
    const first = await claims.claim(slots(0));
    expect(first).toMatchObject([{ executionId: any, workerId: 'a' }]);
    expect(await claimsOf(two, workersWith({ b: 5 })).claim(slots(0))).toEqual([]);
    await endAll(one, first);
    expect(await claimsOf(two, workersWith({ b: 5 })).claim(slots(0))).toMatchObject([
      { executionId: placed, workerId: 'b' },
    ]);
  });

  it('a start rate lets its bucket go at once, says when it goes on, and is booked in the database', async () => {
    await limitNamespace({ startRate: { count: 4, periodMs: 4_000 } });
    await trigger(await addJob(), 6);
    const claims = claimsOf(one);
    const first = await claims.claim(slots(100));
    expect(first).toHaveLength(4);
    await endAll(one, first);
    const again = claimsOf(two);
    expect(await again.claim(slots(100))).toEqual([]);
    expect(again.waitMs).toBeGreaterThan(0);
    expect(again.waitMs).toBeLessThanOrEqual(1_000);
    const late = await awaitThat('the next start', async () => {
      const claimed = await again.claim(slots(100));
      return claimed.length > 0 ? claimed : undefined;
    });
    expect(late.length).toBeLessThanOrEqual(2);
  });

  it('that change put what is open into its lanes, and back', async () => {
    const [id] = await trigger(await addJob(), 1);
    expect(await laneOf(id!)).toBeNull();
    await limitNamespace({ maxRunning: 1 });
    expect(await laneOf(id!)).not.toBeNull();
    const { store } = stored;
    expect(await store.attempts.claim(store.db, one, 10)).toEqual([]);
    expect(await claimsOf(one).claim(slots(10))).toHaveLength(1);
    await limitNamespace({});
    expect(await laneOf(id!)).toBeNull();
  });

  it('what was written past a change by somebody who had not seen it is put right later (F35)', async () => {
    await limitNamespace({ maxRunning: 1 });
    const [id] = await trigger(await addJob(), 1);
    await stored.rows('update carillon.open_execution set lane = null');
    expect(await new LimitSettling(stored.store).pass()).toBe(true);
    expect(await laneOf(id!)).not.toBeNull();
    await stored.rows(
      `update carillon.namespace set limits_changed_at = limits_changed_at - interval '1 minute' where limits_changed_at is not null`,
    );
    await stored.rows(
      `update carillon.queue set limits_changed_at = limits_changed_at - interval '1 minute' where limits_changed_at is not null`,
    );
    expect(await new LimitSettling(stored.store).pass()).toBe(true);
    expect(await new LimitSettling(stored.store).pass()).toBe(false);
  });
});

describe('a pass', () => {
  it('takes nothing and says when to try again while another one has the lock', async () => {
    await trigger(await addJob(1), 1);
    const { store } = stored;
    const locked = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    const other = store.transaction(async (tx) => {
      expect(await store.limits.tryLock(tx)).toBe(true);
      locked.resolve();
      await done.promise;
    });
    await locked.promise;
    const claims = claimsOf(one);
    expect(await claims.claim(slots(10))).toEqual([]);
    expect(claims.waitMs).toBeGreaterThan(0);
    done.resolve();
    await other;
    expect(await claims.claim(slots(10))).toHaveLength(1);
  });

  it('goes round through more lanes than it looks at in one go', async () => {
    const jobs = await Promise.all(Array.from({ length: 40 }, () => addJob(1)));
    for (const job of jobs) await trigger(job, 2);
    const claims = new LimitedClaims({
      ...unrested,
      store: stored.store,
      workers: noWorkers,
      instanceId: () => one,
      batchSize: 1_000,
      maxLanes: 7,
    });
    const claimed: number[] = [];
    let passes = 0;
    do {
      claimed.push(...(await claims.claim(slots(1_000))).map(({ jobId }) => jobId));
      expect(++passes).toBeLessThan(40);
    } while (claims.waitMs === 0);
    expect(claimed.toSorted()).toEqual(jobs.toSorted());
  });

  it('reads of a long backlog what it has room for and one more, and asks for so many slots', async () => {
    await trigger(await addJob(3), 200);
    const read: number[] = [];
    const asked: number[] = [];
    const claims = claimsWith({
      listLaned: async (...args) => {
        const found = await stored.store.limits.listLaned(...args);
        read.push(found.length);
        return found;
      },
    });
    const claimed = await claims.claim((wanted) => {
      asked.push(wanted);
      return wanted;
    });
    expect([claimed.length, read, asked]).toEqual([3, [4], [4]]);
    expect(claims.waitMs).toBeUndefined();
  });

  it('over lanes that have no room takes no lock and no slot', async () => {
    const job = await addJob(1);
    await trigger(job, 5);
    expect(await claimsOf(one).claim(slots(10))).toHaveLength(1);
    const claims = claimsWith({ tryLock: () => expect.unreachable('there is nothing to claim') });
    const asked: number[] = [];
    const claimed = await claims.claim((wanted) => {
      asked.push(wanted);
      return wanted;
    });
    // It says so, for who waits for its turn.
    expect([claimed, asked]).toEqual([[], [0]]);
    expect(claims.waitMs).toBeUndefined();
  });

  it('that meets a cancel takes the others, and comes back for the rest at once', async () => {
    const job = await addJob(2);
    const [first, second] = await trigger(job, 3);
    const { store } = stored;
    const claims = claimsOf(one);
    await store.transaction(async (tx) => {
      await run(tx, 'select from carillon.open_execution where execution_id = $1 for update', [first]);
      expect((await claims.claim(slots(10))).map(({ executionId }) => executionId)).toEqual([second]);
      expect(claims.waitMs).toBeGreaterThan(0);
      expect(claims.waitMs).toBeLessThanOrEqual(5);
      // It waits for it, and does not ask without a pause.
      expect(await claims.claim(slots(10))).toEqual([]);
      expect(claims.waitMs).toBeGreaterThan(0);
    });
    expect((await claims.claim(slots(10))).map(({ executionId }) => executionId)).toEqual([first]);
  });

  it('after which a start rate holds some back is followed by the next one a moment later, whoever asks', async () => {
    await limitNamespace({ startRate: { count: 1, periodMs: 60_000 } });
    await trigger(await addJob(), 2);
    const clock = new ManualClock();
    const claims = claimsWith({}, { clock, restMs: 20 });
    expect(await claims.claim(slots(10))).toHaveLength(1);
    await limitNamespace({});
    await limitNamespace({ maxRunning: 5 });
    const asked: number[] = [];
    expect(await claims.claim((wanted) => asked.push(wanted))).toEqual([]);
    expect(asked).toEqual([0]);
    expect(claims.waitMs).toBe(20);
    await clock.advance(20);
    expect(await claims.claim(slots(10))).toHaveLength(1);
  });

  it('without slots goes on claiming for workers', async () => {
    await trigger(await addJob(1), 1);
    await limitQueue({ maxRunning: 1 });
    const [any] = await trigger(await addQueueJob(), 2);
    expect(await claimsOf(one, workersWith({ a: 5 })).claim(slots(0))).toMatchObject([
      { executionId: any, workerId: 'a' },
    ]);
  });

  it('that has read less than a lane could give goes on at once', async () => {
    await trigger(await addJob(100), 60);
    const claims = claimsOf(one, noWorkers, 5);
    let claimed = 0;
    let passes = 0;
    do {
      claimed += (await claims.claim(slots(100))).length;
      expect(++passes).toBeLessThanOrEqual(13);
    } while (claims.waitMs === 0);
    expect(claimed).toBe(60);
  });
});
