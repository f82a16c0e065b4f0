import type { CronDialect } from './schedule.ts';

/** A day of the week as the API names it. */
export type Weekday = 'MONDAY' | 'TUESDAY' | 'WEDNESDAY' | 'THURSDAY' | 'FRIDAY' | 'SATURDAY' | 'SUNDAY';

/** Days and times that schedules leave out; its parts are a union. */
export type Calendar = {
  readonly namespace: string;
  readonly name: string;
  readonly description: string;
  /** An IANA zone name: where days begin and end. */
  readonly timeZone: string;
  /** Single days, `2026-12-25`. */
  readonly dates: readonly string[];
  /** Ranges of days, both ends inclusive. */
  readonly dateRanges: readonly { readonly firstDate: string; readonly lastDate: string }[];
  readonly weekdays: readonly Weekday[];
  /** Days of every year, `12-25`. */
  readonly yearlyDays: readonly string[];
  /** Local times that cron expressions fit: whole minutes, or whole seconds where the expression has seconds. */
  readonly crons: readonly { readonly expression: string; readonly dialect: CronDialect }[];
};

/** A calendar with what storing it adds. */
export type StoredCalendar = Calendar & {
  /** When it was first put. */
  readonly createdAt: Date;
  /** When it was last changed; putting the same again is no change. */
  readonly updatedAt: Date;
  /** How many jobs use it. */
  readonly jobCount: number;
};
