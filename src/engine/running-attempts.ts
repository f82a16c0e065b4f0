/**
 * The attempts that run on this instance, from the claim until their end is
 * stored (attempt-run.ts has what happens to one of them).
 *
 * They are known from the moment in which their jobs are read; when that fails,
 * they are held in the database and not known here, and the dispatcher finds
 * them there. A later attempt of an execution may begin here while an earlier
 * one, given up, still runs: the later one is the one that is known.
 */
import type { Metrics } from '../platform/metrics.ts';
import type { ClaimedAttempt } from '../store/attempt-store.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { AttemptEnder } from './attempt-ender.ts';
import { AttemptRun, type AttemptRunOptions } from './attempt-run.ts';
import type { JobCache } from './job-cache.ts';
import type { HandOvers } from './reports/hand-overs.ts';
import type { AbortCause } from './targets/target.ts';
import type { WorkerHub } from './workers/worker-hub.ts';

export type RunningAttemptsOptions = AttemptRunOptions & {
  readonly store: Pick<Store, 'db'>;
  readonly jobs: JobCache;
  readonly workers: Pick<WorkerHub, 'release'>;
  readonly ender: AttemptEnder;
  readonly handOvers: Pick<HandOvers, 'add'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  readonly metrics: Metrics;
};

export type RunningAttemptsEvents = {
  /** An attempt that the instance delivers itself is over, and its end is stored. */
  readonly onDelivered: () => void;
  /** An execution waits so long for its retry. */
  readonly onRetry: (waitMs: number) => void;
};

/** How long ends may take to be written that came at the end of the grace time. */
const lastWritesMs = 2_000;

export class RunningAttempts {
  readonly #options: RunningAttemptsOptions;
  readonly #events: RunningAttemptsEvents;
  readonly #running = new Map<number, AttemptRun>();
  #idle: (() => void) | undefined;

  constructor(options: RunningAttemptsOptions, events: RunningAttemptsEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** How many there are. */
  get count(): number {
    return this.#running.size;
  }

  /** Their executions. */
  get executionIds(): readonly number[] {
    return [...this.#running.keys()];
  }

  /** Whether an attempt of an execution runs here. */
  has(executionId: number): boolean {
    return this.#running.has(executionId);
  }

  /** Begins what was claimed, most urgent first; rejects, and has begun none, when jobs cannot be read. */
  async begin(claimed: readonly ClaimedAttempt[]): Promise<void> {
    if (claimed.length === 0) return;
    const { store, jobs, ender, notifier, metrics, workers } = this.#options;
    notifier.notify('feed');
    metrics.count('carillon_attempts_started_total', claimed.length);
    const ordered = claimed.toSorted((a, b) => b.priority - a.priority || a.executionId - b.executionId);
    const cached = await jobs.load(store.db, ordered);
    for (const attempt of ordered) {
      const job = cached.get(attempt.jobId);
      if (job) {
        void this.#run(attempt, new AttemptRun(this.#options, attempt, job), job.key.namespace);
        continue;
      }
      if (attempt.workerId === null) this.#events.onDelivered();
      else workers.release(undefined, attempt.workerId, attempt);
      void ender.end({
        ...attempt,
        outcome: 'FAILED',
        reason: 'INVALID_JOB',
        message: 'the definition of the job is gone',
      });
    }
  }

  /** Aborts the attempt of an execution; nothing when none runs here. */
  abort(executionId: number, cause: AbortCause): void {
    this.#running.get(executionId)?.abort(cause);
  }

  /** Aborts all. */
  abortAll(cause: AbortCause): void {
    for (const run of this.#running.values()) run.abort(cause);
  }

  /** Resolves when none runs any more: they may end within the grace time, and are given back then. */
  async end(graceMs: number): Promise<void> {
    const { clock, logger } = this.#options;
    // Workers take what they run along to another instance.
    for (const run of this.#running.values()) if (run.isAtWorker) run.abort('lost');
    if (this.#running.size === 0) return;
    logger.info({ running: this.#running.size, graceMs }, 'waiting for attempts to end');
    const { promise: idle, resolve } = Promise.withResolvers<void>();
    this.#idle = resolve;
    const giveUp = clock.setTimer(graceMs, () => {
      logger.warn({ running: this.#running.size }, 'attempts did not end in time, giving them back');
      this.abortAll('stop');
    });
    // The database may be away: what cannot be written is given up by those who write it, once they are stopped.
    const leave = clock.setTimer(graceMs + lastWritesMs, resolve);
    await idle;
    giveUp();
    leave();
  }

  async #run(claimed: ClaimedAttempt, run: AttemptRun, namespace: string): Promise<void> {
    const { ender, handOvers, workers } = this.#options;
    const { workerId, executionId } = claimed;
    this.#running.set(executionId, run);
    const { end, handOver, stored } = await run.run();
    if (workerId !== null) workers.release(namespace, workerId, claimed);
    if (end) {
      await ender.end(end);
      if (end.retryAfterMs !== undefined) this.#events.onRetry(end.retryAfterMs);
    }
    if (handOver) await handOvers.add(handOver);
    stored?.();
    if (this.#running.get(executionId) === run) this.#running.delete(executionId);
    if (workerId === null) this.#events.onDelivered();
    if (this.#running.size === 0) this.#idle?.();
  }
}
