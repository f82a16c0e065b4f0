import { firstYear } from './cron-dialects.ts';
import type { CronField, MonthDayRule, WeekdayRule } from './cron-field.ts';

/**
 * A compiled expression: all that the search for fire times needs.
 *
 * `seconds`, `minutes`, `hours` and `years` are tables of followers: at each
 * value the first one in the set that is not smaller, -1 behind the last. They
 * have one place more than there are values. Bit n of `months`, `monthDays`
 * and `weekdays` stands for the value n; weekday 0 is Sunday.
 */
export type CronPattern = {
  readonly seconds: Int8Array;
  readonly minutes: Int8Array;
  readonly hours: Int8Array;
  readonly months: number;
  readonly monthDays: number;
  readonly monthDayRules: readonly MonthDayRule[];
  readonly monthDaysRestricted: boolean;
  readonly weekdays: number;
  readonly weekdayRules: readonly WeekdayRule[];
  readonly weekdaysRestricted: boolean;
  /** Years since 1970; absent where the year does not matter. */
  readonly years?: Int16Array;
  /** Second, minute and hour are plain numbers or lists of them. */
  readonly isFixedTime: boolean;
};

/** The fields of an expression, in order. */
export type CronFields = readonly [
  second: CronField,
  minute: CronField,
  hour: CronField,
  monthDay: CronField,
  month: CronField,
  weekday: CronField,
  year?: CronField,
];

/** Compiles fields; `restricted` says of the day of month and the day of week whether each limits the days. */
export function patternOf(
  [second, minute, hour, monthDay, month, weekday, year]: CronFields,
  restricted: { readonly monthDay: boolean; readonly weekday: boolean },
): CronPattern {
  return {
    seconds: followersOf(second.has, new Int8Array(61)),
    minutes: followersOf(minute.has, new Int8Array(61)),
    hours: followersOf(hour.has, new Int8Array(25)),
    months: bitsOf(month.has, 1),
    monthDays: bitsOf(monthDay.has, 1),
    monthDayRules: monthDay.monthDayRules,
    monthDaysRestricted: restricted.monthDay,
    weekdays: bitsOf(weekday.has, 0),
    weekdayRules: weekday.weekdayRules,
    weekdaysRestricted: restricted.weekday,
    years: year && !year.isAny ? followersOf(year.has, new Int16Array(year.has.length + 1)) : undefined,
    isFixedTime: second.isPlain && minute.isPlain && hour.isPlain,
  };
}

/** The first year of a pattern that is not before another; undefined when there is none. */
export function yearFrom({ years }: CronPattern, year: number): number | undefined {
  if (!years) return year;
  const next = years[Math.max(0, Math.min(year - firstYear, years.length - 1))]!;
  return next < 0 ? undefined : next + firstYear;
}

function followersOf<Table extends Int8Array | Int16Array>(has: Uint8Array, table: Table): Table {
  let next = -1;
  table[has.length] = next;
  for (let value = has.length - 1; value >= 0; value--) {
    if (has[value]) next = value;
    table[value] = next;
  }
  return table;
}

/** The set as bits; its first value is bit `first`. */
const bitsOf = (has: Uint8Array, first: number): number =>
  has.reduce((bits, isIn, i) => (isIn ? bits | (1 << (i + first)) : bits), 0);

/** The values that a table of followers holds. */
export const valuesIn = (followers: Int8Array | Int16Array): number[] =>
  Array.from(followers.keys()).filter((value) => followers[value] === value);
