import { describe, expect, it } from 'vitest';
import type { CronSchedule } from '../../../src/domain/schedule/schedule.ts';
import { cronTimetable, localFiresAfter } from './schedules.ts';

type Case = readonly [
  rule: string,
  expression: string,
  after: string,
  options: Partial<CronSchedule>,
  fires: readonly string[],
];

const gap = { gap: 'SKIP' } as const;

const cases: readonly Case[] = [
  // New York: 2026-03-08 02:00 → 03:00, 2026-11-01 02:00 → 01:00.
  [
    'moves 02:30 to the end of the gap',
    '30 2 * * *',
    '2026-03-07T12:00:00Z',
    { timeZone: 'America/New_York' },
    ['2026-03-08T03:00:00-04:00', '2026-03-09T02:30:00-04:00'],
  ],
  [
    'skips 02:30 on the day clocks go forward',
    '30 2 * * *',
    '2026-03-07T12:00:00Z',
    { timeZone: 'America/New_York', ...gap },
    ['2026-03-09T02:30:00-04:00'],
  ],
  [
    'runs 01:30 at the first of the two',
    '30 1 * * *',
    '2026-10-31T12:00:00Z',
    { timeZone: 'America/New_York' },
    ['2026-11-01T01:30:00-04:00', '2026-11-02T01:30:00-05:00'],
  ],
  [
    'runs 01:30 at the second of the two',
    '30 1 * * *',
    '2026-10-31T12:00:00Z',
    { timeZone: 'America/New_York', ambiguous: 'SECOND' },
    ['2026-11-01T01:30:00-05:00', '2026-11-02T01:30:00-05:00'],
  ],
  [
    'runs 01:30 at both',
    '30 1 * * *',
    '2026-10-31T12:00:00Z',
    { timeZone: 'America/New_York', ambiguous: 'BOTH' },
    ['2026-11-01T01:30:00-04:00', '2026-11-01T01:30:00-05:00', '2026-11-02T01:30:00-05:00'],
  ],
  [
    'keeps a frequent schedule at its distance through the gap',
    '*/30 * * * *',
    '2026-03-08T06:00:00Z',
    { timeZone: 'America/New_York' },
    ['2026-03-08T01:30:00-05:00', '2026-03-08T03:00:00-04:00', '2026-03-08T03:30:00-04:00'],
  ],
  [
    'keeps a frequent schedule at its distance through the overlap',
    '*/30 * * * *',
    '2026-11-01T05:00:00Z',
    { timeZone: 'America/New_York' },
    [
      '2026-11-01T01:30:00-04:00',
      '2026-11-01T01:00:00-05:00',
      '2026-11-01T01:30:00-05:00',
      '2026-11-01T02:00:00-05:00',
    ],
  ],
  [
    'never fires a frequent schedule in an hour that it does not name',
    '0 1-2 * * *',
    '2026-03-08T05:00:00Z',
    { timeZone: 'America/New_York' },
    ['2026-03-08T01:00:00-05:00', '2026-03-09T01:00:00-04:00'],
  ],
  // Berlin: 2026-03-29 02:00 → 03:00, 2026-10-25 03:00 → 02:00.
  [
    'moves 02:30 to the end of the gap',
    '30 2 * * *',
    '2026-03-28T12:00:00Z',
    { timeZone: 'Europe/Berlin' },
    ['2026-03-29T03:00:00+02:00', '2026-03-30T02:30:00+02:00'],
  ],
  [
    'runs once for two fixed times in one gap',
    '15,45 2 * * *',
    '2026-03-28T12:00:00Z',
    { timeZone: 'Europe/Berlin' },
    ['2026-03-29T03:00:00+02:00', '2026-03-30T02:15:00+02:00'],
  ],
  [
    'runs once when the gap ends at a fixed time of its own',
    '30 2,3 * * *',
    '2026-03-28T12:00:00Z',
    { timeZone: 'Europe/Berlin' },
    ['2026-03-29T03:00:00+02:00', '2026-03-29T03:30:00+02:00'],
  ],
  [
    'does not move what lies outside the gap',
    '0 3 * * *',
    '2026-03-28T12:00:00Z',
    { timeZone: 'Europe/Berlin' },
    ['2026-03-29T03:00:00+02:00', '2026-03-30T03:00:00+02:00'],
  ],
  [
    'skips 02:30 on the day clocks go forward',
    '30 2 * * *',
    '2026-03-28T12:00:00Z',
    { timeZone: 'Europe/Berlin', ...gap },
    ['2026-03-30T02:30:00+02:00'],
  ],
  [
    'runs 02:30 at the second of the two',
    '30 2 * * *',
    '2026-10-24T12:00:00Z',
    { timeZone: 'Europe/Berlin', ambiguous: 'SECOND' },
    ['2026-10-25T02:30:00+01:00', '2026-10-26T02:30:00+01:00'],
  ],
  [
    'fires every second through the overlap',
    '59 59 2 * * *',
    '2026-10-24T12:00:00Z',
    { timeZone: 'Europe/Berlin', ambiguous: 'BOTH' },
    ['2026-10-25T02:59:59+02:00', '2026-10-25T02:59:59+01:00'],
  ],
  // Lord Howe: half an hour. 2026-10-04 02:00 → 02:30, 2026-04-05 02:00 → 01:30.
  [
    'moves 02:15 to the end of a gap of half an hour',
    '15 2 * * *',
    '2026-10-03T02:00:00Z',
    { timeZone: 'Australia/Lord_Howe' },
    ['2026-10-04T02:30:00+11:00', '2026-10-05T02:15:00+11:00'],
  ],
  [
    'does not move 02:45',
    '45 2 * * *',
    '2026-10-03T02:00:00Z',
    { timeZone: 'Australia/Lord_Howe' },
    ['2026-10-03T02:45:00+10:30', '2026-10-04T02:45:00+11:00'].slice(1),
  ],
  [
    'runs 01:45 at both in an overlap of half an hour',
    '45 1 * * *',
    '2026-04-04T02:00:00Z',
    { timeZone: 'Australia/Lord_Howe', ambiguous: 'BOTH' },
    ['2026-04-05T01:45:00+11:00', '2026-04-05T01:45:00+10:30'],
  ],
  [
    'runs 01:15 once beside that overlap',
    '15 1 * * *',
    '2026-04-04T02:00:00Z',
    { timeZone: 'Australia/Lord_Howe', ambiguous: 'BOTH' },
    ['2026-04-05T01:15:00+11:00', '2026-04-06T01:15:00+10:30'],
  ],
  // Sao Paulo, historic: 2018-11-04 00:00 → 01:00, 2018-02-18 00:00 → 23:00 of the day before.
  [
    'moves midnight to the end of a gap at midnight',
    '0 0 * * *',
    '2018-11-03T12:00:00Z',
    { timeZone: 'America/Sao_Paulo' },
    ['2018-11-04T01:00:00-02:00', '2018-11-05T00:00:00-02:00'],
  ],
  [
    'runs 23:30 at both before midnight',
    '30 23 * * *',
    '2018-02-17T12:00:00Z',
    { timeZone: 'America/Sao_Paulo', ambiguous: 'BOTH' },
    ['2018-02-17T23:30:00-02:00', '2018-02-17T23:30:00-03:00', '2018-02-18T23:30:00-03:00'],
  ],
  [
    'has no change any more in 2026',
    '30 0 * * *',
    '2026-11-01T12:00:00Z',
    { timeZone: 'America/Sao_Paulo' },
    ['2026-11-02T00:30:00-03:00'],
  ],
  // Shanghai, historic: 1986-05-04 02:00 → 03:00, 1986-09-14 02:00 → 01:00.
  [
    'moves 02:30 in a gap of 1986',
    '30 2 * * *',
    '1986-05-03T12:00:00Z',
    { timeZone: 'Asia/Shanghai' },
    ['1986-05-04T03:00:00+09:00', '1986-05-05T02:30:00+09:00'],
  ],
  [
    'runs 01:30 at the second of the two in 1986',
    '30 1 * * *',
    '1986-09-13T12:00:00Z',
    { timeZone: 'Asia/Shanghai', ambiguous: 'SECOND' },
    ['1986-09-14T01:30:00+08:00', '1986-09-15T01:30:00+08:00'],
  ],
  [
    'has no change in 2026',
    '30 2 * * *',
    '2026-05-03T12:00:00Z',
    { timeZone: 'Asia/Shanghai' },
    ['2026-05-04T02:30:00+08:00'],
  ],
  // Others that people trip over.
  [
    'does not fire on a date that is missing',
    '0 12 30 12 *',
    '2010-12-31T12:00:00Z',
    { timeZone: 'Pacific/Apia' },
    ['2012-12-30T12:00:00+14:00'],
  ],
  [
    'goes on behind a missing date',
    '0 12 * * *',
    '2011-12-29T12:00:00Z',
    { timeZone: 'Pacific/Apia' },
    ['2011-12-29T12:00:00-10:00', '2011-12-31T12:00:00+14:00'],
  ],
  [
    'moves 01:30 to the end of a gap of two hours',
    '30 1 * * *',
    '2026-03-28T12:00:00Z',
    { timeZone: 'Antarctica/Troll' },
    ['2026-03-29T03:00:00+02:00', '2026-03-30T01:30:00+02:00'],
  ],
  [
    'moves midnight where clocks change at midnight',
    '0 0 * * *',
    '2026-03-28T12:00:00Z',
    { timeZone: 'Asia/Beirut' },
    ['2026-03-29T01:00:00+03:00', '2026-03-30T00:00:00+03:00'],
  ],
];

describe.each(
  cases.map(([rule, expression, after, options, fires]) => ({ rule, expression, after, options, fires })),
)('$options.timeZone', ({ rule, expression, after, options, fires }) => {
  it(`${rule} (${expression})`, () => {
    expect(localFiresAfter(cronTimetable(expression, options), after, fires.length)).toEqual(fires);
  });
});
