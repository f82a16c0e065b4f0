/**
 * What the end of an execution sets going in its job: the next buffered
 * execution is let go, a fixed delay begins, the run of an execution that never
 * started is given back to its schedule.
 *
 * Whoever ends executions, or adds one that waits, commits first and then says
 * so here; a pass looks with a fresh snapshot and locks the timer rows of the
 * jobs in which something is to be done. So of the one who ends the last open
 * execution and the one who buffers another behind it, at least one sees what
 * both have written. Two passes over one job come one after the other by the
 * row lock, and the second finds nothing left to do.
 *
 * A pass that fails is tried again; one job that cannot be continued does not
 * hold up the others. A process that is killed before its pass leaves the rows
 * as they are: the leader sweeps all jobs in which something is to be done at
 * its safety interval. A fixed delay counts from the finish in the ledger,
 * not from the pass; when it is due by the time of the pass, it fires under the
 * misfire policy like every fire time that comes late.
 */
import type { ScheduleProgress } from '../domain/schedule/schedule.ts';
import { backoffMs } from '../platform/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Tx } from '../store/database.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { Firing, LockedTimer } from '../store/timer-store.ts';
import type { Fired, FirePlanning, LateFires } from './fire-planning.ts';
import type { JobCache } from './job-cache.ts';

export type JobContinuationOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'continuations' | 'timers' | 'leases'>;
  readonly jobs: JobCache;
  readonly planning: FirePlanning;
  readonly notifier: Pick<Notifier, 'notify'>;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly logger: Logger;
};

/** The most jobs of one transaction. */
const batchSize = 500;

/** So many jobs that wait for a finish are looked at in one sweep. */
const sweptDelays = 1_000;

/** After a pass that failed the next one waits, in milliseconds. */
const backoff = { initialMs: 100, maxMs: 5_000, multiplier: 2 } as const;

export class JobContinuation {
  readonly #options: JobContinuationOptions;
  #waiting = new Set<number>();
  #pass: Promise<void> | undefined;
  readonly #stopping = new AbortController();
  /** Where the walk over fixed delays goes on. */
  #sweptId = 0;

  constructor(options: JobContinuationOptions) {
    this.#options = options;
  }

