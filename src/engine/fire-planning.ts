/**
 * From locked timer rows to what is written for them: reads what else decides
 * (what is open, pauses, definitions, calendars), asks domain/fire-plan, and
 * writes the plan. Everybody who fires goes through here: the leader's tick,
 * commands that settle what a job owes, fixed delays that begin late.
 *
 * All of it happens in the transaction that holds the locks, with a constant
 * number of statements. A job whose definition cannot be used is set aside with
 * a ledger row that says why; the others fire.
 */
import { planFires } from '../domain/fire-plan.ts';
import type { FirePlan, FireSituation } from '../domain/fire-situation.ts';
import { Exclusions } from '../domain/schedule/exclusions.ts';
import type { ScheduleProgress } from '../domain/schedule/schedule.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Tx } from '../store/database.ts';
import type { Store } from '../store/store.ts';
import type { Firing, JobSituation, LockedTimer } from '../store/timer-store.ts';
import type { CalendarCache } from './calendar-cache.ts';
import type { CachedJob, JobCache } from './job-cache.ts';

export type FirePlanningOptions = {
  readonly store: Pick<Store, 'timers' | 'cancels'>;
  readonly jobs: JobCache;
  readonly calendars: CalendarCache;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly logger: Logger;
};

/**
 * How long one tick plans, in milliseconds. What is planned by then is written,
 * the rest is due at the next tick: however long the plans of an outage take,
 * no transaction idles until the server ends it.
 */
const planningMs = 200;

/** Fire times that have passed before they could be planned: those of some schedules, from an instant on. */
export type LateFires = {
  readonly job: CachedJob;
  readonly timer: LockedTimer;
  /** As it is now; the timer's may be older. */
  readonly progress: readonly ScheduleProgress[];
  readonly places: readonly number[];
  /** They lie strictly behind this. */
  readonly afterMs: number;
};

/** What was written, and what is to be done once it is committed. */
export type Fired = {
  readonly advanced: number;
  readonly pending: number;
  /** An instance must be told that its attempts are to be canceled. */
  readonly cancels: boolean;
  /** Jobs with executions that wait for others, which may have ended by now. */
  readonly waitingJobs: readonly number[];
};

export class FirePlanning {
  readonly #options: FirePlanningOptions;

  constructor(options: FirePlanningOptions) {
    this.#options = options;
  }

