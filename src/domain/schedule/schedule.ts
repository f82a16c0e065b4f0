/** What a fixed-time schedule does at a local time that clocks jump over. */
export type GapPolicy = 'RUN_AT_GAP_END' | 'SKIP';

/** What a fixed-time schedule does at a local time that comes twice. */
export type AmbiguousPolicy = 'FIRST' | 'SECOND' | 'BOTH';

/** The grammar of a cron expression; QUARTZ has its place here when it comes. */
export type CronDialect = 'UNIX';

export type CronSchedule = {
  readonly kind: 'cron';
  readonly expression: string;
  readonly dialect: CronDialect;
  /** An IANA zone name. */
  readonly timeZone: string;
  readonly gap: GapPolicy;
  readonly ambiguous: AmbiguousPolicy;
};

/** Fires at anchor + n × every, n ≥ 0. */
export type IntervalSchedule = {
  readonly kind: 'interval';
  readonly everyMs: number;
  readonly mode: 'FIXED_RATE';
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
};
