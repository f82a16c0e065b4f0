/**
 * Claims executions for the workers of this instance: for each queue as many
 * as there are free places, and those that only certain workers may take.
 *
 * The claim names the worker of each execution, so that the ledger says who
 * runs it without a write of its own. Queues take turns in being first, so that
 * workers that serve several share their capacity among them.
 */
import type { ClaimedAttempt } from '../../store/attempt-store.ts';
import type { Store } from '../../store/store.ts';
import { FreePlaces } from './free-places.ts';
import type { WorkerHub } from './worker-hub.ts';

export type WorkerClaimsOptions = {
  readonly store: Pick<Store, 'db' | 'attempts'>;
  readonly workers: Pick<WorkerHub, 'openQueues' | 'placesFor' | 'workersOf' | 'reserveClaimed'>;
  readonly instanceId: () => number;
  readonly batchSize: number;
};

/** So many claims of one queue run side by side: one alone leaves a core of the database idle. */
const parallelClaims = 2;

/** So many executions that wait for certain workers are looked at in one pass. */
const maxPlaced = 500;

export class WorkerClaims {
  readonly #options: WorkerClaimsOptions;
  #turn = 0;
  /** Whether the last pass filled every place that it asked for, so that more may wait. */
  mayHaveMore = false;

  constructor(options: WorkerClaimsOptions) {
    this.#options = options;
  }

  /** Claims for all queues that have free places; their places are taken up when this resolves. */
  async claimAll(): Promise<readonly ClaimedAttempt[]> {
    const { workers, batchSize } = this.#options;
    this.mayHaveMore = false;
    const queues = [...workers.openQueues];
    if (queues.length === 0) return [];
    const claimed: ClaimedAttempt[] = [];
    // Certain workers come first: nobody else can take what waits for them.
    claimed.push(...(await this.#claimPlaced(queues)));
    this.#turn++;
    for (let i = 0; i < queues.length; i++) {
      const queueId = queues[(i + this.#turn) % queues.length]!;
      const places = workers.placesFor(queueId, batchSize * parallelClaims);
      if (places.length === 0) continue;
      const taken = await this.#claim(queueId, places);
      workers.reserveClaimed(queueId, taken);
      if (taken.length === places.length) this.mayHaveMore = true;
      claimed.push(...taken);
    }
    return claimed;
  }

  /** Claims for places, in as many batches side by side as there are places for: each takes what the other leaves. */
  async #claim(queueId: number, places: readonly string[]): Promise<readonly ClaimedAttempt[]> {
    const { store, instanceId, batchSize } = this.#options;
    const batches: Promise<readonly ClaimedAttempt[]>[] = [];
    for (let i = 0; i < places.length; i += batchSize) {
      const batch = places.slice(i, i + batchSize);
      batches.push(store.attempts.claimForQueue(store.db, instanceId(), queueId, batch));
    }
    return (await Promise.all(batches)).flat();
  }

  async #claimPlaced(queueIds: readonly number[]): Promise<readonly ClaimedAttempt[]> {
    const { store, workers, instanceId } = this.#options;
    const waiting = await store.attempts.listPlaced(store.db, queueIds, maxPlaced);
    if (waiting.length === 0) return [];
    const places = new FreePlaces(workers);
    const claims = waiting.flatMap(({ executionId, queueId, placement }) => {
      const workerId = places.take(queueId, placement);
      return workerId === undefined ? [] : [{ executionId, queueId, workerId }];
    });
    if (claims.length === 0) return [];
    const claimed = await store.attempts.claimPlaced(store.db, instanceId(), claims);
    const queueOf = new Map(claims.map(({ executionId, queueId }) => [executionId, queueId]));
    for (const attempt of claimed) workers.reserveClaimed(queueOf.get(attempt.executionId)!, [attempt]);
    return claimed;
  }
}
