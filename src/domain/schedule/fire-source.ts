/**
 * The fire times of one schedule, compiled.
 *
 * A schedule names instants (a cron search, arithmetic of an interval, one
 * instant); its start and end bound them, both inclusive; jitter moves each of
 * them later, by less than the distance to the next and never past the end. So
 * fire times keep their order, and the one that is moved across an instant can
 * only be the last that was named before it.
 */
import { invalidField } from '../errors.ts';
import { CronSyntaxError, compileCron } from './cron-expression.ts';
import { type ClockNote, CronSearch } from './cron-search.ts';
import { jitterShiftMs } from './jitter.ts';
import type { IntervalSchedule, Schedule, ScheduleProgress } from './schedule.ts';
import type { Zone } from './zone.ts';
import { zoneOf } from './zone-field.ts';

/** The instants that a schedule names, before bounds and jitter. */
type Named = {
  /** The first strictly after an instant. */
  next(afterMs: number): number | undefined;
  /** How many lie in (after, until], counted up to a cap. */
  count(afterMs: number, untilMs: number, cap: number): number;
  /** The last in (after, until]. */
  last(afterMs: number, untilMs: number): number | undefined;
};

/** One compiled schedule. `progress` is its own; absent stands for nothing done yet. */
export class FireSource {
  readonly schedule: Schedule;
  readonly zone: Zone;
  readonly #named: Named;
  readonly #search: CronSearch | undefined;
  readonly #seed: number;

  constructor(schedule: Schedule, seed: number, path: string) {
    this.schedule = schedule;
    this.#seed = seed;
    const { spec } = schedule;
    switch (spec.kind) {
      case 'cron':
        this.zone = zoneOf(spec.timeZone, `${path}.cron.time_zone`);
        try {
          const pattern = compileCron(spec.expression, spec.dialect, seed);
          this.#search = new CronSearch(pattern, this.zone, spec.gap, spec.ambiguous);
        } catch (error) {
          if (!(error instanceof CronSyntaxError)) throw error;
          throw invalidField(`${path}.cron.expression`, error.message, 'INVALID_SCHEDULE');
        }
        this.#named = namedBySearch(this.#search);
        break;
      case 'interval':
        this.zone = zoneOf('UTC', path);
        this.#named = namedByInterval(spec.anchorMs, spec.everyMs);
        break;
      case 'once': {
        this.zone = zoneOf('UTC', path);
        const isIn = (afterMs: number, untilMs: number): boolean =>
          spec.atMs > afterMs && spec.atMs <= untilMs;
        this.#named = {
          next: (afterMs) => (spec.atMs > afterMs ? spec.atMs : undefined),
          count: (afterMs, untilMs) => (isIn(afterMs, untilMs) ? 1 : 0),
          last: (afterMs, untilMs) => (isIn(afterMs, untilMs) ? spec.atMs : undefined),
        };
      }
    }
  }

  /** The interval, when it is measured from the finish of executions. */
  get fixedDelay(): IntervalSchedule | undefined {
    const { spec } = this.schedule;
    return spec.kind === 'interval' && spec.mode === 'FIXED_DELAY' ? spec : undefined;
  }

  /** Whether it has made all the runs that it is to make. */
  isUsedUp(progress: ScheduleProgress | undefined): boolean {
    const { repeatCount } = this.schedule;
    return repeatCount > 0 && (progress?.runs ?? 0) >= repeatCount;
  }

  /** The first fire time strictly after an instant. */
  next(afterMs: number, progress?: ScheduleProgress): number | undefined {
    const named = this.#namedWith(progress);
    if (!named) return undefined;
    const pending = this.#movedAcross(named, afterMs);
    if (pending !== undefined) return pending;
    const next = this.#nextNamed(named, afterMs);
    return next === undefined ? undefined : this.#move(named, next);
  }

  /** How many fire times lie in (after, until], counted up to a cap. */
  count(afterMs: number, untilMs: number, cap: number, progress?: ScheduleProgress): number {
    const named = this.#namedWith(progress);
    if (!named || untilMs <= afterMs) return 0;
    const [fromMs, toMs] = this.#bounded(afterMs, untilMs);
    const inside = toMs <= fromMs ? 0 : named.count(fromMs, toMs, cap + 1);
    const entered = this.#movedAcross(named, afterMs) === undefined ? 0 : 1;
    const left = this.#movedAcross(named, untilMs) === undefined ? 0 : 1;
    return Math.min(inside + entered - left, cap);
  }

  /** The last fire time in (after, until]. */
  last(afterMs: number, untilMs: number, progress?: ScheduleProgress): number | undefined {
    const named = this.#namedWith(progress);
    if (!named) return undefined;
    const earliestMs = afterMs - (this.schedule.jitterMs ?? 0);
    for (let beforeMs = untilMs; beforeMs > earliestMs; ) {
      const at = this.#lastNamed(named, earliestMs, beforeMs);
      if (at === undefined) return undefined;
      const moved = this.#move(named, at);
      if (moved <= untilMs) return moved > afterMs ? moved : undefined;
      // Only the last one named can have been moved behind `until`.
      beforeMs = at - 1;
    }
    return undefined;
  }

  /** Whether it fires at an instant, whatever its progress; not for fixed delays, which have no timetable. */
  firesAt(ms: number): boolean {
    return this.fixedDelay === undefined && this.next(ms - 1) === ms;
  }

  /** What clocks and jitter have done to a fire time. */
  noteOf(ms: number): { readonly clock?: ClockNote; readonly movedByMs: number } {
    if (!this.schedule.jitterMs) return { clock: this.#search?.noteOf(ms), movedByMs: 0 };
    const named = this.#lastNamed(this.#named, ms - this.schedule.jitterMs, ms) ?? ms;
    return { clock: this.#search?.noteOf(named), movedByMs: ms - named };
  }

  /** A fixed delay is counted from what it is due at; while it waits for a finish it names nothing. */
  #namedWith(progress: ScheduleProgress | undefined): Named | undefined {
    const { fixedDelay } = this;
    if (!fixedDelay || !progress?.delay) return this.#named;
    return 'dueMs' in progress.delay ? namedByInterval(progress.delay.dueMs, fixedDelay.everyMs) : undefined;
  }

  /** The bounds, cut into (after, until]. */
  #bounded(afterMs: number, untilMs: number): [number, number] {
    const { startMs, endMs } = this.schedule;
    return [
      startMs === undefined ? afterMs : Math.max(afterMs, startMs - 1),
      endMs === undefined ? untilMs : Math.min(untilMs, endMs),
    ];
  }

  #nextNamed(named: Named, afterMs: number): number | undefined {
    const [fromMs, toMs] = this.#bounded(afterMs, Number.POSITIVE_INFINITY);
    const next = named.next(fromMs);
    return next === undefined || next > toMs ? undefined : next;
  }

  #lastNamed(named: Named, afterMs: number, untilMs: number): number | undefined {
    const [fromMs, toMs] = this.#bounded(afterMs, untilMs);
    return toMs <= fromMs ? undefined : named.last(fromMs, toMs);
  }

  /** Where jitter moves an instant that is named. */
  #move(named: Named, atMs: number): number {
    const { jitterMs, endMs } = this.schedule;
    if (!jitterMs) return atMs;
    const untilNextMs = (this.#nextNamed(named, atMs) ?? Number.POSITIVE_INFINITY) - atMs;
    const untilEndMs = endMs === undefined ? Number.POSITIVE_INFINITY : endMs + 1 - atMs;
    return (
      atMs +
      jitterShiftMs(this.#seed, atMs, Math.max(1, Math.floor(Math.min(jitterMs, untilNextMs, untilEndMs))))
    );
  }

  /** The fire time that was named at an instant or before it and is moved behind it. */
  #movedAcross(named: Named, ms: number): number | undefined {
    const { jitterMs } = this.schedule;
    if (!jitterMs) return undefined;
    const last = this.#lastNamed(named, ms - jitterMs, ms);
    if (last === undefined) return undefined;
    const moved = this.#move(named, last);
    return moved > ms ? moved : undefined;
  }
}

