import { describe, expect, it } from 'vitest';
import type { CronDialect } from '../../../src/domain/schedule/schedule.ts';
import { cronTimetable, firesAfter } from './schedules.ts';

/**
 * The points where the world disagrees about cron, each with what both dialects
 * do: fire times after a Sunday midnight, or the refusal.
 */

const start = '2026-03-01T00:00:00Z';

type Outcome = readonly string[] | RegExp;
type Case = readonly [expression: string, outcome: Outcome];
type Point = { readonly point: string; readonly UNIX: readonly Case[]; readonly QUARTZ: readonly Case[] };

const daily = ['2026-03-01T02:00:00Z', '2026-03-02T02:00:00Z'];
const everyWeekday = ['2026-03-02T00:00:00Z', '2026-03-03T00:00:00Z', '2026-03-04T00:00:00Z'];
const lastDays = ['2026-03-31T00:00:00Z', '2026-04-30T00:00:00Z'];
const mondays = ['2026-03-02T00:00:00Z', '2026-03-09T00:00:00Z'];
const sundays = ['2026-03-08T00:00:00Z', '2026-03-15T00:00:00Z'];
const saturdays = ['2026-03-07T00:00:00Z', '2026-03-14T00:00:00Z'];
const longMonths = ['2026-03-31T00:00:00Z', '2026-05-31T00:00:00Z'];

