import { describe, expect, it } from 'vitest';
import { compileCron, everyMsOf } from '../../../src/domain/schedule/cron-expression.ts';
import { cronTimetable, firesAfter } from './schedules.ts';

/** A Sunday. */
const start = '2026-03-01T00:00:00Z';

describe('UNIX accepts', () => {
  it.each<[rule: string, expression: string, fires: string[]]>([
    [
      'takes 5-7 as Friday to Sunday',
      '0 9 * * 5-7',
      ['2026-03-01T09:00:00Z', '2026-03-06T09:00:00Z', '2026-03-07T09:00:00Z', '2026-03-08T09:00:00Z'],
    ],
    [
      'takes SUN-TUE as Sunday to Tuesday',
      '0 9 * * SUN-TUE',
      ['2026-03-01T09:00:00Z', '2026-03-02T09:00:00Z', '2026-03-03T09:00:00Z', '2026-03-08T09:00:00Z'],
    ],
    [
      'fires on a day that fits either day field when both are restricted',
      '0 0 13 * FRI',
      [
        '2026-03-06T00:00:00Z',
        '2026-03-13T00:00:00Z',
        '2026-03-20T00:00:00Z',
        '2026-03-27T00:00:00Z',
        '2026-04-03T00:00:00Z',
        '2026-04-10T00:00:00Z',
        '2026-04-13T00:00:00Z',
      ],
    ],
    ['takes L in leap and other years', '0 0 L 2 *', ['2027-02-28T00:00:00Z', '2028-02-29T00:00:00Z']],
    [
      'takes L-30 in months of 31 days only',
      '0 0 L-30 * *',
      ['2026-05-01T00:00:00Z', '2026-07-01T00:00:00Z'],
    ],
    [
      'takes 15W as the weekday nearest to the 15th',
      '0 0 15W * *',
      [
        '2026-03-16T00:00:00Z',
        '2026-04-15T00:00:00Z',
        '2026-05-15T00:00:00Z',
        '2026-06-15T00:00:00Z',
        '2026-07-15T00:00:00Z',
        '2026-08-14T00:00:00Z',
      ],
    ],
    [
      'keeps 1W in its month',
      '0 0 1W * *',
      [
        '2026-03-02T00:00:00Z',
        '2026-04-01T00:00:00Z',
        '2026-05-01T00:00:00Z',
        '2026-06-01T00:00:00Z',
        '2026-07-01T00:00:00Z',
        '2026-08-03T00:00:00Z',
      ],
    ],
    ['takes 2#1 as the first Tuesday', '0 0 * * 2#1', ['2026-03-03T00:00:00Z', '2026-04-07T00:00:00Z']],
    [
      'takes FRI#5 in months that have one',
      '0 0 * * FRI#5',
      ['2026-05-29T00:00:00Z', '2026-07-31T00:00:00Z'],
    ],
    [
      'takes SUNL and 7L as the last Sunday',
      '0 0 * * SUNL,7L',
      ['2026-03-29T00:00:00Z', '2026-04-26T00:00:00Z'],
    ],
    [
      'takes day rules in lists',
      '0 0 1,15W,L * *',
      ['2026-03-16T00:00:00Z', '2026-03-31T00:00:00Z', '2026-04-01T00:00:00Z', '2026-04-15T00:00:00Z'],
    ],
    [
      'takes weekday rules in lists',
      '0 0 * * MON#1,3,FRIL',
      [
        '2026-03-02T00:00:00Z',
        '2026-03-04T00:00:00Z',
        '2026-03-11T00:00:00Z',
        '2026-03-18T00:00:00Z',
        '2026-03-25T00:00:00Z',
        '2026-03-27T00:00:00Z',
      ],
    ],
    [
      'takes a/b as from a, every b',
      '5/20 * * * *',
      ['2026-03-01T00:05:00Z', '2026-03-01T00:25:00Z', '2026-03-01T00:45:00Z', '2026-03-01T01:05:00Z'],
    ],
    [
      'takes steps of ranges',
      '0 8-18/5 * * *',
      ['2026-03-01T08:00:00Z', '2026-03-01T13:00:00Z', '2026-03-01T18:00:00Z', '2026-03-02T08:00:00Z'],
    ],
    ['takes a step as wide as the field', '*/60 * * * *', ['2026-03-01T01:00:00Z', '2026-03-01T02:00:00Z']],
    ['takes names in any case', '0 0 * jun-Jul mon', ['2026-06-01T00:00:00Z', '2026-06-08T00:00:00Z']],
    ['takes day rules in any case', '0 0 lw * *', ['2026-03-31T00:00:00Z']],
    ['takes leading zeros', '05 01 * * *', ['2026-03-01T01:05:00Z']],
    ['fires on 29 February in leap years', '0 0 29 2 *', ['2028-02-29T00:00:00Z', '2032-02-29T00:00:00Z']],
    ['takes the last possible Monday of February', '0 0 * 2 MON#5', ['2044-02-29T00:00:00Z']],
  ])('%s: %s', (_, expression, fires) => {
    expect(firesAfter(cronTimetable(expression), start, fires.length)).toEqual(fires);
  });

  it('takes 256 characters and 64 items', () => {
    const items = Array.from({ length: 64 }, (_, i) => i % 60).join(',');
    expect(firesAfter(cronTimetable(`${items} * * * *`), start, 1)).toEqual(['2026-03-01T00:01:00Z']);
    expect(firesAfter(cronTimetable(`* * * * *${' '.repeat(247)}`), start, 1)).toEqual([
      '2026-03-01T00:01:00Z',
    ]);
  });
});

