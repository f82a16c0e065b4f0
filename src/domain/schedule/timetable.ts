import type { ClockNote } from './cron-search.ts';
import { FireSource } from './fire-source.ts';
import { identityOf } from './identity.ts';
import type { Schedule, ScheduleProgress } from './schedule.ts';
import { localIso } from './zone.ts';

/** One fire time of a job's schedules. */
export type Fire = {
  readonly atMs: number;
  /** The places of all schedules that name this instant. */
  readonly schedules: readonly number[];
  /** The name of the first of them. */
  readonly name: string;
};

/** How many fire times lie in a range; with `isExact` false at least so many. */
export type Tally = { readonly count: number; readonly isExact: boolean };

type Progress = readonly ScheduleProgress[];

/** A union of several dense schedules is counted one by one up to here, unless the cap is small. */
const maxWalked = 1_000;

/** Up to this cap a count is exact. */
const smallCap = 20_000;

/**
 * The fire times of a job: the union of its schedules, compiled. `progress`
 * tells how far each schedule has come; a schedule that has made all of its
 * runs, or waits for the finish of an execution, fires no more for now.
 */
export class Timetable {
  /** By place; a schedule that is left out is undefined. */
  readonly #sources: readonly (FireSource | undefined)[];

  constructor(sources: readonly (FireSource | undefined)[]) {
    this.#sources = sources;
  }

  /** The places of the schedules whose fire times do not depend on executions. */
  get independentPlaces(): readonly number[] {
    return this.#sources.flatMap((source, place) => (source && !source.fixedDelay ? [place] : []));
  }

  /** Whether it must be remembered how far the schedules have come. */
  get keepsProgress(): boolean {
    return this.#sources.some((source) => source && (source.schedule.repeatCount > 0 || source.fixedDelay));
  }

