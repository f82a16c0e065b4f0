/**
 * The workers whose streams this instance holds.
 *
 * The dispatcher asks it for free places before it claims, so that a worker
 * never has more attempts than it announced, and a queue is claimed only where
 * somebody serves it. Places are given to the workers with the most free
 * capacity. Attempts belong to the instance, by its lease; the worker is where
 * they run.
 *
 * A stream breaks: the worker has the grace time to come back, here or at
 * another instance, and says in its hello what it still runs. Here, that goes
 * on; elsewhere, the other instance takes the attempts over in the database
 * (AttemptStore.adopt), and what this one says of them later is refused. Past
 * the grace time they are given back (WORKER_LOST), and a late result is
 * refused by its attempt number. How attempts change hands while ends are
 * written and workers come and go is in named-attempts.ts. A worker that says nothing for three
 * heartbeats has a broken stream, whatever TCP says. Two streams with one
 * worker_id: the newer one counts. The instance stops: workers are told to
 * drain, and take what they run to another instance.
 */
import { DomainError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import { Loop } from '../../platform/loop.ts';
import type { Service } from '../../platform/service.ts';
import type { Store } from '../../store/store.ts';
import type { DeliveryContext, DeliveryResult } from '../targets/target.ts';
import { Arrivals } from './arrivals.ts';
import { ConnectedWorker } from './connected-worker.ts';
import { workerLost } from './delivery-results.ts';
import { settleNamed } from './named-attempts.ts';
import { placesAt } from './places.ts';
import { UnstoredEnds } from './unstored-ends.ts';
import { deliverToWorker } from './worker-delivery.ts';
import {
  type Assignment,
  type AttemptRef,
  refKey,
  type WorkerHello,
  type WorkerSession,
  type WorkerStream,
} from './worker-messages.ts';
import { WorkerReports } from './worker-reports.ts';

export type WorkerHubOptions = {
  readonly store: Pick<Store, 'db' | 'attempts' | 'queues' | 'workers'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly instanceId: () => number;
  /** The name of the instance, for workers' logs. */
  readonly instance: string;
  readonly heartbeatMs: number;
  readonly reconnectGraceMs: number;
  /** How long a canceled attempt may take to end by itself. */
  readonly cancelGraceMs: number;
  /** Told when places have become free, and when there are attempts to begin that were taken over. */
  readonly onFree: () => void;
  readonly onAdopted: () => void;
};

/** Workers of one instance are noted in the table of workers this often. */
const noteEveryMs = 2_000;

const keyOf = (namespace: string, workerId: string): string => JSON.stringify([namespace, workerId]);

export class WorkerHub implements Service {
  readonly #options: WorkerHubOptions;
  readonly #workers = new Map<string, ConnectedWorker>();
  readonly #arrivals = new Arrivals();
  readonly #unstored = new UnstoredEnds();
  readonly #reports: WorkerReports;
  /** Attempts that were asked for from other instances and are not handed over to the hub yet, by refKey. */
  readonly #adopted = new Set<string>();
  readonly #loop: Loop;
  #isStopping = false;

  constructor(options: WorkerHubOptions) {
    this.#options = options;
    const { clock, logger, onFree } = options;
    this.#reports = new WorkerReports({ clock, logger, onFree, unstored: this.#unstored });
    this.#loop = new Loop({
      clock: options.clock,
      tick: () => this.#watch(),
      onError: (error, failures) => {
        if (failures === 1) options.logger.warn({ error }, 'workers not noted, trying again');
      },
      failedWaitMs: noteEveryMs,
    });
  }

  start(): Promise<void> {
    return this.#loop.start();
  }

  /** Tells the workers to go elsewhere; what they run, they take along. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const worker of this.#workers.values()) worker.send({ kind: 'drain' });
    await this.#loop.stop();
  }

  /** Takes a worker in. */
  connect(hello: WorkerHello, stream: WorkerStream): Promise<WorkerSession> {
    const key = keyOf(hello.namespace, hello.workerId);
    return this.#arrivals.take(key, () => this.#takeIn(key, hello, stream));
  }

  async #takeIn(key: string, hello: WorkerHello, stream: WorkerStream): Promise<WorkerSession> {
    const { store, clock, logger, instanceId, instance, heartbeatMs, reconnectGraceMs } = this.#options;
    const { namespace, workerId } = hello;
    const queueIds = await store.queues.ensure(store.db, namespace, hello.queues);
    await store.workers.upsert(store.db, instanceId(), {
      ...hello,
      running: hello.running.length,
      state: 'CONNECTED',
    });
    const named = await settleNamed(hello, {
      store,
      instanceId: instanceId(),
      known: this.#workers.get(key),
      unstored: this.#unstored,
      adopted: this.#adopted,
    });
    const worker = this.#workers.get(key) ?? new ConnectedWorker(hello, queueIds, clock.monotonicMs());
    const { running, rejected, adopts } = named(worker);
    this.#workers.set(key, worker);
    worker.callOffGrace();
    worker.seenMs = clock.monotonicMs();
    worker.connect({ hello, queueIds, stream }, running, workerLost(workerId));
    worker.send({
      kind: 'welcome',
      heartbeatIntervalMs: heartbeatMs,
      reconnectGraceMs,
      instance,
      rejected,
    });
    worker.repeatCancels();
    if (this.#isStopping) worker.send({ kind: 'drain' });
    logger.info({ namespace, workerId, queues: hello.queues, capacity: hello.capacity }, 'worker connected');
    if (adopts) this.#options.onAdopted();
    this.#options.onFree();
    return {
      receive: (report) => this.#reports.receive(worker, report),
      close: () => this.#onClosed(key, worker, stream),
    };
  }

  /** The queues that somebody here has free places for. */
  get openQueues(): ReadonlySet<number> {
    const queues = new Set<number>();
    for (const worker of this.#workers.values()) {
      if (worker.free > 0) for (const id of worker.queueIds) queues.add(id);
    }
    return queues;
  }

  /** Workers with free places for a queue. */
  workersOf(queueId: number): readonly ConnectedWorker[] {
    return [...this.#workers.values()].filter(
      (worker) => worker.free > 0 && worker.queueIds.includes(queueId),
    );
  }

  /** Free places for a queue, up to a limit: the workers' ids, each as often as it is to get an execution. */
  placesFor(queueId: number, limit: number): readonly string[] {
    return placesAt(this.workersOf(queueId), limit);
  }

  /** Takes up the places of attempts that were claimed from a queue. */
  reserveClaimed(
    queueId: number,
    claimed: readonly (AttemptRef & { readonly workerId: string | null })[],
  ): void {
    // Ids of workers are unique in a namespace, and a queue belongs to one.
    const byId = new Map(
      [...this.#workers.values()]
        .filter((worker) => worker.queueIds.includes(queueId))
        .map((worker) => [worker.hello.workerId, worker]),
    );
    for (const ref of claimed) if (ref.workerId !== null) byId.get(ref.workerId)?.reserve(ref);
  }

  /** Gives the place of an attempt back; its namespace is not known where its job is gone. */
  release(namespace: string | undefined, workerId: string, ref: AttemptRef): void {
    const worker =
      namespace === undefined
        ? [...this.#workers.values()].find((each) => each.hello.workerId === workerId && each.holds(ref))
        : this.#workers.get(keyOf(namespace, workerId));
    if (!worker) return;
    worker.release(ref);
    this.#options.onFree();
  }

  /** Runs an attempt at its worker; resolves when that says how it ended, or is given up. */
  async deliver(assignment: Assignment, context: DeliveryContext): Promise<DeliveryResult> {
    const { workerId, jobKey } = assignment;
    const key = keyOf(jobKey.namespace, workerId ?? '');
    const arrival = this.#arrivals.of(key);
    if (arrival !== undefined) await arrival;
    const { clock, cancelGraceMs } = this.#options;
    return deliverToWorker(this.#workers.get(key), assignment, context, {
      clock,
      cancelGraceMs,
      unstored: this.#unstored,
      wasAdopted: this.#adopted.delete(refKey(assignment)),
      isStopping: () => this.#isStopping,
    });
  }

  #onClosed(key: string, worker: ConnectedWorker, stream: WorkerStream): void {
    if (!worker.isOn(stream)) return;
    worker.disconnect();
    const { clock, logger, reconnectGraceMs } = this.#options;
    const { namespace, workerId } = worker.hello;
    logger.info({ namespace, workerId, running: worker.runningCount }, 'worker disconnected');
    // One that said goodbye does not come back.
    const graceMs = worker.isDraining ? 0 : reconnectGraceMs;
    const giveUp = (): void => {
      const arrival = this.#arrivals.of(key);
      // It is at the door.
      if (arrival !== undefined) return void arrival.then(giveUp);
      if (worker.isConnected || this.#workers.get(key) !== worker) return;
      this.#workers.delete(key);
      worker.abandon(workerLost(workerId));
      void this.#forget(worker);
    };
    worker.callOffGrace = clock.setTimer(graceMs, giveUp);
  }

  async #forget({ hello: { namespace, workerId } }: ConnectedWorker): Promise<void> {
    const { store, logger, instanceId } = this.#options;
    try {
      await store.workers.remove(store.db, instanceId(), namespace, workerId);
    } catch (error) {
      logger.debug({ error, workerId }, 'worker not taken off the table; its instance will be');
    }
  }

  /** Ends streams that have gone silent, and notes how the workers are. */
  async #watch(): Promise<number> {
    const { store, clock, instanceId, heartbeatMs } = this.#options;
    const oldestMs = clock.monotonicMs() - 3 * heartbeatMs;
    for (const worker of this.#workers.values()) {
      if (worker.isConnected && worker.beingTaken === 0 && worker.seenMs < oldestMs)
        worker.fail(new DomainError('DEADLINE_EXCEEDED', `nothing was heard for ${3 * heartbeatMs} ms`));
    }
    if (this.#workers.size > 0) {
      await store.workers.touch(
        store.db,
        instanceId(),
        [...this.#workers.values()].map((worker) => ({
          namespace: worker.hello.namespace,
          workerId: worker.hello.workerId,
          running: worker.runningCount,
          state: worker.isDraining ? 'DRAINING' : worker.isConnected ? 'CONNECTED' : 'DISCONNECTED',
        })),
      );
    }
    return Math.min(noteEveryMs, heartbeatMs);
  }
}
