/**
 * The search for the next fire time of a compiled cron expression.
 *
 * Time is walked in spans with a constant offset (zone.ts). Within a span local
 * time is UTC plus a number, so the next local time that fits the expression is
 * found by fields: the day by a month's bit mask, jumping over months and years
 * that are not named (cron-days.ts), the time of day by three table look-ups.
 * The search is bounded: dates repeat after 400 years, so a pattern without a
 * date in that time has none; a pattern with years has none behind the last of
 * them. A pattern whose every date falls on a change of clocks that leaves its
 * time out ("30 2 * 3 SUNL" in Berlin) is given up 40 years behind the first of
 * them; after 28 years, or 40 around a turn of the century, dates fall on the
 * same weekdays again. How fast it is: bench/next-fire.ts.
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
import { CronDays } from './cron-days.ts';
import type { CronPattern } from './cron-pattern.ts';
import type { AmbiguousPolicy, GapPolicy } from './schedule.ts';
import type { Zone, ZoneSpan } from './zone.ts';

const dayMs = 86_400_000;

/** How long the search goes on behind a date that clocks jump over. */
const giveUpMs = 40 * 366 * dayMs;

/** What a fire time is when clocks have changed around it. */
export type ClockNote =
  | { readonly kind: 'gap'; readonly fromLocalMs: number; readonly untilLocalMs: number }
  | { readonly kind: 'ambiguous'; readonly occurrence: 'first' | 'second' };

/** Finds the fire times of a pattern in a zone. */
export class CronSearch {
  readonly #pattern: CronPattern;
  readonly #zone: Zone;
  readonly #gap: GapPolicy;
  readonly #ambiguous: AmbiguousPolicy;
  readonly #days: CronDays;
  /** The first second of a day that fits. */
  readonly #firstOfDay: number;

  constructor(pattern: CronPattern, zone: Zone, gap: GapPolicy, ambiguous: AmbiguousPolicy) {
    this.#pattern = pattern;
    this.#days = new CronDays(pattern);
    this.#firstOfDay = this.#timeOfDay(0);
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
    const firstOfDay = this.#firstOfDay * 1000;
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
    const today = Math.floor(second / 86_400);
    let day = this.#days.from(today);
    if (day === today) {
      const ofDay = this.#timeOfDay(second - day * 86_400);
      if (ofDay >= 0) return (day * 86_400 + ofDay) * 1000;
      day = this.#days.from(today + 1);
    }
    return day === undefined ? undefined : (day * 86_400 + this.#firstOfDay) * 1000;
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
}

/** How many values a table of followers holds. */
const sizeOf = (next: Int8Array): number =>
  next.reduce((size, follower, value) => size + (follower === value ? 1 : 0), 0);