  /** The timetable of some of the schedules; places stay as they are. */
  only(places: readonly number[]): Timetable {
    return new Timetable(this.#sources.map((source, place) => (places.includes(place) ? source : undefined)));
  }

  /** The first fire time strictly after an instant. */
  next(afterMs: number, progress: Progress): Fire | undefined {
    let atMs = Number.POSITIVE_INFINITY;
    let places: number[] = [];
    for (let place = 0; place < this.#sources.length; place++) {
      const next = this.#alive(place, progress)?.next(afterMs, progress[place]);
      if (next === undefined || next > atMs) continue;
      if (next < atMs) {
        atMs = next;
        places = [place];
      } else places.push(place);
    }
    return this.#fire(atMs, places);
  }

  /** The last fire time in (after, until]. */
  lastUntil(untilMs: number, afterMs: number, progress: Progress): Fire | undefined {
    let atMs = Number.NEGATIVE_INFINITY;
    let places: number[] = [];
    for (let place = 0; place < this.#sources.length; place++) {
      const last = this.#alive(place, progress)?.last(afterMs, untilMs, progress[place]);
      if (last === undefined || last < atMs) continue;
      if (last > atMs) {
        atMs = last;
        places = [place];
      } else places.push(place);
    }
    return this.#fire(atMs, places);
  }

  /**
   * How many fire times lie in (after, until], counted up to a cap. Schedules
   * count in full, as if none of these fire times made a run.
   */
  count(afterMs: number, untilMs: number, cap: number, progress: Progress): number {
    return this.tally(afterMs, untilMs, cap, progress).count;
  }

  /**
   * Counts as `count` does. Of a union the densest schedule is counted as a
   * whole and the others one by one, so that an instant that several name
   * counts once; where that takes too long, it is not exact.
   */
  tally(afterMs: number, untilMs: number, cap: number, progress: Progress): Tally {
    const counts = this.#sources.flatMap((_, place) => {
      const source = this.#alive(place, progress);
      return source ? [{ source, place, count: source.count(afterMs, untilMs, cap, progress[place]) }] : [];
    });
    const densest = counts.reduce((a, b) => (b.count > a.count ? b : a), counts[0]!);
    if (!densest || densest.count >= cap)
      return { count: densest?.count ?? 0, isExact: !densest || densest.count < cap };
    let count = densest.count;
    const others = this.only(
      counts.filter((each) => each !== densest && each.count > 0).map(({ place }) => place),
    );
    const limit = cap > smallCap ? maxWalked : cap;
    let walked = 0;
    for (
      let fire = others.next(afterMs, progress);
      fire && fire.atMs <= untilMs && count < cap;
      fire = others.next(fire.atMs, progress)
    ) {
      if (++walked > limit) return { count, isExact: false };
      if (densest.source.next(fire.atMs - 1, progress[densest.place]) !== fire.atMs) count++;
    }
    return { count, isExact: count < cap };
  }

  /** The progress after a run at a fire time. */
  afterRun(progress: Progress, fire: Fire): Progress {
    if (!this.keepsProgress) return progress;
    return this.#sources.map((source, place) => {
      const before = progress[place] ?? { runs: 0 };
      if (!source || !fire.schedules.includes(place)) return before;
      const runs = before.runs + (source.schedule.repeatCount > 0 ? 1 : 0);
      if (!source.fixedDelay) return { runs };
      // One that has made its last run waits for nothing.
      const delay = source.isUsedUp({ runs })
        ? { dueMs: fire.atMs + source.fixedDelay.everyMs }
        : { waitsForMs: fire.atMs };
      return { runs, delay };
    });
  }

  /** The progress after the execution of a fire time has finished: a fixed delay begins. */
  afterFinish(progress: Progress, fireMs: number, finishedMs: number): Progress {
    return progress.map((before, place) => {
      const every = this.#sources[place]?.fixedDelay?.everyMs;
      const waits = before.delay && 'waitsForMs' in before.delay && before.delay.waitsForMs === fireMs;
      return every === undefined || !waits
        ? before
        : { ...before, delay: { dueMs: Math.ceil(finishedMs) + every } };
    });
  }

  /** What a run at a fire time is charged to: the schedules that keep count, as they are defined now. */
  chargedFor(fire: Fire): readonly string[] {
    return fire.schedules.flatMap((place) => {
      const schedule = this.#sources[place]?.schedule;
      return schedule && schedule.repeatCount > 0 ? [identityOf(schedule)] : [];
    });
  }

  /**
   * The progress after an execution has ended before it started: its run is
   * given back to those that were charged for it, as long as they are defined
   * as they were. A fixed delay among them begins with that end.
   */
  afterUnusedRun(progress: Progress, charged: readonly string[], endedMs: number): Progress {
    return progress.map((before, place) => {
      const source = this.#sources[place];
      if (!source || before.runs === 0 || !charged.includes(identityOf(source.schedule))) return before;
      const every = source.fixedDelay?.everyMs;
      const delay = every === undefined ? before.delay : { dueMs: Math.ceil(endedMs) + every };
      return { ...before, runs: before.runs - 1, ...(delay && { delay }) };
    });
  }

  /** The places of the schedules that name an instant; `name`, the schedule in a ledger row, decides for fixed delays. */
  placesAt(ms: number, name: string): readonly number[] {
    return this.#sources.flatMap((source, place) =>
      (source?.fixedDelay ? source.schedule.name === name : source?.firesAt(ms)) ? [place] : [],
    );
  }

  /** A fire time of those of some schedules that may run now; undefined when none of them may. */
  fireAt(ms: number, places: readonly number[], progress: Progress): Fire | undefined {
    const ready = places.filter((place) => {
      const { delay } = progress[place] ?? {};
      return this.#alive(place, progress) && !(delay && 'waitsForMs' in delay);
    });
    return this.#fire(ms, ready);
  }

  /** The places of the fixed delays that are due at an instant or earlier. */
  overdueDelays(progress: Progress, nowMs: number): readonly number[] {
    return progress.flatMap(({ delay }, place) =>
      delay && 'dueMs' in delay && delay.dueMs <= nowMs && this.#alive(place, progress)?.fixedDelay
        ? [place]
        : [],
    );
  }

  /** How a fire time looks to people: local time, zone, and what is special about it. */
  describe(fire: Fire): { readonly localTime: string; readonly timeZone: string; readonly note: string } {
    const source = this.#sources[fire.schedules[0]!]!;
    const { clock, movedByMs } = source.noteOf(fire.atMs);
    const moved = movedByMs > 0 ? [`moved ${movedByMs / 1000} s later by jitter`] : [];
    return {
      localTime: localIso(fire.atMs, source.zone),
      timeZone: source.zone.name,
      note: [...(clock ? [clockText(clock)] : []), ...moved].join('; '),
    };
  }

  #alive(place: number, progress: Progress): FireSource | undefined {
    const source = this.#sources[place];
    return source?.isUsedUp(progress[place]) ? undefined : source;
  }

  #fire(atMs: number, places: readonly number[]): Fire | undefined {
    const [first] = places;
    return first === undefined
      ? undefined
      : { atMs, schedules: places, name: this.#sources[first]!.schedule.name };
  }
}

/**
 * Compiles schedules. `spreadSeed` fixes what `H` stands for and how far jitter
 * moves: the job's id. Refuses with INVALID_SCHEDULE what cannot be understood;
 * field paths are under `path`.
 */
export function compileTimetable(
  schedules: readonly Schedule[],
  spreadSeed: number,
  path = 'job',
): Timetable {
  return new Timetable(schedules.map((schedule, i) => compileSchedule(schedule, i, spreadSeed, path)));
}

/** Compiles the schedule at a place, as a part of a timetable. */
export function compileSchedule(
  schedule: Schedule,
  place: number,
  spreadSeed: number,
  path: string,
): FireSource {
  return new FireSource(schedule, spreadSeed, `${path === '' ? '' : `${path}.`}schedules[${place}]`);
}

function clockText(note: ClockNote): string {
  if (note.kind === 'ambiguous') return `the ${note.occurrence} of two such local times, clocks go back`;
  const time = (ms: number): string => new Date(ms).toISOString().slice(11, 16);
  return `moved to the end of the gap ${time(note.fromLocalMs)} to ${time(note.untilLocalMs)}, clocks go forward`;
}
