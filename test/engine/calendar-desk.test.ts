import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DomainError } from '../../src/domain/errors.ts';
import { CalendarDesk } from '../../src/engine/calendar-desk.ts';
import { type Database, run } from '../../src/store/database.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { calendarOf } from '../domain/schedule/calendars.ts';
import { caller } from '../support/caller.ts';
import { openDatabase } from '../support/open-database.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase();
let database: Database;
let store: Store;
let desk: CalendarDesk;

beforeAll(() => {
  database = openDatabase(testDatabase.url, 2);
  store = createStore(database);
  desk = new CalendarDesk({ store });
});

afterAll(() => database.close());

/** The error that an operation is refused with. */
async function refusalOf(answer: Promise<unknown>): Promise<DomainError> {
  const error = await answer.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(DomainError);
  return error as DomainError;
}

it('puts a calendar, gets it, replaces it and deletes it', async () => {
  const calendar = calendarOf({ name: 'whole life', dates: ['2026-12-25'] });
  const put = await desk.put(calendar, caller);
  expect(put).toMatchObject({ calendar, created: true });
  expect(await desk.get('default', 'whole life')).toEqual(put.calendar);
  expect(await desk.put({ ...calendar, dates: [] }, caller)).toMatchObject({
    calendar: { dates: [] },
    created: false,
  });
  expect(await desk.delete('default', 'whole life', caller)).toEqual({ existed: true });
  expect(await desk.delete('default', 'whole life', caller)).toEqual({ existed: false });
});

it('spells the zone of a calendar as IANA does', async () => {
  const { calendar } = await desk.put(calendarOf({ name: 'spelled', timeZone: 'europe/BERLIN' }), caller);
  expect(calendar.timeZone).toBe('Europe/Berlin');
});

it('refuses a calendar that cannot be understood, and stores nothing', async () => {
  const error = await refusalOf(desk.put(calendarOf({ name: 'odd', dates: ['2026-02-30'] }), caller));
  expect(error.details.violations).toMatchObject([{ field: 'calendar.dates[0]' }]);
  expect((await refusalOf(desk.get('default', 'odd'))).reason).toBe('CALENDAR_NOT_FOUND');
});

it('names the calendar that is not found', async () => {
  const error = await refusalOf(desk.get('team', 'nobody'));
  expect(error).toMatchObject({
    reason: 'CALENDAR_NOT_FOUND',
    message: 'no calendar team/nobody',
    details: { metadata: { calendar: 'team/nobody' }, resource: { type: 'calendar', name: 'team/nobody' } },
  });
});

it('does not delete a calendar in use, and names jobs that use it', async () => {
  await desk.put(calendarOf({ name: 'used' }), caller);
  const jobs = await run<{ id: number }>(
    store.db,
    `insert into carillon.job (namespace, group_name, name, description, labels, schedules, target, parameters,
                               priority, overlap, misfire, retry, attempt_timeout_ms)
     select 'default', 'nightly', 'report ' || n, '', '{}', '[]', '{}', '{}', 0, 'SKIP', '{}', '{}', 1000
       from generate_series(1, 6) n returning id`,
  );
  for (const { id } of jobs) {
    await store.transaction((tx) => store.calendars.use(tx, id, 'default', ['used']));
  }
  const error = await refusalOf(desk.delete('default', 'used', caller));
  const names = [1, 2, 3, 4, 5].map((n) => `default/nightly/report ${n}`).join(', ');
  expect(error).toMatchObject({
    reason: 'CALENDAR_IN_USE',
    message: `calendar default/used is used by ${names} and 1 more`,
    details: {
      metadata: { calendar: 'default/used', job_count: '6' },
      precondition: { type: 'CALENDAR_IN_USE', subject: 'default/used' },
    },
  });
  expect(await desk.get('default', 'used')).toMatchObject({ jobCount: 6 });
});

describe('listing', () => {
  const namespace = 'listed';
  const namesOf = async (size: number, token: string) => {
    const { calendars, nextPageToken } = await desk.list(namespace, { size, token });
    return { names: calendars.map(({ name }) => name), nextPageToken };
  };

  it('goes through a namespace by name, page by page, without an empty last page', async () => {
    for (const name of ['d', 'b', 'a', 'c']) await desk.put(calendarOf({ namespace, name }), caller);
    const first = await namesOf(2, '');
    expect(first.names).toEqual(['a', 'b']);
    expect(await namesOf(2, first.nextPageToken)).toEqual({ names: ['c', 'd'], nextPageToken: '' });
  });

  it.each([
    ['of another namespace', async () => (await namesOf(2, '')).nextPageToken],
    ['that is none', async () => 'x'],
  ])('refuses a page token %s', async (_, tokenOf) => {
    const error = await refusalOf(desk.list('other', { size: 2, token: await tokenOf() }));
    expect(error.reason).toBe('INVALID_PAGE_TOKEN');
  });
});
