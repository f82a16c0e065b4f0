/**
 * The search for the next fire time of a compiled cron expression.
 *
 * Time is walked in spans with a constant offset (zone.ts). Within a span local
 * time is UTC plus a number, so the next local time that fits the expression is
 * found by fields: day by day inside a month's bit mask, months that do not fit
 * are jumped over, and the time of day is three table look-ups. The search is
 * bounded: dates repeat after 400 years, so a pattern without a date in that
 * time has none. A pattern whose every date falls on a change of clocks that
 * leaves its time out ("30 2 * 3 SUNL" in Berlin) is given up 40 years behind
 * the first of them; after 28 years, or 40 around a turn of the century, dates
 * fall on the same weekdays again.
 *
 * Where spans meet, clocks change:
 *   - Forward (a gap): the local times in between do not exist. A frequent
 *     expression is matched against the clock at every instant, so nothing
 *     fires for them, and it goes on with elapsed time: "every 30 minutes" stays
 *     every 30 minutes. A fixed-time expression that names one or more of them
 *     fires once at the first instant behind the gap (RUN_AT_GAP_END) or not
 *     (SKIP). A date that is missing altogether (a gap of a day) does not fire.
 *   - Backward (an overlap): the local times before the change come again. A
 *     frequent expression fires in both, again because time goes on; an hour
 *     that it does not name never fires. A fixed-time expression fires at the
 *     first (FIRST), the second (SECOND) or both.
 *
 * Numbers: instants and local times are milliseconds; a local time is the
 * instant at which a clock in UTC would show it.
 */
import type { CronPattern } from './cron-expression.ts';
import type { AmbiguousPolicy, GapPolicy } from './schedule.ts';
import type { Zone, ZoneSpan } from './zone.ts';

const dayMs = 86_400_000;

/** 400 years in days: after that the calendar repeats, weekdays included. */
const calendarCycleDays = 146_097;

/** How long the search goes on behind a date that clocks jump over. */
const giveUpMs = 40 * 366 * dayMs;

/** What a fire time is when clocks have changed around it. */
export type ClockNote =
  | { readonly kind: 'gap'; readonly fromLocalMs: number; readonly untilLocalMs: number }
  | { readonly kind: 'ambiguous'; readonly occurrence: 'first' | 'second' };

export class CronSearch {
  readonly #pattern: CronPattern;
  readonly #zone: Zone;
  readonly #gap: GapPolicy;
  readonly #ambiguous: AmbiguousPolicy;
  /** The days of the month that was looked at last that fit. */
  #monthKey = Number.NaN;
  #monthMask = 0;

  constructor(pattern: CronPattern, zone: Zone, gap: GapPolicy, ambiguous: AmbiguousPolicy) {
    this.#pattern = pattern;
    this.#zone = zone;
    this.#gap = gap;
    this.#ambiguous = ambiguous;
  }

  /** The first fire time strictly after an instant; undefined when there is none within the bounds of the search. */
  next(afterMs: number): number | undefined {
    let span = this.#zone.spanAt(afterMs);
    let fromMs = afterMs;
    let lastMs: number | undefined;
    for (;;) {
      const localAfter = fromMs + span.offsetMs;
      const local = this.#nextLocal(localAfter);
      if (local === undefined) return undefined;
      const found = this.#withinSpan(span, local);
      if (found !== undefined) return found;
      lastMs ??= local + giveUpMs;
      if (local > lastMs) return undefined;
      // Nothing fits before `local`; only the last days before it can hold a change that matters. A change that comes
      // soon matters as well: when clocks go back, local times before `fromMs` come again.
      const isSoon = span.untilMs - fromMs < 2 * dayMs;
      const jumpMs = isSoon ? span.untilMs : Math.max(span.untilMs, local - span.offsetMs - 2 * dayMs);
      const next = this.#zone.spanAt(jumpMs);
      if (next.fromMs === jumpMs && next.offsetMs > next.offsetBeforeMs) {
        const gapEnd = this.#gapFire(next);
        if (gapEnd !== undefined) return gapEnd;
      }
      span = next;
      fromMs = jumpMs - 1;
    }
  }

