import type { CompiledCalendar } from './compiled-calendar.ts';
import type { Schedule, ScheduleProgress } from './schedule.ts';
import type { Fire, Timetable } from './timetable.ts';

/** How many fire times, or jumps over excluded time, a search backward looks at. */
const maxSteps = 10_000;

/** How many calendars a message names. */
const maxNamed = 3;

/** What the calendars of a job make of its fire times. */
export class Exclusions {
  /** Excludes nothing: what holds for a job without calendars. */
  static readonly none = new Exclusions([], new Map());

  readonly #schedules: readonly Schedule[];
  /** The calendars of each schedule. */
  readonly #calendars: readonly (readonly CompiledCalendar[])[];
  readonly #isEmpty: boolean;

  /** The map holds every calendar that the schedules name, by its name. */
  constructor(schedules: readonly Schedule[], calendars: ReadonlyMap<string, CompiledCalendar>) {
    this.#schedules = schedules;
    this.#calendars = schedules.map((schedule) =>
      (schedule.calendars ?? []).map((name) => {
        const calendar = calendars.get(name);
        // A calendar in use cannot be deleted.
        if (!calendar) throw new Error(`the calendar ${JSON.stringify(name)} is not at hand`);
        return calendar;
      }),
    );
    this.#isEmpty = this.#calendars.every((names) => names.length === 0);
  }

  /**
   * Takes the schedules away from a fire time that a calendar of theirs
   * excludes; it is excluded when none is left. The instant decides, after any
   * jitter.
   */
  apply(
    fire: Fire,
  ): { readonly kind: 'open'; readonly fire: Fire } | { readonly kind: 'excluded'; readonly by: string } {
    if (this.#isEmpty) return { kind: 'open', fire };
    const open = fire.schedules.filter(
      (place) => !this.#calendars[place]!.some((c) => c.excludes(fire.atMs)),
    );
    if (open.length === fire.schedules.length) return { kind: 'open', fire };
    const [first] = open;
    if (first === undefined) return { kind: 'excluded', by: this.#namesOf(fire) };
    return {
      kind: 'open',
      fire: { ...fire, schedules: open, name: this.#schedules[first]!.name },
    };
  }

  /**
   * The last fire time in (after, until] that is open. Time that is excluded
   * for all schedules is jumped over. After 10,000 fire times or jumps the
   * search ends without a result, which takes a schedule that is excluded
   * beside one that is not, or a calendar of single seconds.
   */
  lastOpenUntil(
    fireTimes: Pick<Timetable, 'lastUntil'>,
    untilMs: number,
    afterMs: number,
    progress: readonly ScheduleProgress[],
  ): Fire | undefined {
    let toMs = untilMs;
    for (let step = 0; step < maxSteps && toMs > afterMs; step++) {
      const fire = fireTimes.lastUntil(toMs, afterMs, progress);
      if (!fire) return undefined;
      const applied = this.apply(fire);
      if (applied.kind === 'open') return applied.fire;
      toMs = this.#startOfExclusion(fire.atMs) - 1;
    }
    return undefined;
  }

  /** An instant not after another such that every schedule is excluded from it on up to that one. */
  #startOfExclusion(ms: number): number {
    const starts = this.#calendars.map((calendars) =>
      calendars.reduce((earliest, calendar) => Math.min(earliest, calendar.startOfExclusion(ms)), ms),
    );
    return Math.max(...starts);
  }

  #namesOf({ atMs, schedules }: Fire): string {
    const excluding = schedules.flatMap((place) => this.#calendars[place]!.filter((c) => c.excludes(atMs)));
    const names = [...new Set(excluding.map(({ name }) => JSON.stringify(name)))];
    if (names.length === 1) return `calendar ${names[0]}`;
    const last = names.length > maxNamed ? `${names.length - maxNamed + 1} more` : names.at(-1)!;
    return `calendars ${names.slice(0, Math.min(names.length, maxNamed) - 1).join(', ')} and ${last}`;
  }
}
