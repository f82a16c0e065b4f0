/**
 * Fires what is due. Runs on the leader only.
 *
 * A tick is one transaction and a constant number of statements, whatever the
 * batch: find the term (fence), lock due timer rows, read what else decides
 * about those jobs, plan in process (domain/fire-plan), write ledger rows and
 * the next fire times by compare-and-set, commit. Between ticks it sleeps until
 * the earliest fire time, by the database's clock; a change of timers wakes it.
 *
 * Two leaders alive: the fence refuses the older term; were both to pass it,
 * row locks and the compare-and-set would still let one of them fire each fire
 * time. Killed between any two lines: before the commit nothing happened, and
 * behind it the ledger rows wait for any instance's claim. The reply to the
 * commit is lost: the tick fails, the next one finds the rows advanced or still
 * due; waiting executions are announced in either case. A notification is lost:
 * the safety interval finds the fire time late by at most that. The process is
 * stopped before a tick: leadership is asked for first and has lapsed; stopped
 * inside the transaction: the server ends it. A job whose definition cannot be
 * used is set aside with a ledger row that says why; the others fire.
 */
import { type FirePlan, planFires } from '../domain/fire-plan.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Service } from '../platform/service.ts';
import type { Tx } from '../store/database.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { Firing, JobSituation, LockedTimer } from '../store/timer-store.ts';
import type { CachedJob, JobCache } from './job-cache.ts';

export type SchedulerOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'leases' | 'timers'>;
  readonly jobs: JobCache;
  readonly notifier: Pick<Notifier, 'on' | 'notify'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Under which term this instance leads; undefined when it does not. */
  readonly leadership: () => { readonly term: number; readonly instanceId: number } | undefined;
  /** Told that the database knows another leader. */
  readonly stepDown: (term: number) => void;
  /** The most jobs of one transaction. */
  readonly batchSize: number;
  /** The longest sleep, in milliseconds: what a lost notification costs. */
  readonly safetyIntervalMs: number;
  /** Set by tests; null takes the database's clock. */
  readonly now?: () => Date | null;
};

/** Rows that are due but locked by a command are looked at again after this. */
const lockedRetryMs = 2;

export class Scheduler implements Service {
  readonly #options: SchedulerOptions;
  readonly #loop: Loop;
  #stopListening: (() => void) | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#loop = new Loop({
      clock: options.clock,
      tick: () => this.tick(),
      onError: (error, failures) => {
        if (failures === 1) options.logger.warn({ error }, 'tick of the scheduler failed, trying again');
        // The commit may have happened all the same.
        options.notifier.notify('pending');
      },
    });
  }

  async start(): Promise<void> {
    this.#stopListening = this.#options.notifier.on('timers', () => this.#loop.wake());
    await this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#stopListening?.();
    await this.#loop.stop();
  }

  /** Looks for due jobs now, for whoever just became leader. */
  wake(): void {
    this.#loop.wake();
  }

  /** One pass: fires one batch. Returns how long to wait, in milliseconds. */
  async tick(): Promise<number> {
    const { store, notifier, safetyIntervalMs, batchSize } = this.#options;
    const leadership = this.#options.leadership();
    if (!leadership) return safetyIntervalMs;
    const fired = await store.transaction((tx) => this.#fireBatch(tx, leadership));
    if (fired === undefined) {
      this.#options.stepDown(leadership.term);
      return safetyIntervalMs;
    }
    if (fired.pending > 0) notifier.notify('pending');
    if (fired.advanced > 0) notifier.notify('feed');
    if (fired.locked === batchSize) return 0;
    const waitMs = await store.timers.findWaitMs(store.db);
    if (waitMs === null) return safetyIntervalMs;
    const shortestMs = fired.advanced === 0 && waitMs <= 0 ? lockedRetryMs : 0;
    return Math.min(Math.max(waitMs, shortestMs), safetyIntervalMs);
  }

  async #fireBatch(
    tx: Tx,
    { instanceId, term }: { readonly term: number; readonly instanceId: number },
  ): Promise<{ advanced: number; pending: number; locked: number } | undefined> {
    const { store, batchSize } = this.#options;
    if (!(await store.leases.findTerm(tx, instanceId, term))) return undefined;
    const due = await store.timers.lockDue(tx, batchSize, this.#options.now?.() ?? null);
    if (due.length === 0) return { advanced: 0, pending: 0, locked: 0 };
    const firings = await this.planLocked(tx, due);
    const { advanced, pending } = await store.timers.fire(tx, firings, term);
    return { advanced, pending, locked: due.length };
  }

  /** Plans the fires of jobs whose timer rows are locked and due. */
  async planLocked(tx: Tx, due: readonly LockedTimer[]): Promise<readonly Firing[]> {
    const { store, jobs, metrics, logger } = this.#options;
    const situations = await store.timers.listSituations(
      tx,
      due.map((timer) => timer.jobId),
    );
    const cached = await jobs.load(tx, due);
    return due.map((timer) => {
      const job = cached.get(timer.jobId);
      const firing = planJob(timer, job, situations.get(timer.jobId), (error) =>
        logger.error({ error, jobId: timer.jobId }, 'job set aside: its definition cannot be used'),
      );
      metrics.observe('carillon_fire_lateness_milliseconds', timer.nowMs - timer.nextFireMs!);
      return firing;
    });
  }
}

/** Plans the fires of one due job; one whose definition cannot be used is set aside. */
export function planJob(
  timer: LockedTimer,
  job: CachedJob | undefined,
  situation: JobSituation | undefined,
  onUnusable: (error: unknown) => void,
): Firing {
  const nextFireMs = timer.nextFireMs!;
  const common = { jobId: timer.jobId, oldNextFireMs: nextFireMs };
  if (!job) {
    return {
      ...common,
      newNextFireMs: null,
      lastFireMs: null,
      runsMade: null,
      priority: 0,
      queueTimeoutMs: null,
      rows: [],
    };
  }
  const { definition } = job;
  let plan: FirePlan;
  try {
    plan = planFires({
      fireTimes: job.timetable(),
      runsMade: timer.runsMade,
      nextFireMs,
      nowMs: timer.nowMs,
      misfire: definition.misfire,
      overlap: definition.overlap,
      openExecutionId: situation?.openExecutionId ?? undefined,
      pausedUntilMs: situation?.pausedUntilMs ?? undefined,
    });
  } catch (error) {
    onUnusable(error);
    const message = error instanceof Error ? error.message : 'its definition cannot be used';
    plan = {
      rows: [
        {
          fireMs: nextFireMs,
          schedule: '',
          cause: 'SCHEDULE',
          state: 'SKIPPED',
          reason: 'INVALID_JOB',
          message,
          skippedCount: 0,
        },
      ],
      runsMade: timer.runsMade,
    };
  }
  const counts = definition.schedules.some((schedule) => schedule.repeatCount > 0);
  return {
    ...common,
    newNextFireMs: plan.nextFireMs ?? null,
    lastFireMs: plan.lastFireMs ?? null,
    runsMade: counts ? plan.runsMade : null,
    priority: definition.priority,
    queueTimeoutMs: definition.queueTimeoutMs ?? null,
    rows: plan.rows,
  };
}
