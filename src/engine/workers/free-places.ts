import type { Placement } from '../../domain/job.ts';
import type { ConnectedWorker } from './connected-worker.ts';
import type { WorkerHub } from './worker-hub.ts';

/**
 * The free places at the workers of this instance, given out one by one while
 * a claim is put together. Nothing is taken up at the workers by it: that is
 * done with what the claim has got.
 */
export class FreePlaces {
  readonly #workers: Pick<WorkerHub, 'workersOf'>;
  readonly #ofQueue = new Map<number, readonly ConnectedWorker[]>();
  readonly #taken = new Map<ConnectedWorker, number>();

  constructor(workers: Pick<WorkerHub, 'workersOf'>) {
    this.#workers = workers;
  }

  /** A place for an execution of a queue at the worker with the most of them that may run it; its id. */
  take(queueId: number, placement: Placement | null): string | undefined {
    let freest: ConnectedWorker | undefined;
    let most = 0;
    for (const worker of this.#workersOf(queueId)) {
      if (placement && !isPlaced(worker, placement)) continue;
      const free = worker.free - (this.#taken.get(worker) ?? 0);
      if (free > most) [freest, most] = [worker, free];
    }
    if (!freest) return undefined;
    this.#taken.set(freest, (this.#taken.get(freest) ?? 0) + 1);
    return freest.hello.workerId;
  }

  #workersOf(queueId: number): readonly ConnectedWorker[] {
    const known = this.#ofQueue.get(queueId);
    if (known) return known;
    const workers = this.#workers.workersOf(queueId);
    this.#ofQueue.set(queueId, workers);
    return workers;
  }
}

/** Whether a worker is one of those that may run an execution. */
export function isPlaced({ hello }: Pick<ConnectedWorker, 'hello'>, placement: Placement): boolean {
  return missingOf(hello, placement) === undefined;
}

/** What keeps a worker from running an execution that is placed, in words; undefined: nothing. */
export function missingOf(
  { workerId, labels }: { readonly workerId: string; readonly labels: Readonly<Record<string, string>> },
  placement: Placement,
): string | undefined {
  if ('workerId' in placement) return placement.workerId === workerId ? undefined : 'is another worker';
  for (const [name, value] of Object.entries(placement.labels)) {
    const own = labels[name];
    if (own === undefined) return `has no label ${name}`;
    if (own !== value) return `has ${name}=${own}`;
  }
  return undefined;
}
