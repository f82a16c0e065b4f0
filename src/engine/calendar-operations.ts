import type { Calendar, StoredCalendar } from '../domain/schedule/calendar.ts';
import type { Caller, Page } from './operations.ts';

/** What the outside may ask of calendars. */
export type CalendarOperations = {
  /** Makes a calendar, or replaces the one of the same name. */
  put(calendar: Calendar, caller: Caller): Promise<{ calendar: StoredCalendar; created: boolean }>;
  get(namespace: string, name: string, caller: Caller): Promise<StoredCalendar>;
  /** By name. */
  list(
    namespace: string,
    page: Page,
    caller: Caller,
  ): Promise<{ calendars: readonly StoredCalendar[]; nextPageToken: string }>;
  /** Refuses while a job uses it. */
  delete(namespace: string, name: string, caller: Caller): Promise<{ existed: boolean }>;
};