  /** How many fire times lie in (after, until], counted up to a cap; days without a change of clocks count as a whole. */
  count(afterMs: number, untilMs: number, cap: number): number {
    const perDay =
      sizeOf(this.#pattern.hours) * sizeOf(this.#pattern.minutes) * sizeOf(this.#pattern.seconds);
    const firstOfDay = this.#timeOfDay(0) * 1000;
    let count = 0;
    let fire = this.next(afterMs);
    while (fire !== undefined && fire <= untilMs && count < cap) {
      const span = this.#zone.spanAt(fire);
      const local = fire + span.offsetMs;
      const dayEnd = (Math.floor(local / dayMs) + 1) * dayMs - span.offsetMs;
      const isWhole = local % dayMs === firstOfDay && dayEnd <= untilMs;
      const isCalm = dayEnd - 3 * dayMs >= span.fromMs && dayEnd + 2 * dayMs <= span.untilMs;
      count += isWhole && isCalm ? perDay : 1;
      fire = this.next(isWhole && isCalm ? dayEnd - 1 : fire);
    }
    return Math.min(count, cap);
  }

  /** What clock changes have to do with a fire time. */
  noteOf(ms: number): ClockNote | undefined {
    if (!this.#pattern.isFixedTime) return undefined;
    const span = this.#zone.spanAt(ms);
    const local = ms + span.offsetMs;
    if (ms === span.fromMs && span.offsetMs > span.offsetBeforeMs && this.#nextLocal(local - 1) !== local) {
      return { kind: 'gap', fromLocalMs: span.fromMs + span.offsetBeforeMs, untilLocalMs: local };
    }
    if (local < span.fromMs + span.offsetBeforeMs) return { kind: 'ambiguous', occurrence: 'second' };
    if (local >= span.untilMs + span.offsetBehindMs) return { kind: 'ambiguous', occurrence: 'first' };
    return undefined;
  }

  /** The fire time of the first local time from `local` on that counts within a span. */
  #withinSpan(span: ZoneSpan, firstLocal: number): number | undefined {
    const endLocal = span.untilMs + span.offsetMs;
    let local: number | undefined = firstLocal;
    if (local >= endLocal) return undefined;
    if (this.#pattern.isFixedTime) {
      if (this.#ambiguous === 'FIRST') {
        // Local times before this one were there before the clocks went back.
        const repeatedUntil = span.fromMs + span.offsetBeforeMs;
        if (local < repeatedUntil) local = this.#nextLocal(repeatedUntil - 1);
      } else if (this.#ambiguous === 'SECOND') {
        // Local times from this one on come again when the clocks go back.
        const repeatedFrom = span.untilMs + span.offsetBehindMs;
        if (local >= repeatedFrom) return undefined;
      }
    }
    return local === undefined || local >= endLocal ? undefined : local - span.offsetMs;
  }

  /** The end of a gap, when a fixed-time expression names a local time inside it. */
  #gapFire(after: ZoneSpan): number | undefined {
    if (!this.#pattern.isFixedTime || this.#gap === 'SKIP') return undefined;
    const fromLocal = after.fromMs + after.offsetBeforeMs;
    const untilLocal = after.fromMs + after.offsetMs;
    for (let local = this.#nextLocal(fromLocal - 1); local !== undefined && local < untilLocal; ) {
      const day = Math.floor(local / dayMs) * dayMs;
      const dateIsMissing = day >= fromLocal && day + dayMs <= untilLocal;
      if (!dateIsMissing) return after.fromMs;
      local = this.#nextLocal(day + dayMs - 1);
    }
    return undefined;
  }

  /** The first local time that fits, strictly after another. */
  #nextLocal(afterLocal: number): number | undefined {
    const second = Math.floor(afterLocal / 1000) + 1;
    let day = Math.floor(second / 86_400);
    const ofDay = this.#isDay(day) ? this.#timeOfDay(second - day * 86_400) : -1;
    if (ofDay >= 0) return (day * 86_400 + ofDay) * 1000;
    const found = this.#nextDay(day + 1);
    if (found === undefined) return undefined;
    day = found;
    return (day * 86_400 + this.#timeOfDay(0)) * 1000;
  }

  /** The first second of the day that fits, not before another; -1 when there is none. */
  #timeOfDay(from: number): number {
    const { seconds, minutes, hours } = this.#pattern;
    let hour = Math.floor(from / 3600);
    let minute = Math.floor(from / 60) % 60;
    let second = seconds[from % 60]!;
    if (hours[hour] === hour) {
      if (minutes[minute] === minute && second >= 0) return hour * 3600 + minute * 60 + second;
      minute = minutes[minute + 1]!;
      second = seconds[0]!;
      if (minute >= 0) return hour * 3600 + minute * 60 + second;
    }
    hour = hours[hour + 1]!;
    return hour < 0 ? -1 : hour * 3600 + minutes[0]! * 60 + seconds[0]!;
  }

