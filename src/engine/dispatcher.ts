/**
 * Claims executions and runs their attempts (attempt-run.ts has what happens to
 * one of them). Runs on every instance.
 *
 * It claims as many as it has free slots for, in batches, whenever executions
 * may wait: at a notification, when slots become free, when a retry falls due,
 * and at the safety interval. Ends of attempts are written in batches too
 * (group commit), so the cost per execution is a share of three statements.
 *
 * Failure cases. The reply to a claim is lost: the database says that this
 * instance holds executions which it does not know of; after any failed claim
 * it lists those and begins them. It looks again every few seconds, since a
 * claim whose connection broke may go on in the database and commit later. The
 * reply to an end is lost: it is written again, and changes nothing when it had
 * been. The database is away: ends are kept and tried again, attempts under way
 * go on, none begins. This instance is given up for lost (cut off, stopped): its
 * attempts are aborted, and what they still report is refused by instance and
 * attempt number. A cancel meets the end: whichever the database sees first
 * stands. Stop: nothing more is claimed, attempts may end within the grace time;
 * the others are aborted and given back at once, for another instance to run;
 * when that cannot be written, because the database is away, they are left to
 * the rescuer.
 */
import { Loop } from '../platform/loop.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Service } from '../platform/service.ts';
import type { ClaimedAttempt } from '../store/attempt-store.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { AttemptEnder } from './attempt-ender.ts';
import { AttemptRun, type AttemptRunOptions } from './attempt-run.ts';
import type { CachedJob, JobCache } from './job-cache.ts';
import { LimitedClaims } from './limited-claims.ts';
import type { HandOvers } from './reports/hand-overs.ts';
import { WorkerClaims } from './workers/worker-claims.ts';
import type { WorkerHub } from './workers/worker-hub.ts';

export type DispatcherOptions = AttemptRunOptions & {
  readonly store: Pick<Store, 'db' | 'transaction' | 'attempts' | 'limits'>;
  readonly jobs: JobCache;
  readonly workers: WorkerHub;
  readonly ender: AttemptEnder;
  readonly handOvers: Pick<HandOvers, 'add'>;
  readonly notifier: Pick<Notifier, 'on' | 'notify'>;
  readonly metrics: Metrics;
  readonly instanceId: () => number;
  /** The most attempts at once. */
  readonly maxRunning: number;
  /** The most executions of one claim. */
  readonly batchSize: number;
  readonly safetyIntervalMs: number;
  /** How long stop waits for attempts to end by themselves. */
  readonly shutdownGraceMs: number;
};

/** How long ends may take to be written that came at the end of the grace time. */
const lastWritesMs = 2_000;

/** How often claims whose reply was lost are looked for: what one that commits late costs. */
const lookEveryMs = 5_000;

