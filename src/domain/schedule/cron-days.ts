import { calendarCycleDays, civilOf, daysIn, isLeap, weekdayOf } from './civil-date.ts';
import { type CronPattern, yearFrom } from './cron-pattern.ts';

/**
 * The days that fit a pattern.
 *
 * Which days of a month fit depends on its length and on the weekday of its
 * first day only, so there are at most 28 different sets; each is worked out
 * once. Months and years that the pattern does not name are jumped over.
 */
export class CronDays {
  readonly #pattern: CronPattern;
  /** For each month the first one from it on that the pattern names; 0 behind the last. */
  readonly #monthFrom: readonly number[];
  /** The sets that have been worked out; -1 stands for the others, since no set has bit 31. */
  readonly #sets: number[] = new Array(28).fill(-1);

  constructor(pattern: CronPattern) {
    this.#pattern = pattern;
    const monthFrom = new Array<number>(14).fill(0);
    for (let month = 12; month >= 1; month--) {
      monthFrom[month] = pattern.months & (1 << month) ? month : monthFrom[month + 1]!;
    }
    this.#monthFrom = monthFrom;
  }

  /** The first day that fits, not before another; undefined when there is none in a whole cycle of the calendar. */
  from(day: number): number | undefined {
    const { year, month, dayOfMonth } = civilOf(day);
    const first = day - dayOfMonth + 1;
    if (this.#monthFrom[month] === month && yearFrom(this.#pattern, year) === year) {
      const left = this.inMonth(daysIn(year, month), weekdayOf(first)) >>> (dayOfMonth - 1);
      if (left !== 0) return day + lowestBit(left);
    }
    return this.#inMonthsAfter(first, year, month);
  }

  /** The first day that fits in the months behind one that begins with day `first`. */
  #inMonthsAfter(first: number, year: number, month: number): number | undefined {
    // A list of years ends by itself.
    const limit = this.#pattern.years ? Number.POSITIVE_INFINITY : first + calendarCycleDays + 31;
    let startOfMonth = first;
    let [y, m] = [year, month];
    while (startOfMonth <= limit) {
      // To the next month that the pattern names, maybe over the turn of years.
      const next = this.#monthFrom[m + 1]!;
      if (next === 0) {
        for (; m <= 12; m++) startOfMonth += daysIn(y, m);
        const nextYear = yearFrom(this.#pattern, y + 1);
        if (nextYear === undefined) return undefined;
        for (y++; y < nextYear; y++) startOfMonth += isLeap(y) ? 366 : 365;
        m = 1;
        const firstMonth = this.#monthFrom[1]!;
        for (; m < firstMonth; m++) startOfMonth += daysIn(y, m);
      } else {
        for (; m < next; m++) startOfMonth += daysIn(y, m);
        if (yearFrom(this.#pattern, y) !== y) continue;
      }
      const days = this.inMonth(daysIn(y, m), weekdayOf(startOfMonth));
      if (days !== 0) return startOfMonth + lowestBit(days);
    }
    return undefined;
  }

  /** The days that fit in a month of a length that begins on a weekday; bit 0 is the first day. */
  inMonth(length: number, firstWeekday: number): number {
    const place = (length - 28) * 7 + firstWeekday;
    const known = this.#sets[place]!;
    if (known >= 0) return known;
    const days = daysOf(this.#pattern, length, firstWeekday);
    this.#sets[place] = days;
    return days;
  }
}

const lowestBit = (bits: number): number => 31 - Math.clz32(bits & -bits);

function daysOf(pattern: CronPattern, length: number, firstWeekday: number): number {
  const all = 2 ** length - 1;
  let byMonthDay = (pattern.monthDays >>> 1) & all;
  for (const rule of pattern.monthDayRules) {
    const day = rule.kind === 'last' ? length - rule.before : rule.day;
    if (day < 1 || day > length) continue;
    const isExact = rule.kind === 'last' && !rule.weekday;
    byMonthDay |= 1 << ((isExact ? day : nearestWeekday(day, length, firstWeekday)) - 1);
  }
  let byWeekday = 0;
  for (let day = 1; day <= length; day++) {
    if (pattern.weekdays & (1 << ((firstWeekday + day - 1) % 7))) byWeekday |= 1 << (day - 1);
  }
  for (const { weekday, nth } of pattern.weekdayRules) {
    const first = 1 + ((weekday - firstWeekday + 7) % 7);
    const day = nth === 0 ? first + 7 * Math.floor((length - first) / 7) : first + 7 * (nth - 1);
    if (day <= length) byWeekday |= 1 << (day - 1);
  }
  if (pattern.monthDaysRestricted && pattern.weekdaysRestricted) return byMonthDay | byWeekday;
  return byMonthDay & byWeekday;
}

/** The weekday, Monday to Friday, that is nearest to a day within its month. */
function nearestWeekday(day: number, length: number, firstWeekday: number): number {
  const weekday = (firstWeekday + day - 1) % 7;
  if (weekday === 6) return day > 1 ? day - 1 : day + 2;
  if (weekday === 0) return day < length ? day + 1 : day - 2;
  return day;
}