const points: readonly Point[] = [
  {
    point: 'fields: 5 or 6 with seconds first, against 6 or 7 with the year last',
    UNIX: [
      ['0 2 * * *', daily],
      ['0 0 2 * * *', daily],
      ['2 * * *', /it has 4 fields; write 5, or 6 with seconds first/],
      ['0 0 2 * * * 2026', /it has 7 fields; write 5, or 6 with seconds first/],
    ],
    QUARTZ: [
      ['0 0 2 * * ?', daily],
      ['0 0 2 1 3 ? 2026,2028-2029', [daily[0]!, '2028-03-01T02:00:00Z', '2029-03-01T02:00:00Z']],
      ['0 2 * * *', /it has 5 fields; write 6 with seconds first, or 7 with the year last/],
      ['0 0 2 * * ? * *', /it has 8 fields/],
      ['0 0 2 * * ? 1969', /year field, position 13: 1969 is out of range; write 1970 to 2199/],
      ['0 0 2 * * ? 2200', /year field, position 13: 2200 is out of range; write 1970 to 2199/],
    ],
  },
  {
    point: 'weekday numbers: 0 and 7 are Sunday, against 1 is Sunday',
    UNIX: [
      ['0 0 * * 0', sundays],
      ['0 0 * * 7', sundays],
      ['0 0 * * 1', mondays],
      ['0 0 * * 8', /day of week field, position 9: 8 is out of range; write 0 to 7/],
    ],
    QUARTZ: [
      ['0 0 0 ? * 1', sundays],
      ['0 0 0 ? * 7', saturdays],
      ['0 0 0 ? * 2', mondays],
      ['0 0 0 ? * 0', /day of week field, position 11: 0 is out of range; write 1 to 7/],
    ],
  },
  {
    point: 'both day fields restricted: either matches, against refused',
    UNIX: [
      ['0 0 3 * MON', ['2026-03-02T00:00:00Z', '2026-03-03T00:00:00Z', '2026-03-09T00:00:00Z']],
      // A field that begins with "*" is unrestricted, so that both must match.
      ['0 0 */2 * MON', ['2026-03-09T00:00:00Z', '2026-03-23T00:00:00Z']],
      ['0 0 1-7 * */7', ['2026-04-05T00:00:00Z', '2026-05-03T00:00:00Z']],
    ],
    QUARTZ: [
      ['0 0 0 3 * MON', /day of week field, position 11: the day of month is set as well; write "\?" in one/],
      ['0 0 0 */2 * MON', /day of week field, position 13: the day of month is set as well/],
      ['0 0 0 * * MON', mondays],
      ['0 0 0 31 * *', longMonths],
      ['0 0 2 * * *', daily],
    ],
  },
  {
    point: '? stands in day fields only',
    UNIX: [
      ['0 0 ? * MON', mondays],
      ['0 0 31 * ?', longMonths],
      ['0 2 ? * ?', daily],
      ['? 2 * * *', /minute field, position 1: "\?" is no value/],
    ],
    QUARTZ: [
      ['0 0 0 ? * MON', mondays],
      ['0 0 2 ? * ?', daily],
      ['0 0 2 1 ? *', /month field, position 9: "\?" is no value/],
      ['0 0 2 1 1 ? ?', /year field, position 13: "\?" is no value/],
    ],
  },
  {
    point: 'L, L-n, LW, nW, n#k, nL; L alone as weekday is refused, against Saturday',
    UNIX: [
      ['0 0 L * *', lastDays],
      ['0 0 L-3 * *', ['2026-03-28T00:00:00Z', '2026-04-27T00:00:00Z']],
      ['0 0 LW * *', ['2026-03-31T00:00:00Z', '2026-04-30T00:00:00Z', '2026-05-29T00:00:00Z']],
      ['0 0 15W * *', ['2026-03-16T00:00:00Z', '2026-04-15T00:00:00Z']],
      ['0 0 * * 5#3', ['2026-03-20T00:00:00Z', '2026-04-17T00:00:00Z']],
      ['0 0 * * 5L', ['2026-03-27T00:00:00Z', '2026-04-24T00:00:00Z']],
      ['0 0 * * L', /day of week field, position 9: "L" alone names no weekday; write e\.g\. FRIL/],
    ],
    QUARTZ: [
      ['0 0 0 L * ?', lastDays],
      ['0 0 0 L-3 * ?', ['2026-03-28T00:00:00Z', '2026-04-27T00:00:00Z']],
      ['0 0 0 LW * ?', ['2026-03-31T00:00:00Z', '2026-04-30T00:00:00Z', '2026-05-29T00:00:00Z']],
      ['0 0 0 15W * ?', ['2026-03-16T00:00:00Z', '2026-04-15T00:00:00Z']],
      ['0 0 0 ? * 6#3', ['2026-03-20T00:00:00Z', '2026-04-17T00:00:00Z']],
      ['0 0 0 ? * 6L', ['2026-03-27T00:00:00Z', '2026-04-24T00:00:00Z']],
      ['0 0 0 ? * L', saturdays],
    ],
  },
  {
    point: 'a/b is from a, every b',
    UNIX: [['5/25 0 * * *', ['2026-03-01T00:05:00Z', '2026-03-01T00:30:00Z', '2026-03-01T00:55:00Z']]],
    QUARTZ: [
      ['0 5/25 0 * * ?', ['2026-03-01T00:05:00Z', '2026-03-01T00:30:00Z', '2026-03-01T00:55:00Z']],
      ['0 0 0 1 1 ? 2027/3', ['2027-01-01T00:00:00Z', '2030-01-01T00:00:00Z', '2033-01-01T00:00:00Z']],
    ],
  },
  {
    point: 'ranges that wrap: refused, against accepted',
    UNIX: [
      ['0 22-4 * * *', /hour field, position 3: "22-4" runs backward; write two ranges, "22-23,0-4"/],
      ['0 0 * * FRI-MON', /position 9: "FRI-MON" runs backward; write two ranges, "FRI-SAT,SUN-MON"/],
    ],
    QUARTZ: [
      ['0 0 22-1 * * ?', ['2026-03-01T01:00:00Z', '2026-03-01T22:00:00Z', '2026-03-01T23:00:00Z']],
      ['0 0 22-4/3 * * ?', ['2026-03-01T01:00:00Z', '2026-03-01T04:00:00Z', '2026-03-01T22:00:00Z']],
      ['0 0 0 ? * FRI-MON', [mondays[0]!, '2026-03-06T00:00:00Z', saturdays[0]!, sundays[0]!, mondays[1]!]],
      ['0 0 0 ? * FRI-TUE/2', ['2026-03-03T00:00:00Z', '2026-03-06T00:00:00Z', '2026-03-08T00:00:00Z']],
      ['0 0 0 1 NOV-FEB ?', ['2026-11-01T00:00:00Z', '2026-12-01T00:00:00Z', '2027-01-01T00:00:00Z']],
      ['0 0 0 1 NOV-FEB/3 ?', ['2026-11-01T00:00:00Z', '2027-02-01T00:00:00Z', '2027-11-01T00:00:00Z']],
      ['0 0 2 1 1 ? 2030-2028', /year field, position 13: "2030-2028" runs backward; write the earlier year/],
    ],
  },
  {
    point: '5-5, repeated items, blanks, tabs and lower case are fine',
    UNIX: [
      ['5-5 2 * * *', ['2026-03-01T02:05:00Z', '2026-03-02T02:05:00Z']],
      ['0,0 2,2 * * *', daily],
      ['0 0 * * 0,7', sundays],
      ['0 0 * * fri-sun', ['2026-03-06T00:00:00Z', saturdays[0]!, sundays[0]!, '2026-03-13T00:00:00Z']],
      ['  0 \t 2  * *  * ', daily],
    ],
    QUARTZ: [
      ['0 5-5 2 * * ?', ['2026-03-01T02:05:00Z', '2026-03-02T02:05:00Z']],
      ['0,0 0 2,2 * * ?', daily],
      ['0 0 0 ? * 1,SUN', sundays],
      ['0 0 0 ? * fri-sun', ['2026-03-06T00:00:00Z', saturdays[0]!, sundays[0]!, '2026-03-13T00:00:00Z']],
      ['  0 \t 0 2  * *  ? ', daily],
    ],
  },
  {
    point: 'a list takes numbers, names, ranges, steps and day rules, never * or ?',
    UNIX: [
      ['0 0 2,4-6/2,20/5,LW * *', ['2026-03-02T00:00:00Z', '2026-03-04T00:00:00Z', '2026-03-06T00:00:00Z']],
      ['0 0 * * MON#1,3,5L', [mondays[0]!, '2026-03-04T00:00:00Z', '2026-03-11T00:00:00Z']],
      ['5,* * * * *', /minute field, position 3: "\*" cannot stand in a list; write it alone/],
      ['0 0 1,? * *', /day of month field, position 7: "\?" cannot stand in a list/],
    ],
    QUARTZ: [
      ['0 0 0 2,4-6/2,20/5,LW * ?', ['2026-03-02T00:00:00Z', '2026-03-04T00:00:00Z', '2026-03-06T00:00:00Z']],
      ['0 0 0 ? * MON#1,4,6L,L', [mondays[0]!, '2026-03-04T00:00:00Z', saturdays[0]!]],
      ['0 0 0 1 1 ? 2030,*', /year field, position 18: "\*" cannot stand in a list/],
      ['0 0 0 ? * ?,MON', /day of week field, position 11: "\?" cannot stand in a list/],
    ],
  },
  {
    point: 'L-nW is accepted; W15, WL, 1-L, 5#L and L5 are refused',
    UNIX: [
      ['0 0 L-2W * *', ['2026-03-30T00:00:00Z', '2026-04-28T00:00:00Z', '2026-05-29T00:00:00Z']],
      ...['0 0 W15 * *', '0 0 WL * *', '0 0 1-L * *', '0 0 * * 5#L', '0 0 * * L5'].map(
        (expression): Case => [expression, /is no value; write/],
      ),
    ],
    QUARTZ: [
      ['0 0 0 L-2W * ?', ['2026-03-30T00:00:00Z', '2026-04-28T00:00:00Z', '2026-05-29T00:00:00Z']],
      ...['0 0 0 W15 * ?', '0 0 0 WL * ?', '0 0 0 1-L * ?', '0 0 0 ? * 5#L', '0 0 0 ? * L5'].map(
        (expression): Case => [expression, /is no value; write/],
      ),
    ],
  },
  {
    point: 'a year list that is over never fires',
    UNIX: [],
    QUARTZ: [
      ['0 0 2 1 1 ? 1970-2025', []],
      ['0 0 2 29 2 ? 2025,2026,2027', []],
      ['0 0 2 1 2 ? 2026', []],
    ],
  },
  {
    point: '31 and 31W do not fire in a shorter month',
    UNIX: [
      ['0 0 31 * *', longMonths],
      ['0 0 31W * *', ['2026-03-31T00:00:00Z', '2026-05-29T00:00:00Z']],
    ],
    QUARTZ: [
      ['0 0 0 31 * ?', longMonths],
      ['0 0 0 31W * ?', ['2026-03-31T00:00:00Z', '2026-05-29T00:00:00Z']],
    ],
  },
  {
    point: 'impossible dates are refused',
    UNIX: [['0 0 30 2 *', /day of month field, position 5: it never fires: .* write 1 to 29/]],
    QUARTZ: [['0 0 0 31 4,6 ?', /day of month field, position 7: it never fires: .* write 1 to 30/]],
  },
  {
    point: 'empty items, missing fields, empty text, /b, bad steps, hour 24, 0* and long names are refused',
    UNIX: [
      ['', /position 1: the expression is empty; write 5, or 6 with seconds first, e\.g\. "0 2 \* \* \*"/],
      ['1,,2 * * * *', /minute field, position 3: an item is empty/],
      ['/5 * * * *', /minute field, position 1: a value is missing/],
      ['*/0 * * * *', /minute field, position 3: a step of 0 does not fit; write 1 to 60/],
      ['0 */25 * * *', /hour field, position 5: a step of 25 does not fit; write 1 to 24/],
      ['0 24 * * *', /hour field, position 3: 24 is out of range; write 0 to 23/],
      ['0* * * * *', /minute field, position 1: "0\*" is no value/],
      ['0 0 * * MONDAY', /day of week field, position 9: "MONDAY" is no value; write 0 to 7 or SUN to SAT/],
    ],
    QUARTZ: [
      [' ', /position 1: the expression is empty; write 6 with seconds first.* e\.g\. "0 0 2 \* \* \?"/],
      ['0 1, * * * ?', /minute field, position 5: an item is empty/],
      ['0 /5 * * * ?', /minute field, position 3: a value is missing/],
      ['0 */0 * * * ?', /minute field, position 5: a step of 0 does not fit; write 1 to 60/],
      ['0 0 0 ? * */8', /day of week field, position 13: a step of 8 does not fit; write 1 to 7/],
      ['0 0 0 1 1 ? */231', /year field, position 15: a step of 231 does not fit; write 1 to 230/],
      ['0 0 24 * * ?', /hour field, position 5: 24 is out of range; write 0 to 23/],
      ['0 0 0* * * ?', /hour field, position 5: "0\*" is no value/],
      ['0 0 0 1 JUNE ?', /month field, position 9: "JUNE" is no value; write 1 to 12 or JAN to DEC/],
    ],
  },
  {
    point: 'aliases in any case, against none',
    UNIX: [
      ['@yearly', ['2027-01-01T00:00:00Z']],
      ['@Annually', ['2027-01-01T00:00:00Z']],
      ['@MONTHLY', ['2026-04-01T00:00:00Z']],
      ['@weekly', sundays],
      ['@daily', everyWeekday],
      [' @midNight ', everyWeekday],
      ['@hourly', ['2026-03-01T01:00:00Z', '2026-03-01T02:00:00Z']],
      ['@fortnightly', /"@fortnightly" is unknown; use @yearly, .* or @every 90s/],
    ],
    QUARTZ: [
      ['@daily', /"@daily" is not in the dialect QUARTZ; write the fields, .* or use the dialect UNIX/],
      ['@every 90s', /@every is not in the dialect QUARTZ; use an interval schedule, or the dialect UNIX/],
    ],
  },
  {
    point: '@reboot and TZ= are refused with the hint what to use',
    UNIX: [
      ['@reboot', /@reboot is not a time; call Trigger when your service starts/],
      ['TZ=UTC 0 2 * * *', /position 1: a zone is set by time_zone, not in the expression/],
      [' CRON_TZ=UTC 0 2 * * *', /position 2: a zone is set by time_zone/],
    ],
    QUARTZ: [
      ['@Reboot', /@reboot is not a time; call Trigger when your service starts/],
      ['TZ=UTC 0 0 2 * * ?', /position 1: a zone is set by time_zone, not in the expression/],
    ],
  },
];

