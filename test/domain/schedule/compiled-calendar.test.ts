import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../../../src/domain/errors.ts';
import type { Calendar, Weekday } from '../../../src/domain/schedule/calendar.ts';
import { compileCalendar } from '../../../src/domain/schedule/compiled-calendar.ts';
import { calendarOf, compiled, unixCron } from './calendars.ts';
import { cronTimetable } from './schedules.ts';

const berlin = 'Europe/Berlin';

describe('a calendar excludes', () => {
  it.each<[string, Partial<Calendar>, readonly string[], readonly string[]]>([
    [
      'a date from midnight to midnight',
      { dates: ['2026-12-25'] },
      ['2026-12-25T00:00:00.000Z', '2026-12-25T23:59:59.999Z'],
      ['2026-12-24T23:59:59.999Z', '2026-12-26T00:00:00.000Z', '2027-12-25T12:00:00Z'],
    ],
    [
      'a date by the midnights of its zone',
      { timeZone: berlin, dates: ['2026-12-25'] },
      ['2026-12-24T23:00:00Z', '2026-12-25T22:59:59.999Z'],
      ['2026-12-24T22:59:59.999Z', '2026-12-25T23:00:00Z'],
    ],
    [
      'a range with both its days',
      { dateRanges: [{ firstDate: '2026-12-24', lastDate: '2027-01-02' }] },
      ['2026-12-24T00:00:00Z', '2026-12-31T12:00:00Z', '2027-01-02T23:59:59Z'],
      ['2026-12-23T23:59:59Z', '2027-01-03T00:00:00Z'],
    ],
    [
      'ranges and dates that overlap or meet, as a union',
      {
        dates: ['2026-01-05', '2026-01-10'],
        dateRanges: [
          { firstDate: '2026-01-01', lastDate: '2026-01-06' },
          { firstDate: '2026-01-02', lastDate: '2026-01-03' },
          { firstDate: '2026-01-07', lastDate: '2026-01-08' },
        ],
      },
      ['2026-01-01T00:00:00Z', '2026-01-06T00:00:00Z', '2026-01-08T00:00:00Z', '2026-01-10T00:00:00Z'],
      ['2025-12-31T00:00:00Z', '2026-01-09T00:00:00Z', '2026-01-11T00:00:00Z'],
    ],
    [
      'days of every week',
      { weekdays: ['SATURDAY', 'SUNDAY'] },
      ['2026-03-07T12:00:00Z', '2026-03-08T12:00:00Z', '1970-01-03T12:00:00Z'],
      ['2026-03-06T12:00:00Z', '2026-03-09T12:00:00Z', '1970-01-01T12:00:00Z'],
    ],
    [
      'days of every year',
      { yearlyDays: ['12-25', '01-31'] },
      ['1999-12-25T00:00:00Z', '2026-12-25T00:00:00Z', '2026-01-31T00:00:00Z'],
      ['2026-12-24T00:00:00Z', '2026-11-25T00:00:00Z', '2026-03-31T00:00:00Z'],
    ],
    [
      '29 February in leap years only',
      { yearlyDays: ['02-29'] },
      ['2028-02-29T12:00:00Z'],
      ['2026-02-28T12:00:00Z', '2026-03-01T12:00:00Z', '2028-02-28T12:00:00Z', '2028-03-01T12:00:00Z'],
    ],
    [
      'whole minutes by an expression without seconds',
      { crons: [unixCron('30 2 * * *')] },
      ['2026-03-01T02:30:00.000Z', '2026-03-01T02:30:59.999Z'],
      ['2026-03-01T02:29:59.999Z', '2026-03-01T02:31:00Z'],
    ],
    [
      'whole seconds by an expression with seconds',
      { crons: [unixCron('0 30 2 * * *')] },
      ['2026-03-01T02:30:00.000Z', '2026-03-01T02:30:00.999Z'],
      ['2026-03-01T02:29:59.999Z', '2026-03-01T02:30:01Z'],
    ],
    [
      'whole seconds by any expression in the Quartz dialect',
      { crons: [{ expression: '0 30 2 * * ?', dialect: 'QUARTZ' }] },
      ['2026-03-01T02:30:00.500Z'],
      ['2026-03-01T02:30:01Z'],
    ],
    [
      'the minute that an alias names',
      { crons: [unixCron('@daily')] },
      ['2026-03-01T00:00:59.999Z'],
      ['2026-03-01T00:01:00Z', '2026-02-28T23:59:59.999Z'],
    ],
    [
      'hours of some days, by the clocks of the zone',
      { timeZone: berlin, crons: [unixCron('* 0-7 * * MON-FRI')] },
      ['2026-03-01T23:00:00Z', '2026-03-02T06:59:59.999Z'],
      ['2026-03-02T07:00:00Z', '2026-03-01T22:59:59.999Z', '2026-03-07T01:00:00Z'],
    ],
    [
      'the last Friday of a month',
      { crons: [unixCron('* * * * FRIL')] },
      ['2026-03-27T00:00:00Z', '2026-03-27T23:59:59Z', '2026-04-24T12:00:00Z'],
      ['2026-03-20T12:00:00Z', '2026-03-26T23:59:59Z', '2026-03-28T00:00:00Z'],
    ],
    [
      'nothing for a local time that clocks jump over: nothing is moved to the end of the gap',
      { timeZone: berlin, crons: [unixCron('30 2 * * *')] },
      ['2026-03-28T01:30:00Z', '2026-03-30T00:30:00Z'],
      ['2026-03-29T00:59:59Z', '2026-03-29T01:00:00Z', '2026-03-29T01:30:00Z'],
    ],
    [
      'both times that clocks show twice',
      { timeZone: berlin, crons: [unixCron('30 2 * * *')] },
      ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z'],
      ['2026-10-25T00:31:00Z', '2026-10-25T02:30:00Z'],
    ],
    [
      'nothing for a date that a zone does not have',
      { timeZone: 'Pacific/Apia', dates: ['2011-12-30'] },
      [],
      ['2011-12-30T09:59:59Z', '2011-12-30T10:00:00Z'],
    ],
    [
      'nothing when it has no part',
      {},
      [],
      ['1970-01-01T00:00:00Z', '2026-03-01T12:00:00Z', '2199-12-31T23:59:59Z'],
    ],
  ])('%s', (_, parts, excluded, open) => {
    const calendar = compiled(parts);
    const isExcluded = (instant: string): boolean => calendar.excludes(Date.parse(instant));
    expect(excluded.filter((instant) => !isExcluded(instant))).toEqual([]);
    expect(open.filter(isExcluded)).toEqual([]);
  });
});