  /**
   * Plans the fires of jobs whose timer rows are locked and due. `mayLeave`:
   * those that the time does not suffice for are left as they are.
   */
  async planDue(
    tx: Tx,
    due: readonly LockedTimer[],
    { mayLeave = false }: { readonly mayLeave?: boolean } = {},
  ): Promise<readonly Firing[]> {
    if (due.length === 0) return [];
    const { store, jobs } = this.#options;
    const situations = await store.timers.listSituations(tx, idsOf(due));
    const cached = await jobs.load(tx, due);
    const exclusions = await this.#options.calendars.load(tx, [...cached.values()]);
    const untilMs = this.#options.clock.monotonicMs() + planningMs;
    const firings: Firing[] = [];
    for (const timer of due) {
      const firing = this.#planJob({
        timer,
        job: cached.get(timer.jobId),
        situation: situations.get(timer.jobId),
        exclusions: exclusions.get(timer.jobId),
        fires: (job) => ({
          fireTimes: job.timetable(),
          progress: timer.progress,
          nextFireMs: timer.nextFireMs!,
        }),
      });
      firings.push(firing);
      if (mayLeave && this.#options.clock.monotonicMs() > untilMs) break;
    }
    return firings;
  }

  /** Plans late fires of jobs whose timer rows are locked and not due; beside them their timetable goes on. */
  async planLate(tx: Tx, late: readonly LateFires[]): Promise<readonly Firing[]> {
    if (late.length === 0) return [];
    const { store, calendars } = this.#options;
    const situations = await store.timers.listSituations(tx, idsOf(late.map(({ timer }) => timer)));
    const exclusions = await calendars.load(
      tx,
      late.map(({ job }) => job),
    );
    const taken = await store.timers.listTaken(
      tx,
      late.map(({ timer: { jobId }, afterMs }) => ({ jobId, afterMs })),
    );
    return late.map(({ timer, job, progress, places, afterMs }) => {
      try {
        const timetable = job.timetable();
        const firing = this.#planJob({
          timer,
          job,
          situation: situations.get(job.id),
          exclusions: exclusions.get(job.id),
          fires: () => ({
            fireTimes: timetable.only(places),
            progress,
            nextFireMs: afterMs + 1,
            taken: taken.get(job.id),
          }),
        });
        const next = timetable.next(timer.nowMs, firing.progress ?? progress);
        return { ...firing, newNextFireMs: next?.atMs ?? null };
      } catch (error) {
        return this.setAside(timer, job, error);
      }
    });
  }

  /** What to write for a job that cannot be planned: a row that says why; it fires no more until it is edited. */
  setAside(timer: LockedTimer, job: CachedJob, error: unknown): Firing {
    this.#options.logger.error({ error, jobId: job.id }, 'job set aside: its definition cannot be used');
    return {
      jobId: timer.jobId,
      oldNextFireMs: timer.nextFireMs,
      newNextFireMs: null,
      lastFireMs: null,
      // Nothing is waited for any more.
      progress: timer.progress.map(({ runs }) => ({ runs })),
      priority: job.definition.priority,
      queueTimeoutMs: null,
      rows: [
        {
          fireMs: timer.nextFireMs ?? Math.floor(timer.nowMs),
          schedule: '',
          cause: 'SCHEDULE',
          state: 'SKIPPED',
          reason: 'INVALID_JOB',
          message: error instanceof Error ? error.message : 'its definition cannot be used',
          skippedCount: 0,
          buffered: false,
          charged: [],
        },
      ],
    };
  }

  /** Writes firings. Whatever an execution takes the place of is canceled first. */
  async write(tx: Tx, firings: readonly Firing[], term: number): Promise<Fired> {
    const { store } = this.#options;
    const canceled = await store.cancels.cancelReplaced(
      tx,
      firings.flatMap(({ jobId, replacesOpenAtMs }) =>
        replacesOpenAtMs === undefined
          ? []
          : [{ jobId, message: `replaced by the execution of ${new Date(replacesOpenAtMs).toISOString()}` }],
      ),
    );
    const { advanced, pending } = await store.timers.fire(tx, firings, term);
    return {
      advanced,
      pending,
      cancels: canceled.some(({ marked }) => marked),
      waitingJobs: firings.filter(({ rows }) => rows.some((row) => row.buffered)).map(({ jobId }) => jobId),
    };
  }

  #planJob({ timer, job, situation, exclusions = Exclusions.none, fires }: Known): Firing {
    const common = { jobId: timer.jobId, oldNextFireMs: timer.nextFireMs };
    if (!job) {
      return {
        ...common,
        newNextFireMs: null,
        lastFireMs: null,
        progress: null,
        priority: 0,
        queueTimeoutMs: null,
        rows: [],
      };
    }
    const { definition } = job;
    let plan: FirePlan;
    let keepsProgress: boolean;
    try {
      keepsProgress = job.timetable().keepsProgress;
      plan = planFires({
        ...fires(job),
        nowMs: timer.nowMs,
        exclusions,
        misfire: definition.misfire,
        overlap: definition.overlap,
        occupancy: situation?.occupancy ?? { bufferedCount: 0 },
        pausedUntilMs: situation?.pausedUntilMs,
      });
    } catch (error) {
      return this.setAside(timer, job, error);
    }
    return {
      ...common,
      newNextFireMs: plan.nextFireMs ?? null,
      lastFireMs: plan.lastFireMs ?? null,
      progress: keepsProgress ? plan.progress : null,
      priority: definition.priority,
      queueTimeoutMs: definition.queueTimeoutMs ?? null,
      rows: plan.rows,
      replacesOpenAtMs: plan.replacesOpenAtMs,
    };
  }
}

/** What is known of a job when its fires are planned. */
type Known = {
  readonly timer: LockedTimer;
  readonly job: CachedJob | undefined;
  readonly situation: JobSituation | undefined;
  readonly exclusions: Exclusions | undefined;
  /** Throws when the schedules cannot be understood. */
  readonly fires: (job: CachedJob) => Pick<FireSituation, 'fireTimes' | 'progress' | 'nextFireMs' | 'taken'>;
};

const idsOf = (timers: readonly LockedTimer[]): readonly number[] => timers.map(({ jobId }) => jobId);
