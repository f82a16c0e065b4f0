/** What a fixed-time schedule does at a local time that clocks jump over. */
export type GapPolicy = 'RUN_AT_GAP_END' | 'SKIP';

/** What a fixed-time schedule does at a local time that comes twice. */
export type AmbiguousPolicy = 'FIRST' | 'SECOND' | 'BOTH';

/** The grammar of a cron expression. */
export type CronDialect = 'UNIX' | 'QUARTZ';

export type CronSchedule = {
  readonly kind: 'cron';
  readonly expression: string;
  readonly dialect: CronDialect;
  /** An IANA zone name. */
  readonly timeZone: string;
  readonly gap: GapPolicy;
  readonly ambiguous: AmbiguousPolicy;
};

/**
 * Fires at anchor + n × every, n ≥ 0; with FIXED_DELAY at the anchor first and
 * then one interval after the finish of its last execution.
 */
export type IntervalSchedule = {
  readonly kind: 'interval';
  readonly everyMs: number;
  readonly mode: 'FIXED_RATE' | 'FIXED_DELAY';
  /** Epoch milliseconds; fixed when the schedule is stored, so that it never drifts. */
  readonly anchorMs: number;
};

export type OnceSchedule = { readonly kind: 'once'; readonly atMs: number };

/**
 * When a job fires. Instants are epoch milliseconds here, because the search
 * for fire times is arithmetic and millions of them are made.
 */
export type Schedule = {
  readonly name: string;
  readonly spec: CronSchedule | IntervalSchedule | OnceSchedule;
  /** The first instant at which it may fire, inclusive. */
  readonly startMs?: number;
  /** The last instant at which it may fire, inclusive. */
  readonly endMs?: number;
  /** How many runs it makes in all; 0 is for ever. */
  readonly repeatCount: number;
  /** Every fire time is moved later by less than this, by hash; absent is 0. */
  readonly jitterMs?: number;
  /** Names of the calendars of the job's namespace that exclude fire times; absent is none. */
  readonly calendars?: readonly string[];
};

/**
 * How far a schedule has come, as far as that decides when it fires next. A job
 * keeps a list of these, in the order of its schedules; an empty list, and a
 * place behind its end, stand for schedules that have done nothing yet.
 */
export type ScheduleProgress = {
  /** The runs it has made; counted where it has a repeat count. */
  readonly runs: number;
  /**
   * Of a FIXED_DELAY interval that has run: the fire time whose execution it
   * waits for, or, when that has finished, its next fire time. Absent: it
   * fires from its anchor on.
   */
  readonly delay?: { readonly waitsForMs: number } | { readonly dueMs: number };
};
