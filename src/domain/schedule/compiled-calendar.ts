import { invalidField } from '../errors.ts';
import type { Calendar } from './calendar.ts';
import { ExcludedDays } from './excluded-days.ts';
import { ExcludedTimes } from './excluded-times.ts';
import type { Zone } from './zone.ts';
import { zoneOf } from './zone-field.ts';

const dayMs = 86_400_000;

/** How many excluded blocks (days, hours, minutes, seconds, ranges of days) one jump goes back over. */
const maxBlocksPerJump = 400;

/** How many items a part of a calendar may have; the names are the fields of the API. */
const bounds = { dates: 1_000, date_ranges: 1_000, weekdays: 7, yearly_days: 366, crons: 20 } as const;

/**
 * A calendar in the form that answers quickly. Days begin and end, and cron
 * exclusions are read, by what the clocks of its zone show at an instant: where
 * clocks jump over a time there is nothing to exclude, and a time that comes
 * twice is excluded twice.
 */
export class CompiledCalendar {
  readonly name: string;
  readonly #zone: Zone;
  readonly #days: ExcludedDays;
  readonly #times: readonly ExcludedTimes[];

  constructor(name: string, zone: Zone, days: ExcludedDays, times: readonly ExcludedTimes[]) {
    this.name = name;
    this.#zone = zone;
    this.#days = days;
    this.#times = times;
  }

  /** The name of its zone, as IANA spells it. */
  get timeZone(): string {
    return this.#zone.name;
  }

  /** Whether an instant lies in the calendar. */
  excludes(ms: number): boolean {
    return this.#blockStart(ms + this.#zone.spanAt(ms).offsetMs) !== undefined;
  }

  /**
   * An instant not after an excluded one such that everything from it to that
   * one is excluded: as early as 400 blocks make it, not always the earliest.
   * Gives back an instant that is not excluded.
   */
  startOfExclusion(ms: number): number {
    let startMs = ms;
    let atMs = ms;
    for (let blocks = 0; blocks < maxBlocksPerJump; blocks++) {
      const span = this.#zone.spanAt(atMs);
      const blockStart = this.#blockStart(atMs + span.offsetMs);
      if (blockStart === undefined) break;
      // Before the span clocks showed something else; the next turn looks at that.
      startMs = Math.max(span.fromMs, blockStart - span.offsetMs);
      atMs = startMs - 1;
    }
    return startMs;
  }

  /** The local time at which an excluded block begins that holds a local time. */
  #blockStart(localMs: number): number | undefined {
    const day = this.#days.startOf(Math.floor(localMs / dayMs));
    if (day !== undefined) return day * dayMs;
    for (const times of this.#times) {
      const start = times.startOf(localMs);
      if (start !== undefined) return start;
    }
    return undefined;
  }
}

/**
 * Compiles a calendar; one without any part excludes nothing. Refuses what
 * cannot be understood, with INVALID_SCHEDULE where it is the zone or a cron
 * expression; field paths are under `path`.
 */
export function compileCalendar(calendar: Calendar, path = 'calendar'): CompiledCalendar {
  refuseTooMany(calendar, path);
  const zone = zoneOf(calendar.timeZone, `${path}.time_zone`);
  const days = new ExcludedDays(calendar, path);
  const times = calendar.crons.map((cron, i) => new ExcludedTimes(cron, `${path}.crons[${i}].expression`));
  return new CompiledCalendar(calendar.name, zone, days, times);
}

function refuseTooMany(calendar: Calendar, path: string): void {
  const counts: Record<keyof typeof bounds, number> = {
    dates: calendar.dates.length,
    date_ranges: calendar.dateRanges.length,
    weekdays: calendar.weekdays.length,
    yearly_days: calendar.yearlyDays.length,
    crons: calendar.crons.length,
  };
  for (const [field, bound] of Object.entries(bounds)) {
    const count = counts[field as keyof typeof bounds];
    if (count > bound) throw invalidField(`${path}.${field}`, `${count} items; write at most ${bound}`);
  }
}