  /** Tells that executions of these jobs have ended, or wait for others. Calls that come during a pass share the next. */
  look(jobIds: Iterable<number>): void {
    for (const id of jobIds) this.#waiting.add(id);
    if (this.#waiting.size > 0) this.#pass ??= this.#run();
  }

  /** Announces what was fired, once it is committed. */
  announce(fired: Fired): void {
    const { notifier } = this.#options;
    if (fired.pending > 0) notifier.notify('pending');
    if (fired.advanced > 0) notifier.notify('feed');
    if (fired.cancels) notifier.notify('cancel');
    this.look(fired.waitingJobs);
  }

  /** Resolves when everything that was told has been looked at. */
  async settled(): Promise<void> {
    while (this.#pass !== undefined) await this.#pass;
  }

  /** Leaves what fails from now on to the leader, and resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.settled();
  }

  /** Looks at all jobs in which something is to be done; at those with fixed delays in turns. */
  async sweep(): Promise<void> {
    const { store } = this.#options;
    for (let afterId = 0; ; ) {
      const ids = await store.continuations.listBufferedOrUnused(store.db, afterId, batchSize);
      if (ids.length === 0) break;
      await this.#continueAll(ids);
      afterId = ids.at(-1)!;
    }
    const { jobIds, lastId } = await store.continuations.listFinishedDelays(
      store.db,
      this.#sweptId,
      sweptDelays,
    );
    this.#sweptId = lastId ?? 0;
    for (let i = 0; i < jobIds.length; i += batchSize)
      await this.#continueAll(jobIds.slice(i, i + batchSize));
  }

  async #run(): Promise<void> {
    const { store, clock, logger } = this.#options;
    const { signal } = this.#stopping;
    for (let failures = 0; this.#waiting.size > 0; ) {
      const told = [...this.#waiting];
      this.#waiting = new Set();
      try {
        const ids = await store.continuations.listAmong(store.db, told);
        for (let i = 0; i < ids.length; i += batchSize) await this.#continueAll(ids.slice(i, i + batchSize));
        failures = 0;
      } catch (error) {
        if (++failures === 1) logger.warn({ error, jobs: told.length }, 'jobs not continued, trying again');
        // The leader finds them in any case.
        if (signal.aborted) break;
        for (const id of told) this.#waiting.add(id);
        await clock.sleep(backoffMs(backoff, failures, 0.5), signal);
      }
    }
    this.#pass = undefined;
  }

  /** Continues jobs together; where that fails, one by one, so that none holds up the others. */
  async #continueAll(jobIds: readonly number[]): Promise<void> {
    try {
      await this.#continueTogether(jobIds);
    } catch (error) {
      if (jobIds.length === 1) throw error;
      let failures = 0;
      for (const jobId of jobIds) {
        try {
          await this.#continueTogether([jobId]);
          failures = 0;
        } catch (reason) {
          // So many in a row: it is not the jobs.
          if (++failures === 3) throw reason;
          this.#options.logger.error({ error: reason, jobId }, 'job not continued');
        }
      }
    }
  }

  async #continueTogether(jobIds: readonly number[]): Promise<void> {
    const { store, notifier } = this.#options;
    const { released, fired } = await store.transaction((tx) => this.#continueLocked(tx, jobIds));
    if (released > 0) notifier.notify('pending');
    for (const each of fired) this.announce(each);
    if (fired.length > 0) notifier.notify('timers');
  }

  async #continueLocked(
    tx: Tx,
    jobIds: readonly number[],
  ): Promise<{ readonly released: number; readonly fired: readonly Fired[] }> {
    const { store, jobs, planning } = this.#options;
    const timers = await store.timers.lockByIds(tx, jobIds, null);
    const released = await store.continuations.releaseBuffered(tx, jobIds);
    const finished = Map.groupBy(await store.continuations.listFinished(tx, jobIds), (row) => row.jobId);
    const unused = Map.groupBy(await store.continuations.takeUnusedRuns(tx, jobIds), (row) => row.jobId);
    const touched = timers.filter(({ jobId }) => finished.has(jobId) || unused.has(jobId));
    if (touched.length === 0) return { released, fired: [] };

    const fired: Fired[] = [];
    const term = await store.leases.lockCurrentTerm(tx);
    const write = async (firings: readonly Firing[]): Promise<void> => {
      if (firings.length > 0) fired.push(await planning.write(tx, firings, term));
    };
    // Fire times that are owed come first; they are decided by the progress that held when they were due.
    const settled = new Map(touched.map((timer) => [timer.jobId, timer]));
    const owed = await planning.planDue(tx, touched.filter(isDue));
    await write(owed);
    for (const { jobId, newNextFireMs, progress } of owed) {
      const timer = settled.get(jobId)!;
      settled.set(jobId, { ...timer, nextFireMs: newNextFireMs, progress: progress ?? timer.progress });
    }

    const cached = await jobs.load(tx, touched);
    const plain: Firing[] = [];
    const late: LateFires[] = [];
    for (const timer of settled.values()) {
      const job = cached.get(timer.jobId);
      if (!job) continue;
      try {
        const timetable = job.timetable();
        let progress: readonly ScheduleProgress[] = timer.progress;
        for (const { fireMs, finishedMs } of finished.get(timer.jobId) ?? []) {
          progress = timetable.afterFinish(progress, fireMs, finishedMs);
        }
        for (const { charged, endedMs } of unused.get(timer.jobId) ?? []) {
          progress = timetable.afterUnusedRun(progress, charged, endedMs);
        }
        const places = timetable.overdueDelays(progress, timer.nowMs);
        const first = places.length === 0 ? undefined : timetable.only(places).next(0, progress);
        if (first) late.push({ job, timer, progress, places, afterMs: first.atMs - 1 });
        else plain.push(retimed(timer, progress, timetable.next(timer.nowMs, progress)?.atMs));
      } catch (error) {
        plain.push(planning.setAside(timer, job, error));
      }
    }
    await write(plain);
    await write(await planning.planLate(tx, late));
    return { released, fired };
  }
}

const isDue = ({ nextFireMs, nowMs }: LockedTimer): boolean => nextFireMs !== null && nextFireMs <= nowMs;

/** A firing without fires: only the progress and the next fire time change. */
export const retimed = (
  timer: LockedTimer,
  progress: readonly ScheduleProgress[],
  nextFireMs: number | undefined,
): Firing => ({
  jobId: timer.jobId,
  oldNextFireMs: timer.nextFireMs,
  newNextFireMs: nextFireMs ?? null,
  lastFireMs: null,
  progress,
  priority: 0,
  queueTimeoutMs: null,
  rows: [],
});
