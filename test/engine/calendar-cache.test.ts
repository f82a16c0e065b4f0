import { expect, it } from 'vitest';
import { jobDefaults } from '../../src/domain/job.ts';
import type { Calendar } from '../../src/domain/schedule/calendar.ts';
import { compileTimetable } from '../../src/domain/schedule/timetable.ts';
import { CalendarCache, type CalendarUser } from '../../src/engine/calendar-cache.ts';
import type { CalendarStore, WantedCalendar } from '../../src/store/calendar-store.ts';
import type { Db } from '../../src/store/database.ts';
import { calendarOf } from '../domain/schedule/calendars.ts';
import { cronSpec, scheduleOf } from '../domain/schedule/schedules.ts';

const christmas = Date.parse('2026-12-25T12:00:00Z');
const easter = Date.parse('2026-04-05T12:00:00Z');

/** Calendars in memory with versions, as the store loads them; notes what it was asked for and what it sent. */
class MemoryCalendars {
  readonly asked: (readonly WantedCalendar[])[] = [];
  readonly sent: string[] = [];
  readonly #kept = new Map<string, { id: number; revision: number; calendar: Calendar }>();

  put(parts: Partial<Calendar>, version = { id: 1, revision: 1 }): void {
    const calendar = calendarOf(parts);
    this.#kept.set(calendar.name, { ...version, calendar });
  }

  readonly load: CalendarStore['load'] = async (_, wanted) => {
    this.asked.push(wanted);
    return wanted.flatMap(({ namespace, name, known }) => {
      const kept = this.#kept.get(name);
      if (!kept) return [];
      const isKnown = known?.id === kept.id && known.revision === kept.revision;
      if (!isKnown) this.sent.push(name);
      return [{ namespace, name, ...kept, calendar: isKnown ? undefined : kept.calendar }];
    });
  };
}

const db = {} as Db;

function cacheOver(calendars: MemoryCalendars, maxCalendars?: number): CalendarCache {
  return new CalendarCache(
    { calendars: calendars as Pick<CalendarStore, 'load'> as CalendarStore },
    maxCalendars,
  );
}

/** A job whose schedules name these calendars. */
const jobWith = (id: number, ...calendars: readonly (readonly string[] | undefined)[]): CalendarUser => ({
  id,
  key: { namespace: jobDefaults.namespace },
  definition: { schedules: calendars.map((names) => scheduleOf(cronSpec('@hourly'), { calendars: names })) },
});

const fireAt = (atMs: number) => ({ atMs, schedules: [0], name: 'main' });

it('asks nothing for jobs without calendars, and leaves them out', async () => {
  const calendars = new MemoryCalendars();
  const found = await cacheOver(calendars).load(db, [jobWith(1), jobWith(2, undefined, [])]);
  expect([...found]).toEqual([]);
  expect(calendars.asked).toEqual([]);
});

it('asks once for all jobs, naming each calendar once', async () => {
  const calendars = new MemoryCalendars();
  calendars.put({ name: 'a', dates: ['2026-12-25'] });
  calendars.put({ name: 'b', dates: ['2026-04-05'] });
  const found = await cacheOver(calendars).load(db, [
    jobWith(1, ['a'], ['a', 'b']),
    jobWith(2),
    jobWith(3, ['b']),
  ]);
  expect([...found.keys()]).toEqual([1, 3]);
  expect(found.get(1)?.apply(fireAt(christmas))).toEqual({ kind: 'excluded', by: 'calendar "a"' });
  expect(found.get(3)?.apply(fireAt(christmas)).kind).toBe('open');
  expect(calendars.asked.map((wanted) => wanted.map(({ name }) => name))).toEqual([['a', 'b']]);
});

it('follows every change of a calendar, and is sent what has changed only', async () => {
  const calendars = new MemoryCalendars();
  const cache = cacheOver(calendars);
  const isOpen = async (atMs: number) =>
    (await cache.load(db, [jobWith(1, ['a'])])).get(1)?.apply(fireAt(atMs)).kind === 'open';
  calendars.put({ name: 'a', dates: ['2026-12-25'] });
  expect([await isOpen(christmas), await isOpen(easter)]).toEqual([false, true]);
  expect(calendars.sent).toEqual(['a']);
  calendars.put({ name: 'a', dates: ['2026-04-05'] }, { id: 1, revision: 2 });
  expect([await isOpen(christmas), await isOpen(easter)]).toEqual([true, false]);
  calendars.put({ name: 'a' }, { id: 2, revision: 1 });
  expect([await isOpen(christmas), await isOpen(easter)]).toEqual([true, true]);
  expect(calendars.sent).toEqual(['a', 'a', 'a']);
});

it('keeps as many calendars as it may, the most recently used, and serves more', async () => {
  const calendars = new MemoryCalendars();
  for (const name of ['a', 'b', 'c']) calendars.put({ name, dates: ['2026-12-25'] });
  const cache = cacheOver(calendars, 2);
  const found = await cache.load(db, [jobWith(1, ['a']), jobWith(2, ['b']), jobWith(3, ['c'])]);
  expect([1, 2, 3].map((id) => found.get(id)?.apply(fireAt(christmas)).kind)).toEqual(
    Array(3).fill('excluded'),
  );
  calendars.sent.length = 0;
  await cache.load(db, [jobWith(2, ['b'])]);
  await cache.load(db, [jobWith(1, ['a'])]);
  await cache.load(db, [jobWith(2, ['b'])]);
  expect(calendars.sent).toEqual(['a']);
});

it('answers from what it held when it asked, whatever other calls throw out meanwhile', async () => {
  const calendars = new MemoryCalendars();
  for (const name of ['a', 'b']) calendars.put({ name, dates: ['2026-12-25'] });
  const cache = cacheOver(calendars, 1);
  await cache.load(db, [jobWith(1, ['a'])]);
  const [again] = await Promise.all([
    cache.load(db, [jobWith(1, ['a'])]),
    cache.load(db, [jobWith(2, ['b'])]),
  ]);
  expect(again.get(1)?.apply(fireAt(christmas)).kind).toBe('excluded');
});

it.each([
  ['does not exist', 'gone', 'no calendar default/gone'],
  ['cannot be used', 'broken', 'calendar.time_zone: "Mars/Olympus" is no IANA time zone'],
])('fails only the jobs that name a calendar which %s, and only when they ask', async (_, name, message) => {
  const calendars = new MemoryCalendars();
  calendars.put({ name: 'broken', timeZone: 'Mars/Olympus' });
  calendars.put({ name: 'fine', dates: ['2026-12-25'] });
  const found = await cacheOver(calendars).load(db, [jobWith(1, [name]), jobWith(2, ['fine'])]);
  expect(found.get(2)?.apply(fireAt(christmas)).kind).toBe('excluded');
  const failing = found.get(1)!;
  expect(() => failing.apply(fireAt(christmas))).toThrow(message);
  expect(() => failing.lastOpenUntil(compileTimetable([], 1), 1, 0, [])).toThrow(message);
});