describe('what is excluded begins', () => {
  it.each<[string, Partial<Calendar>, string, string]>([
    [
      'at the first day of a range',
      { dateRanges: [{ firstDate: '2026-01-01', lastDate: '2026-12-31' }] },
      '2026-11-11T11:11:11.111Z',
      '2026-01-01T00:00:00Z',
    ],
    [
      'at the first of several kinds of days that follow each other',
      {
        weekdays: ['SATURDAY', 'SUNDAY'],
        yearlyDays: ['03-06'],
        dates: ['2026-03-05'],
        crons: [unixCron('* 20-23 * * WED')],
      },
      '2026-03-08T12:00:00Z',
      '2026-03-04T20:00:00Z',
    ],
    [
      'at midnight of the zone, through a change of clocks',
      { timeZone: berlin, weekdays: ['SUNDAY'] },
      '2026-03-29T21:00:00Z',
      '2026-03-28T23:00:00Z',
    ],
    [
      'at the first of two midnights, where clocks go back over one',
      { timeZone: 'America/Havana', dates: ['2026-11-01'] },
      '2026-11-01T06:00:00Z',
      '2026-11-01T04:00:00Z',
    ],
    ['at the minute', { crons: [unixCron('*/2 * * * *')] }, '2026-03-01T12:02:30Z', '2026-03-01T12:02:00Z'],
    ['at the second', { crons: [unixCron('5 * * * * *')] }, '2026-03-01T12:02:05.9Z', '2026-03-01T12:02:05Z'],
    [
      'at the hour, where every minute is excluded',
      { crons: [unixCron('* 8 * * *')] },
      '2026-03-01T08:59:00Z',
      '2026-03-01T08:00:00Z',
    ],
  ])('%s', (_, parts, instant, start) => {
    const ms = compiled(parts).startOfExclusion(Date.parse(instant));
    expect(new Date(ms).toISOString()).toBe(new Date(start).toISOString());
  });

  it('400 days before at most, where every day is excluded', () => {
    const all = compiled({ crons: [unixCron('* * * * *')] });
    const ms = Date.parse('2026-03-01T12:00:00Z');
    const days = (ms - all.startOfExclusion(ms)) / 86_400_000;
    expect(days).toBeGreaterThan(390);
    expect(days).toBeLessThanOrEqual(400);
  });
});