describe('QUARTZ accepts', () => {
  it.each<[rule: string, expression: string, fires: string[]]>([
    ['* as any year', '0 0 2 1 1 ? *', ['2027-01-01T02:00:00Z', '2028-01-01T02:00:00Z']],
    ['the last year', '0 0 2 1 1 ? 2199', ['2199-01-01T02:00:00Z']],
    [
      'steps of all years from 1970 on',
      '0 0 2 1 1 ? */100',
      ['2070-01-01T02:00:00Z', '2170-01-01T02:00:00Z'],
    ],
    ['years with a step', '0 0 2 29 2 ? 2025-2033/1', ['2028-02-29T02:00:00Z', '2032-02-29T02:00:00Z']],
    [
      'seconds that wrap',
      '58-1 0 2 * * ?',
      ['2026-03-01T02:00:00Z', '2026-03-01T02:00:01Z', '2026-03-01T02:00:58Z'],
    ],
    [
      'minutes that wrap, with a step that goes on',
      '0 50-10/15 2 * * ?',
      ['2026-03-01T02:05:00Z', '2026-03-01T02:50:00Z', '2026-03-02T02:05:00Z'],
    ],
    [
      'days that wrap',
      '0 0 2 31-2 * ?',
      ['2026-03-01T02:00:00Z', '2026-03-02T02:00:00Z', '2026-03-31T02:00:00Z'],
    ],
    ['a week from Sunday to Saturday', '0 0 2 ? * SUN-SAT', ['2026-03-01T02:00:00Z', '2026-03-02T02:00:00Z']],
    [
      'steps of weekdays from Sunday on',
      '0 0 2 ? * */3',
      ['2026-03-01T02:00:00Z', '2026-03-04T02:00:00Z', '2026-03-07T02:00:00Z'],
    ],
    [
      'weekdays from one on',
      '0 0 2 ? * 2/2',
      ['2026-03-02T02:00:00Z', '2026-03-04T02:00:00Z', '2026-03-06T02:00:00Z'],
    ],
    ['day rules in lower case', '0 0 2 ? * fril', ['2026-03-27T02:00:00Z']],
  ])('%s: %s', (_, expression, fires) => {
    expect(firesAfter(cronTimetable(expression, { dialect: 'QUARTZ' }), start, fires.length)).toEqual(fires);
  });
});

describe('@every becomes an interval', () => {
  it.each<[string, number | undefined]>([
    ['@every 90s', 90_000],
    ['@EVERY 5m', 300_000],
    [' @every  1h30m ', 5_400_000],
    ['@every 1.5s', 1_500],
    ['@every 250ms', 250],
    ['@every 1m5s20ms', 65_020],
    ['* * * * *', undefined],
    ['@every', undefined],
  ])('reads %j as %j milliseconds', (expression, everyMs) => {
    expect(everyMsOf(expression)).toBe(everyMs);
  });

  it('is none in QUARTZ', () => {
    expect(everyMsOf('@every 90s', 'QUARTZ')).toBeUndefined();
  });
});

it.each([
  ['0 2 * * *', true],
  ['0,30 2,14 * * *', true],
  ['0 0 2 * * MON-FRI', true],
  ['0-0 2 * * *', false],
  ['0 2/4 * * *', false],
  ['0 * * * *', false],
  ['* 0 2 * * *', false],
])('%s is of fixed time: %s', (expression, isFixedTime) => {
  expect(compileCron(expression, 'UNIX', 1).isFixedTime).toBe(isFixedTime);
});
