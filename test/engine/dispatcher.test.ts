/** What a dispatcher takes for its own, over a store and a target that the test drives. */
import { expect, it } from 'vitest';
import { Dispatcher, type DispatcherOptions } from '../../src/engine/dispatcher.ts';
import type { CachedJob } from '../../src/engine/job-cache.ts';
import type { Delivery, DeliveryResult } from '../../src/engine/targets/target.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { ClaimedAttempt } from '../../src/store/attempt-store.ts';
import type { HandOver } from '../../src/store/report-store.ts';
import { ManualClock, settle } from '../platform/manual-clock.ts';

const job = {
  id: 1,
  key: { namespace: 'n', group: 'g', name: 'j' },
  generation: 1,
  definition: {
    target: { kind: 'worker' },
    parameters: {},
    retry: { maxAttempts: 5, initialBackoffMs: 0, maxBackoffMs: 0, multiplier: 1, jitter: 0 },
    attemptTimeoutMs: 60_000,
  },
} as unknown as CachedJob;

const claimOf = (attempt: number): ClaimedAttempt => ({
  executionId: 7,
  attempt,
  jobId: 1,
  generation: 1,
  fireMs: 0,
  cause: 'SCHEDULE',
  term: 1,
  priority: 0,
  parameters: {},
  lastSeq: 0,
  cancelRequested: false,
  workerId: null,
  heldMs: 0,
});

/** A dispatcher; `claimable` is what the next claims get, `held` what the database says it holds. */
function dispatcherOf({
  writeEnd = () => Promise.resolve(),
  isJobGone = false,
}: {
  readonly writeEnd?: () => Promise<void>;
  readonly isJobGone?: boolean;
} = {}) {
  const clock = new ManualClock();
  const claimable: ClaimedAttempt[] = [];
  const held = new Map<number, ClaimedAttempt>();
  const began: number[] = [];
  const handed: number[] = [];
  const released: string[] = [];
  let claimed: Promise<void> = Promise.resolve();
  const listeners = new Map<string, () => void>();
  let promotions = 0;
  /** What the next pass over limits gets, when it does. */
  let limited: Promise<ClaimedAttempt> | undefined;
  const ends = new Map<number, (result: DeliveryResult) => void>();
  const options = {
    clock,
    logger: silentLogger,
    store: {
      attempts: {
        claim: async () => {
          const taken = claimable.splice(0);
          for (const each of taken) held.set(each.executionId, each);
          await claimed;
          return taken;
        },
        listHeld: (_: unknown, __: number, known: readonly number[]) =>
          Promise.resolve([...held.values()].filter(({ executionId }) => !known.includes(executionId))),
        promoteDue: () => {
          promotions++;
          return Promise.resolve({ promoted: 0, nextMs: null });
        },
      },
      limits: {
        listLanes: () => {
          const lanes = limited ? [{ id: 1, queueId: 0, jobId: 1, namespace: 'n' }] : [];
          return Promise.resolve({ lanes, hasPlaced: false, lastLane: null });
        },
        listBounds: () => Promise.resolve([]),
      },
      transaction: async () => {
        const attempt = await limited!;
        limited = undefined;
        return { claimed: [{ attempt, queueId: null }], waitMs: undefined, hasMore: false };
      },
    },
    logs: { open: () => ({ add: () => Promise.resolve(), flush: () => Promise.resolve() }) },
    target: {
      deliver: (_: unknown, { attempt }: Delivery) => {
        began.push(attempt);
        return new Promise<DeliveryResult>((resolve) => ends.set(attempt, resolve));
      },
    },
    jobs: { load: () => Promise.resolve(isJobGone ? new Map() : new Map([[1, job]])) },
    workers: {
      openQueues: new Set<number>(),
      release: (_: unknown, workerId: string) => void released.push(workerId),
    },
    ender: { end: writeEnd },
    handOvers: { add: ({ attempt }: HandOver) => Promise.resolve(void handed.push(attempt)) },
    notifier: {
      on: (topic: string, listener: () => void) => {
        listeners.set(topic, listener);
        return () => undefined;
      },
      notify: () => undefined,
    },
    metrics: { count: () => undefined },
    isAlive: () => true,
    maxLogBytes: () => 1_000_000,
    random: () => 0,
    instanceId: () => 1,
    maxRunning: 10,
    batchSize: 10,
    safetyIntervalMs: 1_000,
    shutdownGraceMs: 1_000,
  } as unknown as DispatcherOptions;
  const tell = (topic: string): void => listeners.get(topic)?.();
  const dispatcher = new Dispatcher(options);
  return {
    ...{ dispatcher, clock, claimable, held, began, ends, handed, released, tell },
    promotions: () => promotions,
    /** Lets the next pass over limits claim what this resolves to. */
    limit: (claim: Promise<ClaimedAttempt>) => {
      limited = claim;
    },
    /** Lets claims be answered only when the promise resolves. */
    holdClaims: (until: Promise<void>) => {
      claimed = until;
    },
  };
}

