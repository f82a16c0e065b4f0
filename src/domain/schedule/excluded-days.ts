import { invalidField } from '../errors.ts';
import type { Calendar, Weekday } from './calendar.ts';
import { civilOf, dayNumber, daysIn, weekdayOf } from './civil-date.ts';

/** From Sunday on, as in cron. */
const weekdays: readonly Weekday[] = [
  'SUNDAY',
  'MONDAY',
  'TUESDAY',
  'WEDNESDAY',
  'THURSDAY',
  'FRIDAY',
  'SATURDAY',
];

type Range = { readonly first: number; last: number };

type DayParts = Pick<Calendar, 'dates' | 'dateRanges' | 'weekdays' | 'yearlyDays'>;

/**
 * The days that a calendar excludes. A day is a number: days since 1 January
 * 1970, whatever the zone. Dates and ranges become sorted ranges that neither
 * meet nor overlap, the other parts bit sets.
 */
export class ExcludedDays {
  readonly #ranges: readonly Range[];
  /** Bit n is weekday n; 0 is Sunday. */
  readonly #weekdays: number;
  /** By month, which counts from 1: bit n is day n. */
  readonly #yearly: readonly number[];
  readonly #hasYearly: boolean;

  /** Refuses dates that do not exist; field paths are under `path`. */
  constructor(parts: DayParts, path: string) {
    const single = parts.dates.map((date, i) => {
      const day = dayOfDate(date, `${path}.dates[${i}]`);
      return { first: day, last: day };
    });
    const ranges = parts.dateRanges.map((range, i) => rangeOf(range, `${path}.date_ranges[${i}]`));
    this.#ranges = merged([...single, ...ranges]);
    this.#weekdays = parts.weekdays.reduce((set, weekday) => set | (1 << weekdays.indexOf(weekday)), 0);
    const yearly = Array.from({ length: 13 }, () => 0);
    for (const [i, text] of parts.yearlyDays.entries()) {
      const { month, day } = yearlyDayOf(text, `${path}.yearly_days[${i}]`);
      yearly[month]! |= 1 << day;
    }
    this.#yearly = yearly;
    this.#hasYearly = parts.yearlyDays.length > 0;
  }

  /** The first of a run of excluded days that ends with this one; undefined when this one is not excluded. */
  startOf(day: number): number | undefined {
    const range = this.#rangeAt(day);
    if (range) return range.first;
    if (this.#weekdays & (1 << weekdayOf(day))) return day;
    if (!this.#hasYearly) return undefined;
    const { month, dayOfMonth } = civilOf(day);
    return this.#yearly[month]! & (1 << dayOfMonth) ? day : undefined;
  }

  #rangeAt(day: number): Range | undefined {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ranges[middle]!.last < day) low = middle + 1;
      else high = middle;
    }
    const range = this.#ranges[low];
    return range && range.first <= day ? range : undefined;
  }
}

function merged(ranges: readonly Range[]): readonly Range[] {
  const result: Range[] = [];
  for (const { first, last } of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = result.at(-1);
    if (before && first <= before.last + 1) before.last = Math.max(before.last, last);
    else result.push({ first, last });
  }
  return result;
}

function rangeOf({ firstDate, lastDate }: Calendar['dateRanges'][number], path: string): Range {
  const first = dayOfDate(firstDate, `${path}.first_date`);
  const last = dayOfDate(lastDate, `${path}.last_date`);
  if (last >= first) return { first, last };
  throw invalidField(
    `${path}.last_date`,
    `${lastDate} lies before the first date; write ${firstDate} or later`,
  );
}

function dayOfDate(text: string, field: string): number {
  const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text) ?? [];
  if (year === undefined) throw invalidField(field, `${shown(text)} is no date; write one like "2026-12-25"`);
  if (+year < 1970 || +year > 2199) {
    throw invalidField(field, `the year ${year} is out of range; write 1970 to 2199`);
  }
  if (isDate(+year, +month!, +day!)) return dayNumber(+year, +month!, +day!);
  throw invalidField(field, `${text} does not exist; write a date that does, like "${year}-12-25"`);
}

function yearlyDayOf(text: string, field: string): { readonly month: number; readonly day: number } {
  const [, month, day] = /^(\d{2})-(\d{2})$/.exec(text) ?? [];
  if (month === undefined) {
    throw invalidField(field, `${shown(text)} is no day of the year; write month and day, like "12-25"`);
  }
  // A leap year has every day that there is.
  if (isDate(2000, +month, +day!)) return { month: +month, day: +day! };
  throw invalidField(field, `${text} does not exist in any year; write "01-01" to "12-31"`);
}

const isDate = (year: number, month: number, day: number): boolean =>
  month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);

const shown = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
