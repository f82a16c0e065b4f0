import type { CompiledCalendar } from './compiled-calendar.ts';
import type { Schedule, ScheduleProgress } from './schedule.ts';
import type { Fire, Timetable } from './timetable.ts';

/** How many jumps over excluded time a search backward makes for one schedule. */
const maxSteps = 1_000;

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

  /** Whether no schedule has a calendar. */
  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /**
   * The last fire time in (after, until] that is open. Each schedule is
   * searched by itself and time that its calendars exclude is jumped over, so
   * that few steps are made. After 1,000 of them a schedule counts as excluded
   * throughout, which takes a calendar of single seconds.
   */
  lastOpenUntil(
    fireTimes: Pick<Timetable, 'lastUntil' | 'only'>,
    untilMs: number,
    afterMs: number,
    progress: readonly ScheduleProgress[],
  ): Fire | undefined {
    if (this.#isEmpty) return fireTimes.lastUntil(untilMs, afterMs, progress);
    let lastMs = afterMs;
    for (let place = 0; place < this.#schedules.length; place++) {
      const own = fireTimes.only([place]);
      let toMs = untilMs;
      for (let step = 0; step < maxSteps && toMs > lastMs; step++) {
        const fire = own.lastUntil(toMs, lastMs, progress);
        if (!fire) break;
        const startMs = this.#startOfExclusion(place, fire.atMs);
        if (startMs === undefined) {
          lastMs = fire.atMs;
          break;
        }
        toMs = startMs - 1;
      }
    }
    if (lastMs === afterMs) return undefined;
    const applied = this.apply(fireTimes.lastUntil(lastMs, lastMs - 1, progress)!);
    return applied.kind === 'open' ? applied.fire : undefined;
  }

  /** An instant from which on a schedule is excluded up to another; undefined when it is open at that one. */
  #startOfExclusion(place: number, ms: number): number | undefined {
    const excluding = this.#calendars[place]!.filter((calendar) => calendar.excludes(ms));
    if (excluding.length === 0) return undefined;
    return Math.min(...excluding.map((calendar) => calendar.startOfExclusion(ms)));
  }

  #namesOf({ atMs, schedules }: Fire): string {
    const excluding = schedules.flatMap((place) => this.#calendars[place]!.filter((c) => c.excludes(atMs)));
    const names = [...new Set(excluding.map(({ name }) => JSON.stringify(name)))];
    if (names.length === 1) return `calendar ${names[0]}`;
    const last = names.length > maxNamed ? `${names.length - maxNamed + 1} more` : names.at(-1)!;
    return `calendars ${names.slice(0, Math.min(names.length, maxNamed) - 1).join(', ')} and ${last}`;
  }
}
