import type { Calendar } from '../../../src/domain/schedule/calendar.ts';
import { type CompiledCalendar, compileCalendar } from '../../../src/domain/schedule/compiled-calendar.ts';

/** A calendar in UTC that excludes nothing but what is said. */
export function calendarOf(parts: Partial<Calendar> = {}): Calendar {
  return {
    namespace: 'default',
    name: 'holidays',
    description: '',
    timeZone: 'UTC',
    dates: [],
    dateRanges: [],
    weekdays: [],
    yearlyDays: [],
    crons: [],
    ...parts,
  };
}

/** The same, compiled. */
export const compiled = (parts: Partial<Calendar> = {}): CompiledCalendar =>
  compileCalendar(calendarOf(parts));

/** A cron exclusion in the default dialect. */
export const unixCron = (expression: string): Calendar['crons'][number] => ({ expression, dialect: 'UNIX' });