it('an attempt given up that ends late leaves the later attempt of its execution known, and begun once (I11, I12)', async () => {
  const { dispatcher, claimable, began, ends } = dispatcherOf();
  claimable.push(claimOf(1));
  await dispatcher.tick();
  // Given up for lost, ended by somebody else and claimed here again; here, its delivery still runs.
  claimable.push(claimOf(2));
  await dispatcher.tick();
  await settle();
  expect(began).toEqual([1, 2]);
  ends.get(1)!({ outcome: 'FAILED', reason: 'WORKER_LOST', message: '', retryable: true });
  await settle();
  expect(dispatcher.runningCount).toBe(1);
  dispatcher.beginAdopted();
  await dispatcher.tick();
  await settle();
  expect(began).toEqual([1, 2]);
  ends.get(2)!({ outcome: 'SUCCEEDED', message: '', retryable: false });
  await settle();
  expect(dispatcher.runningCount).toBe(0);
});

it('an attempt that its callee accepts is handed over, and takes no slot from then on', async () => {
  const { dispatcher, claimable, ends, handed } = dispatcherOf();
  claimable.push(claimOf(1));
  await dispatcher.tick();
  await settle();
  expect(dispatcher.runningCount).toBe(1);
  ends.get(1)!({ outcome: 'ACCEPTED', message: '', retryable: false, loggedBytes: 0 });
  await settle();
  expect(handed).toEqual([1]);
  expect(dispatcher.runningCount).toBe(0);
});

it('a retry that somebody else set is looked for at once: reports come to any instance', async () => {
  const { dispatcher, tell, promotions } = dispatcherOf();
  await dispatcher.start();
  await settle();
  expect(promotions()).toBe(1);
  tell('pending');
  await settle();
  expect(promotions()).toBe(1);
  tell('retry');
  await settle();
  expect(promotions()).toBe(2);
  await dispatcher.stop();
});

it('stops when ends cannot be written, a moment after the grace time (F7, F31)', async () => {
  const { dispatcher, clock, claimable, ends } = dispatcherOf({
    writeEnd: () => new Promise(() => undefined),
  });
  claimable.push(claimOf(1));
  await dispatcher.tick();
  await settle();
  let hasStopped = false;
  const stopping = dispatcher.stop().then(() => {
    hasStopped = true;
  });
  await settle();
  ends.get(1)!({ outcome: 'SUCCEEDED', message: '', retryable: false });
  await clock.advance(1_000);
  await clock.advance(1_999);
  expect(hasStopped).toBe(false);
  await clock.advance(1);
  await stopping;
  expect(dispatcher.runningCount).toBe(1);
});

