import type { Calendar, StoredCalendar } from '../domain/schedule/calendar.ts';
import { compileCalendar } from '../domain/schedule/compiled-calendar.ts';
import type { Store } from '../store/store.ts';
import { auditRow, changesBetween } from './audit/audit-rows.ts';
import type { CalendarOperations, Caller, Page } from './operations.ts';
import { pageByName } from './page-token.ts';
import { calendarInUse, calendarNotFound } from './refusals.ts';

type CalendarDeskStore = Pick<Store, 'db' | 'transaction' | 'calendars' | 'namespaces' | 'audits'>;

/**
 * What the outside may ask of calendars. Nobody has to be told of a change:
 * whoever fires a job reads its calendars in the transaction that fires it, and
 * no next fire time depends on them.
 */
export class CalendarDesk implements CalendarOperations {
  readonly #store: CalendarDeskStore;

  constructor({ store }: { readonly store: CalendarDeskStore }) {
    this.#store = store;
  }

  async put(calendar: Calendar, caller: Caller): Promise<{ calendar: StoredCalendar; created: boolean }> {
    const { timeZone } = compileCalendar(calendar);
    const { namespace, name } = calendar;
    return this.#store.transaction(async (tx) => {
      await this.#store.namespaces.ensure(tx, namespace);
      const { before, ...put } = await this.#store.calendars.put(tx, { ...calendar, timeZone });
      const after = definitionOf(put.calendar);
      const change = before
        ? changesBetween(definitionOf(before), after)
        : { after, details: { changed: 1 } };
      await this.#store.audits.insert(tx, [
        auditRow(caller, { namespace, object: { type: 'calendar', name }, ...change }),
      ]);
      return put;
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

  async delete(namespace: string, name: string, caller: Caller): Promise<{ existed: boolean }> {
    return this.#store.transaction(async (tx) => {
      const removal = await this.#store.calendars.remove(tx, namespace, name);
      if (removal.kind === 'used') throw calendarInUse(namespace, name, removal);
      const existed = removal.kind === 'deleted';
      await this.#store.audits.insert(tx, [
        auditRow(caller, {
          namespace,
          object: { type: 'calendar', name },
          before: removal.kind === 'deleted' ? definitionOf(removal.before) : undefined,
          details: { changed: existed ? 1 : 0 },
        }),
      ]);
      return { existed };
    });
  }
}

/** What a user gives of a calendar, but for its name. */
function definitionOf(calendar: StoredCalendar): Omit<Calendar, 'namespace' | 'name'> {
  const { description, timeZone, dates, dateRanges, weekdays, yearlyDays, crons } = calendar;
  return { description, timeZone, dates, dateRanges, weekdays, yearlyDays, crons };
}