function namedByInterval(anchorMs: number, everyMs: number): Named {
  const stepsUntil = (ms: number): number => Math.max(0, Math.floor((ms - anchorMs) / everyMs) + 1);
  return {
    next: (afterMs) => anchorMs + stepsUntil(afterMs) * everyMs,
    count: (afterMs, untilMs, cap) => Math.min(stepsUntil(untilMs) - stepsUntil(afterMs), cap),
    last: (afterMs, untilMs) =>
      stepsUntil(untilMs) > stepsUntil(afterMs) ? anchorMs + (stepsUntil(untilMs) - 1) * everyMs : undefined,
  };
}

/** A search goes forward only; the last instant is closed in on by halves. */
function namedBySearch(search: CronSearch): Named {
  return {
    next: (afterMs) => search.next(afterMs),
    count: (afterMs, untilMs, cap) => search.count(afterMs, untilMs, cap),
    last: (afterMs, untilMs) => {
      const within = (fromMs: number): number | undefined => {
        const next = search.next(fromMs);
        return next !== undefined && next <= untilMs ? next : undefined;
      };
      // Backward from `until` in steps that double: mostly the last instant is near.
      let lowMs = untilMs;
      let highMs = untilMs;
      let found: number | undefined;
      for (let backMs = 1000; found === undefined; backMs *= 2) {
        if (lowMs <= afterMs) return undefined;
        highMs = lowMs;
        lowMs = Math.max(afterMs, untilMs - backMs);
        found = within(lowMs);
      }
      // Nothing lies behind `high`; what is left in front of it is halved.
      for (let next = within(found); next !== undefined; next = within(found)) {
        const middleMs = Math.floor((next + highMs) / 2);
        const later = within(middleMs);
        if (later === undefined) highMs = middleMs;
        found = later ?? next;
      }
      return found;
    },
  };
}
