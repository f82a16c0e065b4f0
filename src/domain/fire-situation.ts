/** What is known of a job that is due, and what is decided to be written: the two sides of planFires (fire-plan.ts). */
import type { ExecutionCause, ExecutionReason } from './execution.ts';
import type { Misfire, OverlapPolicy } from './job.ts';
import type { Occupancy } from './overlap.ts';
import type { Exclusions } from './schedule/exclusions.ts';
import type { ScheduleProgress } from './schedule/schedule.ts';
import type { Timetable } from './schedule/timetable.ts';

/** The fire times of a job's schedules; what a compiled timetable offers. */
export type FireTimes = Pick<
  Timetable,
  'next' | 'count' | 'tally' | 'lastUntil' | 'only' | 'afterRun' | 'chargedFor'
>;

/** One ledger row to be written. */
export type PlannedRow = {
  readonly fireMs: number;
  readonly schedule: string;
  readonly cause: Extract<ExecutionCause, 'SCHEDULE' | 'CATCH_UP'>;
  readonly state: 'PENDING' | 'SKIPPED';
  readonly reason?: ExecutionReason;
  readonly message: string;
  /** How many fire times the row stands for; 0 for just its own. */
  readonly skippedCount: number;
  /** Whether it waits for the other executions of the job to end. */
  readonly buffered: boolean;
  /** The schedules that keep count of it (Timetable.chargedFor). */
  readonly charged: readonly string[];
};

export type FirePlan = {
  readonly rows: readonly PlannedRow[];
  /** Absent: no schedule fires again, as far as is known now. */
  readonly nextFireMs?: number;
  /** The last fire time that was accounted for. */
  readonly lastFireMs?: number;
  readonly progress: readonly ScheduleProgress[];
  /** The fire time whose execution takes the place of all that are open; present under CANCEL_OTHER. */
  readonly replacesOpenAtMs?: number;
};

export type FireSituation = {
  readonly fireTimes: FireTimes;
  readonly exclusions: Pick<Exclusions, 'apply' | 'lastOpenUntil' | 'isEmpty'>;
  /** Fire times that the ledger has already; they are passed over. */
  readonly taken?: ReadonlySet<number>;
  readonly progress: readonly ScheduleProgress[];
  /** The fire time that is stored as next; it is due. */
  readonly nextFireMs: number;
  readonly nowMs: number;
  readonly misfire: Misfire;
  readonly overlap: OverlapPolicy;
  /** What is open of the job. */
  readonly occupancy: Occupancy;
  /** Fire times before this instant are held by a pause; Infinity for one without end. */
  readonly pausedUntilMs?: number;
};
