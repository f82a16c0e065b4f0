import { invalidField } from '../errors.ts';
import { CronSyntaxError, compileCron } from './cron-expression.ts';
import { type ClockNote, CronSearch } from './cron-search.ts';
import type { Schedule } from './schedule.ts';
import { localIso, Zone } from './zone.ts';

/** One fire time of a job's schedules. */
export type Fire = {
  readonly atMs: number;
  /** The places of all schedules that name this instant. */
  readonly schedules: readonly number[];
  /** The name of the first of them. */
  readonly name: string;
};

/** One schedule, compiled. */
type Source = {
  readonly schedule: Schedule;
  readonly zone: Zone;
  /** The first fire time strictly after an instant, without regard to bounds. */
  next(afterMs: number): number | undefined;
  count(afterMs: number, untilMs: number, cap: number): number;
  noteOf(ms: number): ClockNote | undefined;
};

/** The fire times of a job: the union of its schedules, compiled. */
export class Timetable {
  readonly #sources: readonly Source[];

  constructor(sources: readonly Source[]) {
    this.#sources = sources;
  }

  /**
   * The first fire time strictly after an instant. `runsMade[i]` is how many
   * runs schedule i has made; one that has made all of its `repeatCount` fires
   * no more.
   */
  next(afterMs: number, runsMade: readonly number[]): Fire | undefined {
    let atMs = Number.POSITIVE_INFINITY;
    let schedules: number[] = [];
    for (let i = 0; i < this.#sources.length; i++) {
      const source = this.#sources[i]!;
      if (isUsedUp(source, runsMade[i])) continue;
      const next = nextWithin(source, afterMs);
      if (next === undefined || next > atMs) continue;
      if (next < atMs) {
        atMs = next;
        schedules = [i];
      } else schedules.push(i);
    }
    if (schedules.length === 0) return undefined;
    return { atMs, schedules, name: this.#sources[schedules[0]!]!.schedule.name };
  }

  /**
   * How many fire times lie in (after, until], counted up to a cap. Schedules
   * that have made all their runs do not count; the others count in full, as if
   * none of these fire times made a run.
   */
  count(afterMs: number, untilMs: number, cap: number, runsMade: readonly number[] = []): number {
    const alive = this.#sources.filter((source, i) => !isUsedUp(source, runsMade[i]));
    if (alive.length === 1) return countWithin(alive[0]!, afterMs, untilMs, cap);
    let count = 0;
    for (
      let fire = this.next(afterMs, runsMade);
      fire && fire.atMs <= untilMs && count < cap;
      fire = this.next(fire.atMs, runsMade)
    ) {
      count++;
    }
    return count;
  }

  /** How a fire time looks to people: local time, zone, and what is special about it. */
  describe(fire: Fire): { readonly localTime: string; readonly timeZone: string; readonly note: string } {
    const { zone, noteOf } = this.#sources[fire.schedules[0]!]!;
    return { localTime: localIso(fire.atMs, zone), timeZone: zone.name, note: noteText(noteOf(fire.atMs)) };
  }
}

/**
 * Compiles schedules. `spreadSeed` fixes what `H` stands for: the job's id.
 * Refuses with INVALID_SCHEDULE what cannot be understood; field paths are
 * under `path`.
 */
export function compileTimetable(
  schedules: readonly Schedule[],
  spreadSeed: number,
  path = 'job',
): Timetable {
  return new Timetable(
    schedules.map((schedule, i) =>
      compile(schedule, spreadSeed, `${path === '' ? '' : `${path}.`}schedules[${i}]`),
    ),
  );
}

function compile(schedule: Schedule, spreadSeed: number, path: string): Source {
  const { spec } = schedule;
  switch (spec.kind) {
    case 'cron': {
      const zone = zoneOf(spec.timeZone, `${path}.cron.time_zone`);
      try {
        const pattern = compileCron(spec.expression, spec.dialect, spreadSeed);
        const search = new CronSearch(pattern, zone, spec.gap, spec.ambiguous);
        return {
          schedule,
          zone,
          next: (afterMs) => search.next(afterMs),
          count: (afterMs, untilMs, cap) => search.count(afterMs, untilMs, cap),
          noteOf: (ms) => search.noteOf(ms),
        };
      } catch (error) {
        if (error instanceof CronSyntaxError)
          throw invalidField(`${path}.cron.expression`, error.message, 'INVALID_SCHEDULE');
        throw error;
      }
    }
    case 'interval': {
      const { anchorMs, everyMs } = spec;
      const stepsUntil = (ms: number): number => Math.max(0, Math.floor((ms - anchorMs) / everyMs) + 1);
      return {
        schedule,
        zone: zoneOf('UTC', path),
        next: (afterMs) => anchorMs + stepsUntil(afterMs) * everyMs,
        count: (afterMs, untilMs, cap) => Math.min(stepsUntil(untilMs) - stepsUntil(afterMs), cap),
        noteOf: () => undefined,
      };
    }
    case 'once':
      return {
        schedule,
        zone: zoneOf('UTC', path),
        next: (afterMs) => (spec.atMs > afterMs ? spec.atMs : undefined),
        count: (afterMs, untilMs) => (spec.atMs > afterMs && spec.atMs <= untilMs ? 1 : 0),
        noteOf: () => undefined,
      };
  }
}

function zoneOf(name: string, field: string): Zone {
  const zone = Zone.find(name);
  if (zone) return zone;
  const shown = JSON.stringify(name.slice(0, 64));
  throw invalidField(
    field,
    `${shown} is no IANA time zone; write one like "Europe/Berlin" or "UTC"`,
    'INVALID_SCHEDULE',
  );
}

/** Whether a schedule has made all the runs that it is to make. */
const isUsedUp = ({ schedule: { repeatCount } }: Source, runsMade = 0): boolean =>
  repeatCount > 0 && runsMade >= repeatCount;

/** Both bounds are inclusive. */
function nextWithin(source: Source, afterMs: number): number | undefined {
  const { startMs, endMs } = source.schedule;
  const next = source.next(startMs !== undefined && afterMs < startMs ? startMs - 1 : afterMs);
  return next === undefined || (endMs !== undefined && next > endMs) ? undefined : next;
}

function countWithin(source: Source, afterMs: number, untilMs: number, cap: number): number {
  const { startMs, endMs } = source.schedule;
  const fromMs = startMs === undefined ? afterMs : Math.max(afterMs, startMs - 1);
  const toMs = endMs === undefined ? untilMs : Math.min(untilMs, endMs);
  return toMs <= fromMs ? 0 : source.count(fromMs, toMs, cap);
}

function noteText(note: ClockNote | undefined): string {
  if (!note) return '';
  if (note.kind === 'ambiguous') return `the ${note.occurrence} of two such local times, clocks go back`;
  const time = (ms: number): string => new Date(ms).toISOString().slice(11, 16);
  return `moved to the end of the gap ${time(note.fromLocalMs)} to ${time(note.untilLocalMs)}, clocks go forward`;
}