describe.each(points)('$point', (given) => {
  const cases = (['UNIX', 'QUARTZ'] as const).flatMap((dialect) =>
    given[dialect].map(([expression, outcome]): [CronDialect, string, Outcome] => [
      dialect,
      expression,
      outcome,
    ]),
  );

  it.each(cases)('%s: %j', (dialect, expression, outcome) => {
    const fires = (): string[] =>
      firesAfter(
        cronTimetable(expression, { dialect }),
        start,
        outcome instanceof RegExp ? 1 : Math.max(1, outcome.length),
      );
    if (outcome instanceof RegExp) {
      expect(fires).toThrow(outcome);
      expect(fires).toThrow(/^job\.schedules\[0\]\.cron\.expression: /);
    } else expect(fires()).toEqual(outcome);
  });
});

it('does not fire on a date that is missing in its zone', () => {
  const fires = (expression: string, dialect: CronDialect): string[] =>
    firesAfter(cronTimetable(expression, { dialect, timeZone: 'Pacific/Apia' }), '2010-12-31T12:00:00Z', 1);
  // Samoa went from 29 to 31 December 2011.
  expect(fires('0 12 30 12 *', 'UNIX')).toEqual(['2012-12-29T22:00:00Z']);
  expect(fires('0 0 12 30 12 ?', 'QUARTZ')).toEqual(['2012-12-29T22:00:00Z']);
  expect(fires('0 0 12 30 12 ? 2011', 'QUARTZ')).toEqual([]);
});