it('attempts that are taken over while a pass is under way are begun by the next one (F27)', async () => {
  const { dispatcher, held, began, holdClaims } = dispatcherOf();
  await dispatcher.tick();
  const answered = Promise.withResolvers<void>();
  holdClaims(answered.promise);
  const pass = dispatcher.tick();
  await settle();
  held.set(7, { ...claimOf(3), heldMs: 5 });
  dispatcher.beginAdopted();
  answered.resolve();
  await pass;
  expect(began).toEqual([]);
  await dispatcher.tick();
  await settle();
  expect(began).toEqual([3]);
});

it('an attempt whose job is gone gives its place at the worker back (F37)', async () => {
  const { dispatcher, claimable, began, released } = dispatcherOf({ isJobGone: true });
  claimable.push({ ...claimOf(1), workerId: 'w1' });
  await dispatcher.tick();
  await settle();
  expect(began).toEqual([]);
  expect(released).toEqual(['w1']);
});

/** A dispatcher whose claim under limits is under way. */
async function limitedUnderWay() {
  const parts = dispatcherOf();
  await parts.dispatcher.tick();
  const answered = Promise.withResolvers<ClaimedAttempt>();
  parts.limit(answered.promise);
  const pass = parts.dispatcher.tickLimited();
  await settle();
  return { ...parts, answer: answered.resolve, pass };
}

it('what no limit concerns is claimed and begun while a claim under limits is under way', async () => {
  const { dispatcher, claimable, began, answer, pass } = await limitedUnderWay();
  claimable.push(claimOf(1));
  await dispatcher.tick();
  await settle();
  expect(began).toEqual([1]);
  answer({ ...claimOf(2), executionId: 8 });
  await pass;
  await settle();
  expect(began).toEqual([1, 2]);
});

it('nobody looks for lost claims while one is under way: what it has got is begun once (F11, I11)', async () => {
  const { dispatcher, held, began, answer, pass } = await limitedUnderWay();
  // The database has committed it, and its reply is on the way.
  held.set(7, claimOf(1));
  dispatcher.beginAdopted();
  const look = dispatcher.tick();
  await settle();
  // No other pass begins before the look.
  const next = dispatcher.tickLimited();
  await settle();
  expect(began).toEqual([]);
  answer(claimOf(1));
  await Promise.all([pass, look, next]);
  await settle();
  expect(began).toEqual([1]);
});

it('what limits hold back begins when a slot becomes free that others had, though nobody says that it waits', async () => {
  const { dispatcher, claimable, began, ends, limit, tell } = dispatcherOf();
  claimable.push(...Array.from({ length: 9 }, (_, n) => ({ ...claimOf(n), executionId: 10 + n })));
  await dispatcher.start();
  await settle();
  limit(Promise.resolve({ ...claimOf(20), executionId: 20 }));
  tell('pending');
  await settle();
  expect(began.slice(9)).toEqual([20]);
  limit(Promise.resolve({ ...claimOf(21), executionId: 21 }));
  ends.get(0)!({ outcome: 'SUCCEEDED', message: '', retryable: false });
  await settle();
  await settle();
  expect(began.slice(9)).toEqual([20, 21]);
  for (const end of ends.values()) end({ outcome: 'SUCCEEDED', message: '', retryable: false });
  await dispatcher.stop();
});

it('a claim under limits that fails gives its slots back, and is looked for', async () => {
  const { dispatcher, held, claimable, began, limit } = dispatcherOf();
  await dispatcher.tick();
  const lost = Promise.reject(new Error('the reply was lost'));
  limit(lost);
  held.set(7, claimOf(1));
  await expect(dispatcher.tickLimited()).rejects.toThrow('the reply was lost');
  limit(Promise.resolve({ ...claimOf(2), executionId: 8 }));
  claimable.push(...Array.from({ length: 8 }, (_, n) => ({ ...claimOf(3), executionId: 10 + n })));
  await dispatcher.tick();
  await dispatcher.tickLimited();
  await settle();
  // Ten slots, all of use.
  expect(began).toEqual([1, ...Array(8).fill(3), 2]);
});