describe('a calendar is refused with the field, and what would be right, when', () => {
  const many = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item);

  it.each<[string, Partial<Calendar>, string, RegExp, string]>([
    ['a date is no date', { dates: ['2026-1-1'] }, 'calendar.dates[0]', /write one like/, 'INVALID_ARGUMENT'],
    [
      'a date does not exist',
      { dates: ['2026-12-25', '2028-02-29', '2026-02-29'] },
      'calendar.dates[2]',
      /2026-02-29 does not exist/,
      'INVALID_ARGUMENT',
    ],
    ['a month does not exist', { dates: ['2026-13-01'] }, 'calendar.dates[0]', /exist/, 'INVALID_ARGUMENT'],
    ['a day is zero', { dates: ['2026-01-00'] }, 'calendar.dates[0]', /exist/, 'INVALID_ARGUMENT'],
    [
      'a year is too early',
      { dates: ['1969-12-31'] },
      'calendar.dates[0]',
      /1970 to 2199/,
      'INVALID_ARGUMENT',
    ],
    [
      'a year is too late',
      { dates: ['2200-01-01'] },
      'calendar.dates[0]',
      /1970 to 2199/,
      'INVALID_ARGUMENT',
    ],
    [
      'a range runs backward',
      { dateRanges: [{ firstDate: '2026-12-24', lastDate: '2026-12-23' }] },
      'calendar.date_ranges[0].last_date',
      /write 2026-12-24 or later/,
      'INVALID_ARGUMENT',
    ],
    [
      'a range begins at no date',
      { dateRanges: [{ firstDate: '', lastDate: '2026-12-23' }] },
      'calendar.date_ranges[0].first_date',
      /"" is no date/,
      'INVALID_ARGUMENT',
    ],
    [
      'a day of the year does not exist',
      { yearlyDays: ['02-29', '02-30'] },
      'calendar.yearly_days[1]',
      /02-30 does not exist in any year/,
      'INVALID_ARGUMENT',
    ],
    [
      'a day of the year is none',
      { yearlyDays: ['2-3'] },
      'calendar.yearly_days[0]',
      /like "12-25"/,
      'INVALID_ARGUMENT',
    ],
    [
      'the zone is unknown',
      { timeZone: 'Mars/Olympus' },
      'calendar.time_zone',
      /"Mars\/Olympus" is no IANA time zone/,
      'INVALID_SCHEDULE',
    ],
    [
      'an expression cannot be understood',
      { crons: [unixCron('0 1 * * *'), unixCron('0 25 * * *')] },
      'calendar.crons[1].expression',
      /hour field, position 3: .*write 0 to 23/,
      'INVALID_SCHEDULE',
    ],
    [
      'an expression is spread by the id of a job',
      { crons: [unixCron('0 h(1-3)/2 * * *')] },
      'calendar.crons[0].expression',
      /position 3: .*write a number/,
      'INVALID_SCHEDULE',
    ],
    [
      'a list is spread by the id of a job',
      { crons: [unixCron('1,H * * * THU')] },
      'calendar.crons[0].expression',
      /position 3: /,
      'INVALID_SCHEDULE',
    ],
    [
      'an expression is an interval',
      { crons: [unixCron(' @every 90s')] },
      'calendar.crons[0].expression',
      /position 2: @every/,
      'INVALID_SCHEDULE',
    ],
    [
      'it has too many dates',
      { dates: many(1_001, '2026-12-25') },
      'calendar.dates',
      /1001 items; write at most 1000/,
      'INVALID_ARGUMENT',
    ],
    [
      'it has too many expressions',
      { crons: many(21, unixCron('0 1 * * *')) },
      'calendar.crons',
      /at most 20/,
      'INVALID_ARGUMENT',
    ],
  ])('%s', (_, parts, field, description, reason) => {
    const refused = (): unknown => compileCalendar(calendarOf(parts));
    expect(refused).toThrow(DomainError);
    expect(refused).toThrow(
      expect.objectContaining({
        reason,
        details: expect.objectContaining({
          violations: [{ field, description: expect.stringMatching(description) }],
        }),
      }),
    );
  });

  it('it is put under another path, which the field then begins with', () => {
    expect(() => compileCalendar(calendarOf({ dates: ['x'] }), 'calendars[3]')).toThrow(
      /^calendars\[3\]\.dates\[0\]: /,
    );
  });
});

/** What the clocks of a zone show, asked of Intl and not of the zone tables. */
function shownAt(ms: number, zone: string): { date: string; weekday: string; hour: number; minute: number } {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    weekday: 'long',
    hour: '2-digit',
    minute: '2-digit',
  });
  const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
  return {
    date: `${part.year}-${part.month}-${part.day}`,
    weekday: part.weekday!.toUpperCase(),
    hour: Number(part.hour),
    minute: Number(part.minute),
  };
}

