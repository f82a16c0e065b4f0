/**
 * Claims executions that limits concern: max_running of their job, max_running
 * and start rate of their queue and namespace.
 *
 * They wait in lanes (lanes.ts), apart from all the others, whose claims know
 * nothing of limits. One pass looks which lanes have somebody waiting and room;
 * when any has, it takes the lock of limits, reads as many of each lane as it
 * has room for, and how the limits stand now, gives places to the most urgent
 * that all of their limits allow, claims those and books their starts: one
 * transaction. Neither the number of statements nor that of the rows read
 * depends on how much waits, so that a long backlog costs others nothing.
 *
 * Failure cases. Another instance has the lock: the pass takes nothing and is
 * repeated shortly. The process is killed before the commit: nothing was
 * claimed or booked. The reply to the commit is lost: the executions are found
 * as claims whose reply was lost (dispatcher.ts). An instance dies with what it
 * claimed: its attempts count as running until they are rescued, so a limit is
 * never exceeded by a crash, and never held for longer than the lease. A limit
 * is lowered below what runs: nothing is stopped, and nothing begins until
 * there is room. Limits or rooms change between the look and the lock: the look
 * decides only how much is read, and what is found full is tried again when it
 * is said to have room. Somebody's end is heard of late: places stay free until then,
 * at most for the safety interval.
 */
import { jobBound, namespaceBound, queueBound, RunBounds } from '../domain/run-limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { ClaimedAttempt } from '../store/attempt-store.ts';
import type { Db, Tx } from '../store/database.ts';
import type { Lane, LanedExecution } from '../store/limit-store.ts';
import type { Store } from '../store/store.ts';
import { FreePlaces } from './workers/free-places.ts';
import type { WorkerHub } from './workers/worker-hub.ts';

export type LimitedClaimsOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'attempts' | 'limits'>;
  readonly workers: Pick<WorkerHub, 'openQueues' | 'workersOf' | 'reserveClaimed'>;
  readonly instanceId: () => number;
  /** The most executions of one pass. */
  readonly batchSize: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** So many lanes of each queue are looked at in one pass; further ones have their turn in the next. Default 1,000. */
  readonly maxLanes?: number;
  /**
   * While a start rate holds somebody back, this lies between passes, in milliseconds. Default 20, by which an execution
   * under limits may begin later than they allow.
   */
  readonly restMs?: number;
};

/** When to try again for the lock that another instance has, and for rows that somebody else has locked. */
const lockedAgainMs = 5;

/** In place of a queue's id, what instances deliver themselves. */
const noQueue = 0;

/** At least so many of a lane may be claimed in one pass, however many lanes there are. */
const leastOfLane = 16;

/** An execution that is to be claimed, and the worker that is to run it. */
type Chosen = { readonly execution: LanedExecution; readonly workerId: string | null };

/** What is to be read of the lanes that have room, and when a start rate of the others lets go again. */
type Look = {
  readonly lanes: readonly (Lane & { readonly count: number })[];
  /** The queues in which executions wait for certain workers. */
  readonly placedIn: readonly number[];
  readonly waitMs: number | undefined;
  /** The lane behind which there may be more; null: there are none. */
  readonly lastLane: number | null;
};

/** What one pass has come to. */
type Pass = {
  readonly claimed: readonly { readonly attempt: ClaimedAttempt; readonly queueId: number | null }[];
  /** When a start rate lets go again. */
  readonly waitMs: number | undefined;
  /** Whether somebody else had locked rows that could have been claimed: a cancel. */
  readonly isShort: boolean;
  /** Whether more could have been claimed than was asked for. */
  readonly hasMore: boolean;
};

const nothing: Pass = { claimed: [], waitMs: undefined, isShort: false, hasMore: false };

type Round = {
  readonly afterLane: number;
  readonly hasMore: boolean;
  readonly waitMs: number | undefined;
};

const newRound: Round = { afterLane: 0, hasMore: false, waitMs: undefined };

export class LimitedClaims {
  readonly #options: LimitedClaimsOptions;
  /** Where the round through all lanes stands, whether it has left some that could go, and when a start rate lets go again. */
  #round = newRound;
  #restUntilMs = 0;
  /** When to look again by itself, in milliseconds after the last pass; undefined: when somebody says so. */
  waitMs: number | undefined;

