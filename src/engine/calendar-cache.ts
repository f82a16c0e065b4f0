import type { JobDefinition, JobKey } from '../domain/job.ts';
import { type CompiledCalendar, compileCalendar } from '../domain/schedule/compiled-calendar.ts';
import { Exclusions } from '../domain/schedule/exclusions.ts';
import type { CalendarVersion, WantedCalendar } from '../store/calendar-store.ts';
import type { Db } from '../store/database.ts';
import type { Store } from '../store/store.ts';
import { calendarNotFound } from './refusals.ts';

/** What is needed of a job to know its calendars. */
export type CalendarUser = {
  readonly id: number;
  readonly key: Pick<JobKey, 'namespace'>;
  readonly definition: Pick<JobDefinition, 'schedules'>;
};

/** A version of a calendar, compiled; or why that was not possible. */
type Entry = CalendarVersion & { readonly compiled: CompiledCalendar | { readonly error: unknown } };

/**
 * Compiled calendars, the most recently used of them. Others may change a
 * calendar at any moment, so every use asks the database which version is
 * committed; a definition is sent and compiled only when that version is new.
 */
export class CalendarCache {
  readonly #store: Pick<Store, 'calendars'>;
  readonly #maxCalendars: number;
  readonly #entries = new Map<string, Entry>();

  constructor(store: Pick<Store, 'calendars'>, maxCalendars = 1_000) {
    this.#store = store;
    this.#maxCalendars = maxCalendars;
  }

  /**
   * What the calendars exclude that the schedules of these jobs name, by the id
   * of the job; jobs without any are left out. One statement, none when there
   * are no calendars. A calendar that cannot be used fails only its own jobs,
   * and only when they ask.
   */
  async load(db: Db, jobs: readonly CalendarUser[]): Promise<ReadonlyMap<number, Exclusions>> {
    const users = jobs.filter(({ definition }) =>
      definition.schedules.some(({ calendars }) => calendars && calendars.length > 0),
    );
    if (users.length === 0) return new Map();
    const entries = await this.#present(db, users);
    return new Map(users.map((user) => [user.id, exclusionsOf(user, entries)]));
  }

  /** The committed versions of the calendars that these jobs name. */
  async #present(db: Db, users: readonly CalendarUser[]): Promise<ReadonlyMap<string, Entry>> {
    const wanted = new Map<string, WantedCalendar>();
    // Kept aside, because other calls change the cache while this one waits.
    const known = new Map<string, Entry>();
    for (const { key, definition } of users) {
      for (const name of definition.schedules.flatMap(({ calendars = [] }) => calendars)) {
        const text = textOf(key.namespace, name);
        if (wanted.has(text)) continue;
        const entry = this.#entries.get(text);
        if (entry) known.set(text, entry);
        wanted.set(text, { namespace: key.namespace, name, known: entry });
      }
    }
    const present = new Map<string, Entry>();
    for (const loaded of await this.#store.calendars.load(db, [...wanted.values()])) {
      const text = textOf(loaded.namespace, loaded.name);
      const { id, revision, calendar } = loaded;
      const entry: Entry = calendar ? { id, revision, compiled: tryCompile(calendar) } : known.get(text)!;
      present.set(text, entry);
      // Moves it to the young end.
      this.#entries.delete(text);
      this.#entries.set(text, entry);
    }
    this.#evict();
    return present;
  }

  #evict(): void {
    for (const text of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxCalendars) return;
      this.#entries.delete(text);
    }
  }
}

const textOf = (namespace: string, name: string): string => JSON.stringify([namespace, name]);

/** A stored calendar was understood when it was put, which another version of Carillon or its zone data may have done. */
function tryCompile(calendar: Parameters<typeof compileCalendar>[0]): Entry['compiled'] {
  try {
    return compileCalendar(calendar);
  } catch (error) {
    return { error };
  }
}

function exclusionsOf({ key, definition }: CalendarUser, entries: ReadonlyMap<string, Entry>): Exclusions {
  const compiled = new Map<string, CompiledCalendar>();
  for (const name of definition.schedules.flatMap(({ calendars = [] }) => calendars)) {
    const entry = entries.get(textOf(key.namespace, name));
    if (!entry) return new UnknownExclusions(calendarNotFound(key.namespace, name));
    if ('error' in entry.compiled) return new UnknownExclusions(entry.compiled.error);
    compiled.set(name, entry.compiled);
  }
  return new Exclusions(definition.schedules, compiled);
}

/** Stands for calendars that cannot be used: whoever asks gets the error. */
class UnknownExclusions extends Exclusions {
  readonly #error: unknown;

  constructor(error: unknown) {
    super([], new Map());
    this.#error = error;
  }

  override apply(): never {
    throw this.#error;
  }

  override lastOpenUntil(): never {
    throw this.#error;
  }
}
