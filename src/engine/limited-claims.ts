/**
 * Claims executions that limits concern: max_running of their job, max_running
 * and start rate of their queue and namespace.
 *
 * They wait in lanes (lanes.ts), apart from all the others, whose claims know
 * nothing of limits. One pass takes the lock of limits, reads what is first in
 * the lanes and how the limits stand, gives places to the most urgent that all
 * of their limits allow, claims those and books their starts: one transaction,
 * whose number of statements does not depend on how much waits.
 *
 * Failure cases. Another instance has the lock: the pass takes nothing and is
 * repeated shortly. The process is killed before the commit: nothing was
 * claimed or booked. The reply to the commit is lost: the executions are found
 * as claims whose reply was lost (dispatcher.ts). An instance dies with what it
 * claimed: its attempts count as running until they are rescued, so a limit is
 * never exceeded by a crash, and never held for longer than the lease. A limit
 * is lowered below what runs: nothing is stopped, and nothing begins until
 * there is room. Somebody's end is heard of late: places stay free until then,
 * at most for the safety interval.
 */
import { jobBound, namespaceBound, queueBound, RunBounds } from '../domain/run-limits.ts';
import type { ClaimedAttempt } from '../store/attempt-store.ts';
import type { Tx } from '../store/database.ts';
import type { LanedExecution } from '../store/limit-store.ts';
import type { Store } from '../store/store.ts';
import { FreePlaces } from './workers/free-places.ts';
import type { WorkerHub } from './workers/worker-hub.ts';

export type LimitedClaimsOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'attempts' | 'limits'>;
  readonly workers: Pick<WorkerHub, 'openQueues' | 'workersOf' | 'reserveClaimed'>;
  readonly instanceId: () => number;
  /** The most executions of one pass. */
  readonly batchSize: number;
  /** So many lanes of each queue are looked at in one pass; further ones have their turn in the next. Default 1,000. */
  readonly maxLanes?: number;
};

/** When to try again for the lock that another instance has: a pass takes a few milliseconds. */
const lockedAgainMs = 5;

/** In place of a queue's id, what instances deliver themselves. */
const noQueue = 0;

/** An execution that is to be claimed, and the worker that is to run it. */
type Chosen = { readonly execution: LanedExecution; readonly workerId: string | null };

/** What one pass has come to. */
type Pass = {
  readonly claimed: readonly { readonly attempt: ClaimedAttempt; readonly queueId: number | null }[];
  /** When a start rate lets go again. */
  readonly waitMs: number | undefined;
  /** The lane behind which there may be more; null: there are none. */
  readonly lastLane: number | null;
};

type Round = {
  readonly afterLane: number;
  readonly claimed: number;
  readonly waitMs: number | undefined;
};

export class LimitedClaims {
  readonly #options: LimitedClaimsOptions;
  /** Where the round through all lanes stands, what it has claimed, and when a start rate lets go again. */
  #round: Round = { afterLane: 0, claimed: 0, waitMs: undefined };
  /** When to look again by itself, in milliseconds after the last pass; undefined: when somebody says so. */
  waitMs: number | undefined;

  constructor(options: LimitedClaimsOptions) {
    this.#options = options;
  }

  /** Claims for up to so many free slots of this instance and for the free places at its workers. */
  async claim(freeSlots: number): Promise<readonly ClaimedAttempt[]> {
    const { store, workers } = this.#options;
    this.waitMs = undefined;
    const queueIds = [...workers.openQueues];
    if (freeSlots > 0) queueIds.push(noQueue);
    if (queueIds.length === 0 || !(await store.limits.hasWaiting(store.db, queueIds))) return [];
    const pass = await store.transaction((tx) => this.#claimLocked(tx, queueIds, freeSlots));
    if (!pass) {
      this.waitMs = lockedAgainMs;
      return [];
    }
    this.#look(pass);
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

  async #claimLocked(tx: Tx, queueIds: readonly number[], freeSlots: number): Promise<Pass | undefined> {
    const { store, instanceId, batchSize, maxLanes = 1_000 } = this.#options;
    const { limits, attempts } = store;
    if (!(await limits.tryLock(tx))) return undefined;
    const { afterLane } = this.#round;
    const { executions, lastLane } = await limits.listLaned(tx, queueIds, {
      afterLane,
      maxLanes,
      limit: batchSize,
    });
    const bounds = new RunBounds(
      executions.length === 0
        ? []
        : await limits.listBounds(tx, {
            jobIds: [...new Set(executions.map(({ jobId }) => jobId))],
            queueIds: [...new Set(executions.flatMap(({ queueId }) => queueId ?? []))],
            namespaces: [...new Set(executions.map(({ namespace }) => namespace))],
          }),
    );
    const picks = this.#pick(executions, bounds, freeSlots);
    const { waitMs } = bounds;
    if (picks.length === 0) return { claimed: [], waitMs, lastLane };
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
    return {
      claimed: taken.map(({ attempt, execution }) => ({ attempt, queueId: execution.queueId })),
      waitMs,
      lastLane,
    };
  }

  /** Goes on with the lanes behind; a round that has claimed something is followed by another one at once. */
  #look({ claimed, waitMs, lastLane }: Pass): void {
    const before = this.#round;
    const waits = [before.waitMs, waitMs].filter((ms) => ms !== undefined);
    const round = {
      afterLane: lastLane ?? 0,
      claimed: before.claimed + claimed.length,
      waitMs: waits.length === 0 ? undefined : Math.min(...waits),
    };
    const isOver = round.afterLane === 0;
    this.#round = isOver ? { afterLane: 0, claimed: 0, waitMs: undefined } : round;
    this.waitMs = isOver && round.claimed === 0 ? round.waitMs : 0;
  }

  /** Chooses the most urgent ones that limits allow and somebody has a place for. */
  #pick(executions: readonly LanedExecution[], bounds: RunBounds, freeSlots: number): readonly Chosen[] {
    const { workers, batchSize } = this.#options;
    const places = new FreePlaces(workers);
    const picks: Chosen[] = [];
    let slots = freeSlots;
    for (const execution of executions) {
      if (picks.length === batchSize) break;
      const { jobId, queueId, namespace, placement } = execution;
      const keys = [
        jobBound(jobId),
        ...(queueId === null ? [] : [queueBound(queueId)]),
        namespaceBound(namespace),
      ];
      if (!bounds.allows(keys)) continue;
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