  constructor(options: LimitedClaimsOptions) {
    this.#options = options;
  }

  /**
   * Claims for the free places at workers of this instance, and for its own
   * slots: takes as many as there may be use for, and leaves it to the caller
   * to give back what it did not need.
   */
  async claim(takeSlots: (wanted: number) => number): Promise<readonly ClaimedAttempt[]> {
    const { store, workers, batchSize, clock } = this.#options;
    const restMs = this.#restUntilMs - clock.monotonicMs();
    this.waitMs = restMs > 0 ? restMs : undefined;
    if (restMs > 0) {
      // Who waits for its turn need not wait for the end of the rest.
      takeSlots(0);
      return [];
    }
    const look = await this.#look([...workers.openQueues, noQueue]);
    const ofInstances = look.lanes.filter(({ queueId }) => queueId === noQueue);
    const wanted = ofInstances.reduce((sum, { count }) => sum + count, 0);
    const freeSlots = takeSlots(Math.min(wanted, batchSize));
    const lanes = freeSlots > 0 ? look.lanes : look.lanes.filter(({ queueId }) => queueId !== noQueue);
    const hasSome = lanes.length > 0 || look.placedIn.length > 0;
    const pass = hasSome
      ? await store.transaction((tx) => this.#claimLocked(tx, { ...look, lanes }, freeSlots))
      : nothing;
    if (!pass) {
      this.waitMs = lockedAgainMs;
      return [];
    }
    this.#goOn(look, pass);
    // What a rate lets go one by one is begun together: a pass for each would cost everybody more than it gives.
    const isRated = look.waitMs !== undefined || pass.waitMs !== undefined;
    if (pass.isShort) this.waitMs = Math.min(this.waitMs ?? lockedAgainMs, lockedAgainMs);
    else if (isRated && this.waitMs !== 0)
      this.#restUntilMs = clock.monotonicMs() + (this.#options.restMs ?? 20);
    // Only now: a transaction may be repeated, and one that failed has claimed nothing.
    for (const [queueId, own] of Map.groupBy(pass.claimed, ({ queueId }) => queueId)) {
      if (queueId !== null)
        workers.reserveClaimed(
          queueId,
          own.map(({ attempt }) => attempt),
        );
    }
    return pass.claimed.map(({ attempt }) => attempt);
  }

  /** Finds the lanes that have room, without the lock. */
  async #look(queueIds: readonly number[]): Promise<Look> {
    const { store, batchSize, maxLanes = 1_000 } = this.#options;
    const { lanes, hasPlaced, lastLane } = await store.limits.listLanes(store.db, queueIds, {
      afterLane: this.#round.afterLane,
      maxLanes,
    });
    const placedIn = hasPlaced ? queueIds : [];
    if (lanes.length === 0) return { lanes: [], placedIn, waitMs: undefined, lastLane };
    const owners = lanes.map((lane) => ({
      ...lane,
      queueId: lane.queueId === noQueue ? null : lane.queueId,
    }));
    const bounds = await this.#boundsOf(store.db, owners);
    const share = Math.max(leastOfLane, Math.floor((4 * batchSize) / lanes.length));
    const open = lanes.flatMap((lane, n) => {
      const room = bounds.roomFor(keysOf(owners[n]!));
      // One more than there is room for shows that the lane goes on, and what it waits for.
      return room === 0 ? [] : [{ ...lane, count: Math.min(room + 1, share) }];
    });
    return { lanes: open, placedIn, waitMs: bounds.waitMs, lastLane };
  }

