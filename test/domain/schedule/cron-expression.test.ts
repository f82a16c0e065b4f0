import { describe, expect, it } from 'vitest';
import { CronSyntaxError, compileCron, everyMsOf } from '../../../src/domain/schedule/cron-expression.ts';
import { cronTimetable, firesAfter } from './schedules.ts';

/** A Sunday. */
const start = '2026-03-01T00:00:00Z';

const refusalOf = (expression: string): string => {
  try {
    compileCron(expression, 'UNIX', 1);
  } catch (error) {
    if (error instanceof CronSyntaxError) return error.message;
    throw error;
  }
  return 'accepted';
};

describe('what the dialect UNIX accepts', () => {
  it.each<[rule: string, expression: string, fires: string[]]>([
    ['takes five fields', '30 2 * * *', ['2026-03-01T02:30:00Z', '2026-03-02T02:30:00Z']],
    [
      'takes six fields with seconds first',
      '15 30 2 * * *',
      ['2026-03-01T02:30:15Z', '2026-03-02T02:30:15Z'],
    ],
    ['reads weekday 0 as Sunday', '0 9 * * 0', ['2026-03-01T09:00:00Z', '2026-03-08T09:00:00Z']],
    ['reads weekday 7 as Sunday', '0 9 * * 7', ['2026-03-01T09:00:00Z', '2026-03-08T09:00:00Z']],
    ['takes 0,7 as one Sunday', '0 9 * * 0,7', ['2026-03-01T09:00:00Z', '2026-03-08T09:00:00Z']],
    [
      'takes 5-7 as Friday to Sunday',
      '0 9 * * 5-7',
      ['2026-03-01T09:00:00Z', '2026-03-06T09:00:00Z', '2026-03-07T09:00:00Z', '2026-03-08T09:00:00Z'],
    ],
    [
      'takes FRI-SUN as Friday to Sunday',
      '0 9 * * FRI-SUN',
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
    [
      'takes a day of month that begins with * as unrestricted',
      '0 0 */2 * MON',
      ['2026-03-09T00:00:00Z', '2026-03-23T00:00:00Z', '2026-04-13T00:00:00Z'],
    ],
    [
      'takes a weekday that begins with * as unrestricted',
      '0 0 1-7 * */7',
      ['2026-04-05T00:00:00Z', '2026-05-03T00:00:00Z'],
    ],
    ['takes ? in the day of month as *', '0 0 ? * MON', ['2026-03-02T00:00:00Z', '2026-03-09T00:00:00Z']],
    ['takes ? in the weekday as *', '0 0 2 * ?', ['2026-03-02T00:00:00Z', '2026-04-02T00:00:00Z']],
    ['takes ? in both day fields as *', '0 0 ? * ?', ['2026-03-02T00:00:00Z', '2026-03-03T00:00:00Z']],
    [
      'takes L as the last day of the month',
      '0 0 L * *',
      ['2026-03-31T00:00:00Z', '2026-04-30T00:00:00Z', '2026-05-31T00:00:00Z'],
    ],
    ['takes L in leap and other years', '0 0 L 2 *', ['2027-02-28T00:00:00Z', '2028-02-29T00:00:00Z']],
    [
      'takes L-3 as three days before the last',
      '0 0 L-3 * *',
      ['2026-03-28T00:00:00Z', '2026-04-27T00:00:00Z'],
    ],
    [
      'takes L-30 in months of 31 days only',
      '0 0 L-30 * *',
      ['2026-05-01T00:00:00Z', '2026-07-01T00:00:00Z'],
    ],
    [
      'takes LW as the last weekday of the month',
      '0 0 LW * *',
      ['2026-03-31T00:00:00Z', '2026-04-30T00:00:00Z', '2026-05-29T00:00:00Z'],
    ],
    [
      'takes L-2W as the weekday nearest to two days before the last',
      '0 0 L-2W * *',
      ['2026-03-30T00:00:00Z', '2026-04-28T00:00:00Z', '2026-05-29T00:00:00Z'],
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
    [
      'keeps 31W in its month and leaves shorter months out',
      '0 0 31W * *',
      ['2026-03-31T00:00:00Z', '2026-05-29T00:00:00Z', '2026-07-31T00:00:00Z'],
    ],
    [
      'leaves months without a 31st out',
      '0 0 31 * *',
      ['2026-03-31T00:00:00Z', '2026-05-31T00:00:00Z', '2026-07-31T00:00:00Z'],
    ],
    ['takes 2#1 as the first Tuesday', '0 0 * * 2#1', ['2026-03-03T00:00:00Z', '2026-04-07T00:00:00Z']],
    [
      'takes FRI#5 in months that have one',
      '0 0 * * FRI#5',
      ['2026-05-29T00:00:00Z', '2026-07-31T00:00:00Z'],
    ],
    ['takes 5L as the last Friday', '0 0 * * 5L', ['2026-03-27T00:00:00Z', '2026-04-24T00:00:00Z']],
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
    ['takes 5-5 as 5', '5-5 * * * *', ['2026-03-01T00:05:00Z', '2026-03-01T01:05:00Z']],
    ['takes repeated items once', '5,5,5 * * * *', ['2026-03-01T00:05:00Z', '2026-03-01T01:05:00Z']],
    ['takes several blanks and tabs', '  5 \t 1   * *\t* ', ['2026-03-01T01:05:00Z', '2026-03-02T01:05:00Z']],
    ['takes names in any case', '0 0 * jun-Jul mon', ['2026-06-01T00:00:00Z', '2026-06-08T00:00:00Z']],
    ['takes day rules in any case', '0 0 lw * *', ['2026-03-31T00:00:00Z']],
    ['takes leading zeros', '05 01 * * *', ['2026-03-01T01:05:00Z']],
    ['fires on 29 February in leap years', '0 0 29 2 *', ['2028-02-29T00:00:00Z', '2032-02-29T00:00:00Z']],
    ['takes the last possible Monday of February', '0 0 * 2 MON#5', ['2044-02-29T00:00:00Z']],
  ])('%s: %s', (_, expression, fires) => {
    expect(firesAfter(cronTimetable(expression), start, fires.length)).toEqual(fires);
  });

  it.each([
    ['@yearly', '2027-01-01T00:00:00Z'],
    ['@Annually', '2027-01-01T00:00:00Z'],
    ['@MONTHLY', '2026-04-01T00:00:00Z'],
    ['@weekly', '2026-03-08T00:00:00Z'],
    ['@daily', '2026-03-02T00:00:00Z'],
    [' @midNight ', '2026-03-02T00:00:00Z'],
    ['@hourly', '2026-03-01T01:00:00Z'],
  ])('takes the alias %s in any case', (expression, fire) => {
    expect(firesAfter(cronTimetable(expression), start, 1)).toEqual([fire]);
  });

  it('takes 256 characters and 64 items', () => {
    const items = Array.from({ length: 64 }, (_, i) => i % 60).join(',');
    expect(refusalOf(`${items} * * * *`)).toBe('accepted');
    expect(refusalOf(`* * * * *${' '.repeat(247)}`)).toBe('accepted');
  });
});

describe('what the dialect UNIX refuses, naming field, position and what would be right', () => {
  it.each<[expression: string, message: string]>([
    ['', 'position 1: the expression is empty; five fields are needed, e.g. "0 2 * * *"'],
    [' \t ', 'position 1: the expression is empty; five fields are needed, e.g. "0 2 * * *"'],
    ['* * * *', 'position 1: it has 4 fields; write 5, or 6 with seconds first'],
    [' * * * * * * *', 'position 2: it has 7 fields; write 5, or 6 with seconds first'],
    ['60 * * * *', 'minute field, position 1: 60 is out of range; write 0 to 59'],
    ['0 24 * * *', 'hour field, position 3: 24 is out of range; write 0 to 23'],
    ['60 0 0 * * *', 'second field, position 1: 60 is out of range; write 0 to 59'],
    ['0 0 0 * *', 'day of month field, position 5: 0 is out of range; write 1 to 31'],
    ['0 0 32 * *', 'day of month field, position 5: 32 is out of range; write 1 to 31'],
    [
      '0 0 * 13 *',
      'month field, position 7: 13 is out of range; write 1 to 12 or JAN to DEC'.replace(
        ' or JAN to DEC',
        '',
      ),
    ],
    ['0 0 * * 8', 'day of week field, position 9: 8 is out of range; write 0 to 7'],
    ['22-4 * * * *', 'minute field, position 1: "22-4" runs backward; write two ranges, e.g. "22-23,0-4"'],
    ['0 22-4 * * *', 'hour field, position 3: "22-4" runs backward; write two ranges, e.g. "22-23,0-4"'],
    [
      '0 0 * * FRI-MON',
      'day of week field, position 9: "FRI-MON" runs backward; write two ranges, e.g. "22-23,0-4"',
    ],
    ['1,,2 * * * *', 'minute field, position 3: an item is empty; separate values by single commas'],
    ['1, * * * *', 'minute field, position 3: an item is empty; separate values by single commas'],
    ['5,*/2 * * * *', 'minute field, position 3: "*/2" cannot stand in a list; write it alone'],
    ['0 0 1,? * *', 'day of month field, position 7: "?" cannot stand in a list; write it alone'],
    ['? * * * *', 'minute field, position 1: "?" is no value; write 0 to 59'],
    ['0 0 * ? *', 'month field, position 7: "?" is no value; write 1 to 12 or JAN to DEC'],
    ['0 0 ?/2 * *', 'day of month field, position 5: "?" takes no step; write "*"'],
    ['*/0 * * * *', 'minute field, position 3: a step of 0 does not fit; write 1 to 60'],
    ['*/61 * * * *', 'minute field, position 3: a step of 61 does not fit; write 1 to 60'],
    ['0 */25 * * *', 'hour field, position 5: a step of 25 does not fit; write 1 to 24'],
    ['0 0 * * */8', 'day of week field, position 11: a step of 8 does not fit; write 1 to 7'],
    ['*/ * * * *', 'minute field, position 3: "" is no step; write a number behind "/"'],
    ['1/2/3 * * * *', 'minute field, position 3: "2/3" is no step; write a number behind "/"'],
    ['/5 * * * *', 'minute field, position 1: a value is missing; write 0 to 59'],
    ['-5 * * * *', 'minute field, position 1: a value is missing; write 0 to 59'],
    ['5- * * * *', 'minute field, position 3: a value is missing; write 0 to 59'],
    ['1-2-3 * * * *', 'minute field, position 3: "2-3" is no value; write 0 to 59'],
    ['0* * * * *', 'minute field, position 1: "0*" is no value; write 0 to 59'],
    ['1.5 * * * *', 'minute field, position 1: "1.5" is no value; write 0 to 59'],
    ['٣ * * * *', 'minute field, position 1: "٣" is no value; write 0 to 59'],
    ['0 0 * JANUARY *', 'month field, position 7: "JANUARY" is no value; write 1 to 12 or JAN to DEC'],
    ['0 0 * * MONDAY', 'day of week field, position 9: "MONDAY" is no value; write 0 to 7 or SUN to SAT'],
    ['0 0 * * JAN', 'day of week field, position 9: "JAN" is no value; write 0 to 7 or SUN to SAT'],
    [
      '0 0 * * L',
      'day of week field, position 9: "L" alone names no weekday; write e.g. FRIL for the last Friday',
    ],
    ['0 0 * * 5#6', 'day of week field, position 9: a month has no 6th weekday; write #1 to #5'],
    ['0 0 * * 5#0', 'day of week field, position 9: a month has no 0th weekday; write #1 to #5'],
    ['0 0 * * 5#L', 'day of week field, position 9: "5#L" is no value; write 0 to 7 or SUN to SAT'],
    ['0 0 * * L5', 'day of week field, position 9: "L5" is no value; write 0 to 7 or SUN to SAT'],
    ['0 0 W15 * *', 'day of month field, position 5: "W15" is no value; write 1 to 31'],
    ['0 0 WL * *', 'day of month field, position 5: "WL" is no value; write 1 to 31'],
    ['0 0 1-L * *', 'day of month field, position 7: "L" is no value; write 1 to 31'],
    ['0 0 L-31 * *', 'day of month field, position 5: "L-31" lies before every month; write L-1 to L-30'],
    ['0 0 32W * *', 'day of month field, position 5: 32 is out of range; write 1 to 31'],
    ['L * * * *', 'minute field, position 1: "L" is no value; write 0 to 59'],
    ['H(5-2) * * * *', 'minute field, position 1: "H(5-2)" runs backward'],
    ['H(0-60) * * * *', 'minute field, position 5: 60 is out of range; write 0 to 59'],
    ['H(x) * * * *', 'minute field, position 1: "H(x)" is no spread; write H, H/n or H(a-b)'],
    ['0 0 30 2 *', 'it never fires: none of its months has such a day'],
    ['0 0 31 2,4,6,9,11 *', 'it never fires: none of its months has such a day'],
    ['0 0 31W 4 *', 'it never fires: none of its months has such a day'],
    ['0 0 L-29 2 *', 'it never fires: none of its months has such a day'],
    ['0 0 30,31 2 ?', 'it never fires: none of its months has such a day'],
    ['@reboot', 'position 1: @reboot is not a time; call Trigger when your service starts'],
    ['@REBOOT', 'position 1: @reboot is not a time; call Trigger when your service starts'],
    ['TZ=Europe/Berlin 0 2 * * *', 'position 1: a zone is set by time_zone, not in the expression'],
    [' cron_tz=UTC 0 2 * * *', 'position 2: a zone is set by time_zone, not in the expression'],
    [
      '@fortnightly',
      'position 1: "@fortnightly" is unknown; use @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every 90s',
    ],
    [' '.repeat(257), 'position 257: longer than 256 characters'],
    [`${'1,'.repeat(64)}1 * * * *`, 'minute field, position 1: more than 64 items'],
    [
      `${'x'.repeat(60)} * * * *`,
      `minute field, position 1: "${'x'.repeat(40)}…" is no value; write 0 to 59`,
    ],
  ])('refuses %j', (expression, message) => {
    expect(refusalOf(expression)).toBe(message);
  });
});

describe('@every', () => {
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

  it.each(['@every 90', '@every s', '@every -5s', '@every 1d', '@every 5 m', '@every 1e9h', '@every 5m!'])(
    'refuses %j',
    (expression) => {
      const read = () => everyMsOf(expression) ?? compileCron(expression, 'UNIX', 1);
      expect(read).toThrow(CronSyntaxError);
    },
  );
});

describe('H', () => {
  const minuteOf = (expression: string, seed: number): number =>
    new Date(cronTimetable(expression, {}, seed).next(Date.parse(start), [])!.atMs).getUTCMinutes();
  const seeds = Array.from({ length: 60 }, (_, i) => 350_000_000_000_000 + i);

  it('stands for the same value whenever it is compiled with the same seed', () => {
    for (const seed of seeds) expect(minuteOf('H * * * *', seed)).toBe(minuteOf('H * * * *', seed));
  });

  it('spreads seeds that follow each other over the field', () => {
    expect(new Set(seeds.map((seed) => minuteOf('H * * * *', seed))).size).toBeGreaterThan(25);
  });

  it('stays within H(a-b)', () => {
    const minutes = seeds.map((seed) => minuteOf('H(10-14) * * * *', seed));
    expect(new Set(minutes)).toEqual(new Set([10, 11, 12, 13, 14]));
  });

  it('shifts H/n as a whole', () => {
    for (const seed of seeds) {
      const fires = firesAfter(cronTimetable('H/15 * * * *', {}, seed), start, 5).map((iso) =>
        Date.parse(iso),
      );
      const steps = fires.slice(1).map((fire, i) => fire - fires[i]!);
      expect(steps).toEqual([900_000, 900_000, 900_000, 900_000]);
    }
  });

  it('names a day that every month has', () => {
    for (const seed of seeds) {
      const fires = firesAfter(cronTimetable('H H H * *', {}, seed), '2026-01-31T23:59:59Z', 12);
      expect(fires.map((iso) => Number(iso.slice(5, 7)))).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1]);
    }
  });

  it('counts as a plain number, so the schedule is of fixed time', () => {
    expect(compileCron('H H * * *', 'UNIX', 7).isFixedTime).toBe(true);
    expect(compileCron('H/10 H * * *', 'UNIX', 7).isFixedTime).toBe(false);
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