/** Days of 2025 to 2028, as text. */
const dates = fc
  .integer({ min: Date.UTC(2025, 0, 1) / 86_400_000, max: Date.UTC(2028, 11, 31) / 86_400_000 })
  .map((day) => new Date(day * 86_400_000).toISOString().slice(0, 10));

const calendars = fc.record({
  timeZone: fc.constantFrom('UTC', berlin, 'America/Havana', 'Australia/Lord_Howe', 'Asia/Kolkata'),
  dates: fc.array(dates, { maxLength: 8 }),
  dateRanges: fc.array(
    fc.tuple(dates, dates).map((pair) => {
      const [firstDate, lastDate] = pair.toSorted();
      return { firstDate: firstDate!, lastDate: lastDate! };
    }),
    { maxLength: 2 },
  ),
  weekdays: fc.uniqueArray(
    fc.constantFrom<Weekday>('MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY', 'SUNDAY'),
    { maxLength: 3 },
  ),
  yearlyDays: fc.array(
    dates.map((date) => date.slice(5)),
    { maxLength: 8 },
  ),
  hours: fc.uniqueArray(fc.integer({ min: 0, max: 23 }), { maxLength: 4 }),
  minutes: fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { maxLength: 30 }),
});

const instants = fc.integer({ min: Date.UTC(2025, 0, 2), max: Date.UTC(2028, 11, 30) });

/** Changes of clocks, with some hours around them. */
const changes = fc
  .tuple(
    fc.constantFrom('2026-03-29T01:00Z', '2026-10-25T01:00Z', '2026-11-01T05:00Z', '2026-04-04T15:00Z'),
    fc.integer({ min: -14_400_000, max: 100_000_000 }),
  )
  .map(([change, ms]) => Date.parse(change) + ms);

const moments = fc.oneof(instants, changes);

const compiledFrom = ({
  hours,
  minutes,
  ...parts
}: Pick<Calendar, 'timeZone'> & { hours: number[]; minutes: number[] }) =>
  compiled({
    ...parts,
    crons: hours.length > 0 ? [unixCron(`${minutes.join(',') || '*'} ${hours.join(',')} * * *`)] : [],
  });

describe('a compiled calendar', () => {
  it('excludes exactly what a reading of its parts by local time does', () => {
    fc.assert(
      fc.property(calendars, moments, (parts, ms) => {
        const { date, weekday, hour, minute } = shownAt(ms, parts.timeZone);
        const expected =
          parts.dates.includes(date) ||
          parts.dateRanges.some(({ firstDate, lastDate }) => firstDate <= date && date <= lastDate) ||
          parts.weekdays.includes(weekday as Weekday) ||
          parts.yearlyDays.includes(date.slice(5)) ||
          (parts.hours.includes(hour) && (parts.minutes.length === 0 || parts.minutes.includes(minute)));
        expect(compiledFrom(parts).excludes(ms)).toBe(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  it('excludes everything from the start of an exclusion on, wherever one looks', () => {
    fc.assert(
      fc.property(calendars, moments, fc.double({ min: 0, max: 1, noNaN: true }), (parts, ms, share) => {
        const calendar = compiledFrom(parts);
        const start = calendar.startOfExclusion(ms);
        if (!calendar.excludes(ms)) return start === ms;
        const between = start + Math.floor((ms - start) * share);
        return start <= ms && calendar.excludes(start) && calendar.excludes(between);
      }),
      { numRuns: 1_000 },
    );
  });

  it('excludes by an expression exactly the seconds at which a schedule of it fires, where clocks do not change', () => {
    const expressions = fc.constantFrom(
      '0 0 12 29 2 *',
      '*/7 * 5-9 * * 1#1',
      '30 0 0 L-3 * *',
      '* * 4 1,15W */2 5L',
      '0 */20 9-17 13 * FRI',
    );
    const shares = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(expressions, instants, shares, (expression, afterMs, share) => {
        const calendar = compiled({ crons: [unixCron(expression)] });
        const fireMs = cronTimetable(expression).next(afterMs, [])!.atMs;
        expect([calendar.excludes(fireMs), calendar.excludes(fireMs + 999)]).toEqual([true, true]);
        const between = Math.floor((afterMs + (fireMs - 1 - afterMs) * share) / 1_000) * 1_000;
        if (between > afterMs) expect(calendar.excludes(between)).toBe(false);
      }),
    );
  });
});