  async #claimLocked(tx: Tx, look: Look, freeSlots: number): Promise<Pass | undefined> {
    const { store, instanceId, batchSize } = this.#options;
    const { limits, attempts } = store;
    if (!(await limits.tryLock(tx))) return undefined;
    const executions = await limits.listLaned(tx, look.lanes, look.placedIn);
    if (executions.length === 0) return nothing;
    const bounds = await this.#boundsOf(tx, executions);
    const picks = this.#pick(executions, bounds, freeSlots);
    const { waitMs } = bounds;
    if (picks.length === 0) return { ...nothing, waitMs };
    const claimed = await attempts.claimPlaced(
      tx,
      instanceId(),
      picks.map(({ execution, workerId }) => ({ executionId: execution.executionId, workerId })),
    );
    const byId = new Map(picks.map(({ execution }) => [execution.executionId, execution]));
    const taken = claimed.map((attempt) => ({ attempt, execution: byId.get(attempt.executionId)! }));
    await this.#bookStarts(
      tx,
      taken.map(({ execution }) => execution),
    );
    const isShort = claimed.length < picks.length;
    return {
      claimed: taken.map(({ attempt, execution }) => ({ attempt, queueId: execution.queueId })),
      waitMs,
      isShort,
      hasMore: !isShort && (picks.length === batchSize || hasReadAll(look.lanes, picks)),
    };
  }

  /** How the limits of these stand. */
  async #boundsOf(
    db: Db,
    owners: readonly Pick<LanedExecution, 'jobId' | 'queueId' | 'namespace'>[],
  ): Promise<RunBounds> {
    return new RunBounds(
      await this.#options.store.limits.listBounds(db, {
        jobIds: [...new Set(owners.map(({ jobId }) => jobId))],
        queueIds: [...new Set(owners.flatMap(({ queueId }) => queueId ?? []))],
        namespaces: [...new Set(owners.map(({ namespace }) => namespace))],
      }),
    );
  }

  /** Goes on with the lanes behind; a round that has left some that could go is followed by another one at once. */
  #goOn({ lastLane, waitMs }: Look, pass: Pass): void {
    const before = this.#round;
    const waits = [before.waitMs, waitMs, pass.waitMs].filter((ms) => ms !== undefined);
    const round = {
      afterLane: lastLane ?? 0,
      hasMore: before.hasMore || pass.hasMore,
      waitMs: waits.length === 0 ? undefined : Math.min(...waits),
    };
    const isOver = round.afterLane === 0;
    this.#round = isOver ? newRound : round;
    this.waitMs = isOver && !round.hasMore ? round.waitMs : 0;
  }

  /** Chooses the most urgent ones that limits allow and somebody has a place for. */
  #pick(executions: readonly LanedExecution[], bounds: RunBounds, freeSlots: number): readonly Chosen[] {
    const { workers, batchSize } = this.#options;
    const places = new FreePlaces(workers);
    const picks: Chosen[] = [];
    let slots = freeSlots;
    for (const execution of executions) {
      if (picks.length === batchSize) break;
      const { queueId, placement } = execution;
      const keys = keysOf(execution);
      if (bounds.roomFor(keys) === 0) continue;
      if (queueId === null && slots === 0) continue;
      const workerId = queueId === null ? null : places.take(queueId, placement);
      if (workerId === undefined) continue;
      if (workerId === null) slots--;
      bounds.take(keys);
      picks.push({ execution, workerId });
    }
    return picks;
  }

  async #bookStarts(tx: Tx, started: readonly LanedExecution[]): Promise<void> {
    const queues = Map.groupBy(
      started.filter(({ queueId }) => queueId !== null),
      ({ queueId }) => queueId!,
    );
    const namespaces = Map.groupBy(started, ({ namespace }) => namespace);
    await this.#options.store.limits.bookStarts(
      tx,
      [...queues].map(([id, own]) => ({ id, starts: own.length })),
      [...namespaces].map(([name, own]) => ({ name, starts: own.length })),
    );
  }
}

/** The keys of the bounds that hold for an execution. */
const keysOf = ({
  jobId,
  queueId,
  namespace,
}: Pick<LanedExecution, 'jobId' | 'queueId' | 'namespace'>): readonly string[] => [
  jobBound(jobId),
  ...(queueId === null ? [] : [queueBound(queueId)]),
  namespaceBound(namespace),
];

/** Whether of some lane as many go as were to be read, so that there may be more that could. */
function hasReadAll(lanes: Look['lanes'], picks: readonly Chosen[]): boolean {
  const picked = new Map<string, number>();
  for (const { execution } of picks) {
    if (execution.placement !== null) continue;
    const key = laneKey(execution.queueId ?? noQueue, execution.lane);
    picked.set(key, (picked.get(key) ?? 0) + 1);
  }
  return lanes.some(({ queueId, id, count }) => picked.get(laneKey(queueId, id)) === count);
}

const laneKey = (queueId: number, lane: number): string => `${queueId} ${lane}`;