export class Dispatcher implements Service {
  readonly #options: DispatcherOptions;
  readonly #loop: Loop;
  readonly #cancelLoop: Loop;
  readonly #claims: WorkerClaims;
  readonly #limited: LimitedClaims;
  /** Whether those under limits choose first: they take turns with the others, so that neither starves. */
  #limitedFirst = false;
  readonly #running = new Map<number, AttemptRun>();
  /** How many of them the instance delivers itself; workers have bounds of their own. */
  #direct = 0;
  readonly #stopListening: (() => void)[] = [];
  /** Whether the last claim failed. */
  #claimFailed = false;
  /** Whether somebody knows of attempts that are held here and not begun. */
  #lookNow = false;
  #failing = false;
  /** When to look for claims whose reply was lost, whether or not one failed. */
  #lookAtMs = 0;
  #promoteAtMs = 0;
  #idle: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#claims = new WorkerClaims(options);
    this.#limited = new LimitedClaims(options);
    this.#loop = new Loop({
      clock,
      tick: () => this.tick(),
      onError: (error) => {
        if (!this.#failing) logger.warn({ error }, 'claim failed, trying again');
        this.#failing = true;
      },
    });
    this.#cancelLoop = new Loop({
      clock,
      tick: () => this.#findCancels(),
      onError: (error) => logger.debug({ error }, 'wishes to cancel not read, trying again'),
    });
  }

  async start(): Promise<void> {
    const { notifier } = this.#options;
    this.#stopListening.push(
      notifier.on('pending', () => this.#loop.wake()),
      // Somebody without a dispatcher of his own lets an execution wait for its retry.
      notifier.on('retry', () => this.expectRetry(0)),
      notifier.on('cancel', () => this.#cancelLoop.wake()),
    );
    await this.#cancelLoop.start();
    await this.#loop.start();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#drain();
    return this.#stopped;
  }

  /** How many attempts run here now. */
  get runningCount(): number {
    return this.#running.size;
  }

  /** Aborts everything: the attempts belong to others now. */
  abandon(): void {
    for (const run of this.#running.values()) run.abort('lost');
  }

  /** One pass: claims one batch. Returns how long to wait, in milliseconds. */
  async tick(): Promise<number> {
    const { store, clock, maxRunning, batchSize, safetyIntervalMs, instanceId, isAlive } = this.#options;
    if (!isAlive()) return safetyIntervalMs / 10;
    if (this.#claimFailed || this.#lookNow || clock.monotonicMs() >= this.#lookAtMs)
      await this.#beginUnknown();
    if (clock.monotonicMs() >= this.#promoteAtMs) {
      const { promoted, nextMs } = await store.attempts.promoteDue(store.db);
      const waitMs = promoted === 1_000 ? 0 : Math.min(nextMs ?? safetyIntervalMs, safetyIntervalMs);
      this.#promoteAtMs = clock.monotonicMs() + waitMs;
    }
    const free = maxRunning - this.#direct;
    this.#claimFailed = true;
    this.#limitedFirst = !this.#limitedFirst;
    const limitedFirst = this.#limitedFirst ? await this.#limited.claim(free) : [];
    const limit = Math.min(free - directIn(limitedFirst), batchSize);
    const claimed = limit > 0 ? await store.attempts.claim(store.db, instanceId(), limit) : [];
    const forWorkers = await this.#claims.claimAll();
    const limitedLast = this.#limitedFirst ? [] : await this.#limited.claim(free - claimed.length);
    this.#claimFailed = false;
    this.#failing = false;
    const all = [...limitedFirst, ...claimed, ...forWorkers, ...limitedLast];
    if (all.length > 0) await this.#begin(all);
    if ((limit > 0 && claimed.length === limit) || this.#claims.mayHaveMore) return 0;
    const waitMs = Math.min(this.#limited.waitMs ?? safetyIntervalMs, safetyIntervalMs);
    if (limit <= 0) return waitMs;
    return Math.max(Math.min(this.#promoteAtMs - clock.monotonicMs(), waitMs), waitMs === 0 ? 0 : 1);
  }

  /** Claims again: places have become free at workers. */
  wake(): void {
    this.#loop.wake();
  }

  /** Begins what was taken over from another instance. */
  beginAdopted(): void {
    this.#lookNow = true;
    this.#loop.wake();
  }

  /** Looks again for executions whose retry falls due after this time. */
  expectRetry(waitMs: number): void {
    const atMs = this.#options.clock.monotonicMs() + waitMs;
    if (atMs >= this.#promoteAtMs) return;
    this.#promoteAtMs = atMs;
    this.#loop.wake();
  }

  /** Begins what the database says this instance holds and it does not know of. */
  async #beginUnknown(): Promise<void> {
    const { store, clock, instanceId, logger } = this.#options;
    // Before the question: what is told while the database answers may not be in the answer.
    this.#lookNow = false;
    const held = await store.attempts
      .listHeld(store.db, instanceId(), [...this.#running.keys()])
      .catch((error: unknown) => {
        this.#lookNow = true;
        throw error;
      });
    const unknown = held.filter((claimed) => !this.#running.has(claimed.executionId));
    this.#claimFailed = false;
    this.#lookAtMs = clock.monotonicMs() + lookEveryMs;
    if (unknown.length === 0) return;
    logger.warn({ count: unknown.length }, 'found claims whose reply was lost');
    await this.#begin(unknown);
  }

  async #begin(claimed: readonly ClaimedAttempt[]): Promise<void> {
    const { store, jobs, ender, notifier, metrics, workers } = this.#options;
    notifier.notify('feed');
    metrics.count('carillon_attempts_started_total', claimed.length);
    // Known from here on, so that a failing load does not lose them.
    const ordered = claimed.toSorted((a, b) => b.priority - a.priority || a.executionId - b.executionId);
    let cached: ReadonlyMap<number, CachedJob>;
    try {
      cached = await jobs.load(store.db, ordered);
    } catch (error) {
      // They are held in the database and unknown here: the next tick begins them.
      this.#lookNow = true;
      throw error;
    }
    for (const attempt of ordered) {
      const job = cached.get(attempt.jobId);
      if (job) {
        void this.#run(attempt, job);
        continue;
      }
      if (attempt.workerId !== null) workers.release(undefined, attempt.workerId, attempt);
      void ender.end({
        ...attempt,
        outcome: 'FAILED',
        reason: 'INVALID_JOB',
        message: 'the definition of the job is gone',
      });
    }
  }

  async #run(claimed: ClaimedAttempt, job: CachedJob): Promise<void> {
    const { ender, handOvers, maxRunning, workers } = this.#options;
    const { workerId } = claimed;
    const run = new AttemptRun(this.#options, claimed, job);
    this.#running.set(claimed.executionId, run);
    if (workerId === null) this.#direct++;
    const { end, handOver, stored } = await run.run();
    if (workerId !== null) workers.release(job.key.namespace, workerId, claimed);
    if (end) {
      await ender.end(end);
      if (end.retryAfterMs !== undefined) this.expectRetry(end.retryAfterMs);
    }
    if (handOver) await handOvers.add(handOver);
    stored?.();
    // A later attempt of the same execution may have begun here while this one, given up, still ran.
    if (this.#running.get(claimed.executionId) === run) this.#running.delete(claimed.executionId);
    if (workerId === null && this.#direct-- === maxRunning) this.#loop.wake();
    if (this.#running.size === 0) this.#idle?.();
  }

  async #findCancels(): Promise<number> {
    const { store, instanceId, safetyIntervalMs } = this.#options;
    if (this.#running.size === 0) return safetyIntervalMs;
    for (const id of await store.attempts.listCancelRequested(store.db, instanceId())) {
      this.#running.get(id)?.abort('cancel');
    }
    return safetyIntervalMs;
  }

  async #drain(): Promise<void> {
    const { clock, shutdownGraceMs, logger } = this.#options;
    for (const stop of this.#stopListening) stop();
    await this.#loop.stop();
    // Workers take what they run along to another instance.
    for (const run of this.#running.values()) if (run.isAtWorker) run.abort('lost');
    if (this.#running.size > 0) {
      logger.info({ running: this.#running.size, graceMs: shutdownGraceMs }, 'waiting for attempts to end');
      const idle = new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
      const giveUp = clock.setTimer(shutdownGraceMs, () => {
        logger.warn({ running: this.#running.size }, 'attempts did not end in time, giving them back');
        for (const run of this.#running.values()) run.abort('stop');
      });
      // The database may be away: what cannot be written is given up by those who write it, once they are stopped.
      const leave = clock.setTimer(shutdownGraceMs + lastWritesMs, () => this.#idle?.());
      await idle;
      giveUp();
      leave();
    }
    await this.#cancelLoop.stop();
  }
}

/** How many of these the instance delivers itself. */
const directIn = (claimed: readonly ClaimedAttempt[]): number =>
  claimed.filter(({ workerId }) => workerId === null).length;
