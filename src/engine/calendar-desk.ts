import type { Calendar, StoredCalendar } from '../domain/schedule/calendar.ts';
import { compileCalendar } from '../domain/schedule/compiled-calendar.ts';
import type { Store } from '../store/store.ts';
import type { CalendarOperations, Page } from './operations.ts';
import { pageByName } from './page-token.ts';
import { calendarInUse, calendarNotFound } from './refusals.ts';

/**
 * What the outside may ask of calendars. Nobody has to be told of a change:
 * whoever fires a job reads its calendars in the transaction that fires it, and
 * no next fire time depends on them.
 */
export class CalendarDesk implements CalendarOperations {
  readonly #store: Pick<Store, 'db' | 'transaction' | 'calendars' | 'namespaces'>;

  constructor({ store }: { readonly store: Pick<Store, 'db' | 'transaction' | 'calendars' | 'namespaces'> }) {
    this.#store = store;
  }

  async put(calendar: Calendar): Promise<{ calendar: StoredCalendar; created: boolean }> {
    const { timeZone } = compileCalendar(calendar);
    return this.#store.transaction(async (tx) => {
      await this.#store.namespaces.ensure(tx, calendar.namespace);
      return this.#store.calendars.put(tx, { ...calendar, timeZone });
    });
  }

  async get(namespace: string, name: string): Promise<StoredCalendar> {
    const calendar = await this.#store.calendars.find(this.#store.db, namespace, name);
    if (!calendar) throw calendarNotFound(namespace, name);
    return calendar;
  }

  async list(
    namespace: string,
    page: Page,
  ): Promise<{ calendars: readonly StoredCalendar[]; nextPageToken: string }> {
    const { items, nextPageToken } = await pageByName(['calendars', namespace], page, (after, limit) =>
      this.#store.calendars.list(this.#store.db, { namespace, after, limit }),
    );
    return { calendars: items, nextPageToken };
  }

  async delete(namespace: string, name: string): Promise<{ existed: boolean }> {
    const removal = await this.#store.transaction((tx) => this.#store.calendars.remove(tx, namespace, name));
    if (removal.kind === 'used') throw calendarInUse(namespace, name, removal);
    return { existed: removal.kind === 'deleted' };
  }
}