  #isDay(day: number): boolean {
    const { year, month, dayOfMonth } = civilOf(day);
    return (this.#maskOf(year, month) & (1 << (dayOfMonth - 1))) !== 0;
  }

  #nextDay(from: number): number | undefined {
    let { year, month, dayOfMonth } = civilOf(from);
    const limit = from + calendarCycleDays;
    for (let first = from - dayOfMonth + 1; first <= limit; ) {
      const left = this.#maskOf(year, month) >>> (dayOfMonth - 1);
      if (left !== 0) return first + dayOfMonth - 1 + (31 - Math.clz32(left & -left));
      first += daysIn(year, month);
      month = month === 12 ? 1 : month + 1;
      if (month === 1) year++;
      dayOfMonth = 1;
    }
    return undefined;
  }

  /** The days of a month that fit; bit 0 is the first. */
  #maskOf(year: number, month: number): number {
    const key = year * 12 + month;
    if (key === this.#monthKey) return this.#monthMask;
    this.#monthKey = key;
    this.#monthMask = this.#pattern.months & (1 << month) ? this.#daysOf(year, month) : 0;
    return this.#monthMask;
  }

  #daysOf(year: number, month: number): number {
    const pattern = this.#pattern;
    const length = daysIn(year, month);
    const all = length === 31 ? 0x7fffffff : (1 << length) - 1;
    // The weekday of the first; 1 January 1970 was a Thursday.
    const firstWeekday = (((dayNumber(year, month, 1) + 4) % 7) + 7) % 7;
    let byMonthDay = (pattern.monthDays >>> 1) & all;
    for (const rule of pattern.monthDayRules) {
      const day = rule.kind === 'last' ? length - rule.before : rule.day;
      if (day < 1 || day > length) continue;
      const exact = rule.kind === 'last' && !rule.weekday;
      byMonthDay |= 1 << ((exact ? day : nearestWeekday(day, length, firstWeekday)) - 1);
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
    return byMonthDay & byWeekday & all;
  }
}

/** How many values a table of followers holds. */
const sizeOf = (next: Int8Array): number =>
  next.reduce((size, follower, value) => size + (follower === value ? 1 : 0), 0);

/** The weekday nearest to a day, within its month. */
function nearestWeekday(day: number, length: number, firstWeekday: number): number {
  const weekday = (firstWeekday + day - 1) % 7;
  if (weekday === 6) return day > 1 ? day - 1 : day + 2;
  if (weekday === 0) return day < length ? day + 1 : day - 2;
  return day;
}

const isLeap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

const monthLengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const daysIn = (year: number, month: number): number =>
  month === 2 && isLeap(year) ? 29 : monthLengths[month - 1]!;

/** Days since 1 January 1970 of a date in the Gregorian calendar. */
function dayNumber(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return (
    era * calendarCycleDays +
    yearOfEra * 365 +
    Math.floor(yearOfEra / 4) -
    Math.floor(yearOfEra / 100) +
    dayOfYear -
    719_468
  );
}

/** The date of a day number. */
function civilOf(days: number): { year: number; month: number; dayOfMonth: number } {
  const z = days + 719_468;
  const era = Math.floor(z / calendarCycleDays);
  const dayOfEra = z - era * calendarCycleDays;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36524) - Math.floor(dayOfEra / 146096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthIndex = Math.floor((5 * dayOfYear + 2) / 153);
  const dayOfMonth = dayOfYear - Math.floor((153 * monthIndex + 2) / 5) + 1;
  const month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfMonth };
}
