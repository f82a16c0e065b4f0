import { invalidField } from '../errors.ts';
import type { Calendar } from './calendar.ts';
import { civilOf, daysIn, weekdayOf } from './civil-date.ts';
import { CronDays } from './cron-days.ts';
import { CronSyntaxError, compileCron } from './cron-expression.ts';
import { type CronPattern, yearFrom } from './cron-pattern.ts';

const secondMs = 1_000;
const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;

/**
 * The local times that a cron expression fits, in whole blocks: seconds where
 * the expression has a field for them, else minutes, and hours or days where
 * everything finer is `*`. A local time is the instant at which a clock in UTC
 * would show it, so that changes of clocks play no part here.
 */
export class ExcludedTimes {
  readonly #pattern: CronPattern;
  readonly #days: CronDays;
  readonly #hasSeconds: boolean;
  readonly #blockMs: number;

  /** Refuses with INVALID_SCHEDULE what cannot be understood; `field` is the path of the expression. */
  constructor({ expression, dialect }: Calendar['crons'][number], field: string) {
    refuseWhatNeedsJob(expression, field);
    try {
      this.#pattern = compileCron(expression, dialect, 0);
    } catch (error) {
      if (error instanceof CronSyntaxError) throw invalidField(field, error.message, 'INVALID_SCHEDULE');
      throw error;
    }
    this.#days = new CronDays(this.#pattern);
    // The Quartz dialect always has seconds; aliases are one word.
    this.#hasSeconds = dialect === 'QUARTZ' || expression.trim().split(/\s+/).length === 6;
    this.#blockMs = this.#widestBlock();
  }

  /** The start of the excluded block that holds a local time; undefined when it is not excluded. */
  startOf(localMs: number): number | undefined {
    const { seconds, minutes, hours } = this.#pattern;
    const day = Math.floor(localMs / dayMs);
    const second = Math.floor((localMs - day * dayMs) / secondMs);
    if (!isIn(hours, Math.floor(second / 3600)) || !isIn(minutes, Math.floor(second / 60) % 60)) {
      return undefined;
    }
    if (this.#hasSeconds && !isIn(seconds, second % 60)) return undefined;
    return this.#fitsDay(day) ? Math.floor(localMs / this.#blockMs) * this.#blockMs : undefined;
  }

  #widestBlock(): number {
    const { seconds, minutes, hours } = this.#pattern;
    if (this.#hasSeconds && !isFull(seconds, 60)) return secondMs;
    if (!isFull(minutes, 60)) return minuteMs;
    return isFull(hours, 24) ? dayMs : hourMs;
  }

  #fitsDay(day: number): boolean {
    const { year, month, dayOfMonth } = civilOf(day);
    if (!(this.#pattern.months & (1 << month)) || yearFrom(this.#pattern, year) !== year) return false;
    const days = this.#days.inMonth(daysIn(year, month), weekdayOf(day - dayOfMonth + 1));
    return (days & (1 << (dayOfMonth - 1))) !== 0;
  }
}

/** Refuses what only means something for a job: its spread, and intervals from its start. */
function refuseWhatNeedsJob(expression: string, field: string): void {
  const every = /^\s*(@every)\b/i.exec(expression);
  if (every) {
    throw invalidField(
      field,
      `position ${expression.indexOf('@') + 1}: @every names no local times; write fields, e.g. "* 0-7 * * *"`,
      'INVALID_SCHEDULE',
    );
  }
  const spread = /(?:^|[\s,])H/i.exec(expression);
  if (spread) {
    throw invalidField(
      field,
      `position ${spread.index + spread[0].length}: "H" is spread by the id of a job, which a calendar lacks; ` +
        'write a number',
      'INVALID_SCHEDULE',
    );
  }
}

const isIn = (followers: Int8Array, value: number): boolean => followers[value] === value;

const isFull = (followers: Int8Array, size: number): boolean =>
  Array.from({ length: size }, (_, value) => isIn(followers, value)).every(Boolean);
