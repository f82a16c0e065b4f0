import { describe, expect, it } from 'vitest';
import { DomainError } from '../../../src/domain/errors.ts';
import { everyMsOf } from '../../../src/domain/schedule/cron-expression.ts';
import { compileTimetable } from '../../../src/domain/schedule/timetable.ts';
import { cron, cronFires } from './cron-table.ts';

const at = '2026-11-21T10:17:30.500Z';

/** The UNIX column of the dialect table: what is accepted, with the next fire times in UTC. */
const accepted: readonly [string, string, readonly string[]][] = [
  ['takes five fields, the second being 0', '20 10 * * *', ['2026-11-21T10:20:00', '2026-11-22T10:20:00']],
  ['takes six fields with seconds first', '15 20 10 * * *', ['2026-11-21T10:20:15', '2026-11-22T10:20:15']],
  [
    'is strictly after an instant with a fraction',
    '30,31 17 10 * * *',
    ['2026-11-21T10:17:31', '2026-11-22T10:17:30'],
  ],
  ['reads 0 as Sunday', '0 0 * * 0', ['2026-11-22T00:00:00', '2026-11-29T00:00:00']],
  ['reads 7 as Sunday', '0 0 * * 7', ['2026-11-22T00:00:00', '2026-11-29T00:00:00']],
  ['reads 0,7 as one Sunday', '0 0 * * 0,7', ['2026-11-22T00:00:00', '2026-11-29T00:00:00']],
  ['reads names in any case', '0 0 * jan MON', ['2027-01-04T00:00:00', '2027-01-11T00:00:00']],
  ['reads FRI-SUN', '0 0 * * FRI-SUN', ['2026-11-22T00:00:00', '2026-11-27T00:00:00', '2026-11-28T00:00:00']],
  [
    'fires on a day that fits either restricted day field',
    '0 0 25 * MON',
    ['2026-11-23T00:00:00', '2026-11-25T00:00:00'],
  ],
  [
    'takes a field that begins with * as unrestricted',
    '0 0 */2 * MON',
    ['2026-11-23T00:00:00', '2026-12-07T00:00:00'],
  ],
  ['takes ? in a day field as *', '0 0 ? * MON', ['2026-11-23T00:00:00', '2026-11-30T00:00:00']],
  [
    'takes a/b as from a, every b',
    '10/20 * * * *',
    ['2026-11-21T10:30:00', '2026-11-21T10:50:00', '2026-11-21T11:10:00'],
  ],
  [
    'takes ranges with steps',
    '0-30/15 11 * * *',
    ['2026-11-21T11:00:00', '2026-11-21T11:15:00', '2026-11-21T11:30:00'],
  ],
  ['takes 5-5', '5-5 11 * * *', ['2026-11-21T11:05:00', '2026-11-22T11:05:00']],
  ['takes repeated items', '5,5 11 * * *', ['2026-11-21T11:05:00', '2026-11-22T11:05:00']],
  ['takes several blanks and tabs', '  5 \t 11  * *  * ', ['2026-11-21T11:05:00', '2026-11-22T11:05:00']],
  ['takes L as the last day', '0 0 L * *', ['2026-11-30T00:00:00', '2026-12-31T00:00:00']],
  ['takes L-n as n days before it', '0 0 L-3 * *', ['2026-11-27T00:00:00', '2026-12-28T00:00:00']],
  [
    'takes LW as the last weekday',
    '0 0 LW * *',
    ['2026-11-30T00:00:00', '2026-12-31T00:00:00', '2027-01-29T00:00:00'],
  ],
  [
    'takes nW as the nearest weekday',
    '0 0 15W * *',
    ['2026-12-15T00:00:00', '2027-01-15T00:00:00', '2027-02-15T00:00:00'],
  ],
  [
    'keeps 1W within its month',
    '0 0 1W * *',
    ['2026-12-01T00:00:00', '2027-01-01T00:00:00', '2027-02-01T00:00:00'],
  ],
  ['takes L-nW', '0 0 L-1W * *', ['2026-11-30T00:00:00', '2026-12-30T00:00:00', '2027-01-29T00:00:00']],
  ['takes n#k', '0 0 * * 5#2', ['2026-12-11T00:00:00', '2027-01-08T00:00:00']],
  ['takes nL as the last such weekday', '0 0 * * 5L', ['2026-11-27T00:00:00', '2026-12-25T00:00:00']],
  ['takes FRIL', '0 0 * * FRIL', ['2026-11-27T00:00:00', '2026-12-25T00:00:00']],
  [
    'mixes rules and numbers in a list',
    '0 0 L,15W,1 * *',
    ['2026-11-30T00:00:00', '2026-12-01T00:00:00', '2026-12-15T00:00:00'],
  ],
  [
    'does not fire 31 in a shorter month',
    '0 0 31 * *',
    ['2026-12-31T00:00:00', '2027-01-31T00:00:00', '2027-03-31T00:00:00'],
  ],
  ['does not fire 31W in a shorter month', '0 0 31W * *', ['2026-12-31T00:00:00', '2027-01-29T00:00:00']],
  ['fires 29 February in leap years', '0 0 29 2 *', ['2028-02-29T00:00:00', '2032-02-29T00:00:00']],
  ['knows @yearly', '@yearly', ['2027-01-01T00:00:00']],
  ['knows @Annually', '@Annually', ['2027-01-01T00:00:00']],
  ['knows @monthly', '@monthly', ['2026-12-01T00:00:00']],
  ['knows @WEEKLY', '@WEEKLY', ['2026-11-22T00:00:00']],
  ['knows @daily', '@daily', ['2026-11-22T00:00:00']],
  ['knows @midnight', '@midnight', ['2026-11-22T00:00:00']],
  ['knows @hourly', '@hourly', ['2026-11-21T11:00:00']],
];

/** What is refused: the expression, and what the refusal must name. */
const refused: readonly [string, RegExp][] = [
  ['', /position 1: the expression is empty/],
  ['   ', /empty/],
  ['* * * *', /it has 4 fields; write 5, or 6/],
  ['* * * * * * *', /it has 7 fields/],
  ['60 * * * *', /minute field, position 1: 60 is out of range; write 0 to 59/],
  ['* 24 * * *', /hour field, position 3: 24 is out of range; write 0 to 23/],
  ['* * 0 * *', /day of month field, position 5: 0 is out of range/],
  ['* * 32 * *', /day of month/],
  ['* * * 13 *', /month field, position 7/],
  ['* * * * 8', /day of week field, position 9/],
  ['22-4 * * * *', /minute field, position 1: "22-4" runs backward/],
  ['* * * * FRI-MON', /runs backward/],
  ['* * * * 5-0', /runs backward/],
  ['*/0 * * * *', /minute field, position 3: a step of 0 does not fit/],
  ['*/61 * * * *', /a step of 61 does not fit/],
  ['/5 * * * *', /minute field, position 1: a value is missing/],
  ['*/ * * * *', /is no step/],
  ['1,,2 * * * *', /minute field, position 3: an item is empty/],
  [',1 * * * *', /position 1: an item is empty/],
  ['1, * * * *', /an item is empty/],
  ['1,* * * * *', /cannot stand in a list/],
  ['* * 1,? * *', /cannot stand in a list/],
  ['0* * * * *', /"0\*" is no value/],
  ['? * * * *', /is no value/],
  ['* * * * MONDAY', /"MONDAY" is no value; write 0 to 7 or SUN to SAT/],
  ['* * * JANUARY *', /JAN to DEC/],
  ['* * * * L', /day of week field, position 9: "L" alone names no weekday/],
  ['* * W15 * *', /no value/],
  ['* * WL * *', /no value/],
  ['* * 1-L * *', /no value/],
  ['* * L5 * *', /no value/],
  ['* * L-31 * *', /before every month/],
  ['* * * * 5#L', /no value/],
  ['* * * * 5#6', /no 6th weekday/],
  ['* * * * 5#0', /no 0th weekday/],
  ['-1 * * * *', /a value is missing/],
  ['1- * * * *', /a value is missing/],
  ['1.5 * * * *', /no value/],
  ['0 0 30 2 *', /never fires/],
  ['0 0 31 2,4,6,9,11 *', /never fires/],
  ['0 0 31W 2 *', /never fires/],
  ['0 0 L-30 2 *', /never fires/],
  ['@reboot', /call Trigger when your service starts/],
  ['@fortnightly', /is unknown; use @yearly/],
  ['TZ=Europe/Berlin 0 0 * * *', /a zone is set by time_zone/],
  ['CRON_TZ=UTC 0 0 * * *', /a zone is set by time_zone/],
  [`${'1,'.repeat(64)}1 * * * *`, /more than 64 items/],
  [`0 0 * * ${' '.repeat(260)}1`, /longer than 256 characters/],
  ['#{process.exit()} * * * *', /fields|no value/],
];

describe('the UNIX dialect', () => {
  it.each(accepted)('%s: %s', (_rule, expression, fires) => {
    expect(cronFires(expression, at, fires.length)).toEqual(fires.map((fire) => `${fire}+00:00`));
  });

  it.each(refused)('refuses %j and says what would be right', (expression, message) => {
    const compile = (): unknown => compileTimetable([cron(expression)], 1);
    expect(compile).toThrow(DomainError);
    expect(compile).toThrow(message);
    expect(compile).toThrow(/^job\.schedules\[0\]\.cron\.expression: /);
  });

  it.each([
    ['@every 90s', 90_000],
    ['@EVERY 1h30m', 5_400_000],
    ['@every 250ms', 250],
    ['@every 1.5s', 1_500],
    ['0 0 * * *', undefined],
  ])('reads %s as an interval of %s ms', (expression, everyMs) => {
    expect(everyMsOf(expression)).toBe(everyMs);
  });

  it.each(['@every 90', '@every s', '@every -5s', '@every 5s5'])(
    'refuses the duration of %s',
    (expression) => {
      expect(() => everyMsOf(expression)).toThrow(/is no duration/);
    },
  );

  it('spreads H by job id, the same for the same job and within its range', () => {
    const minuteOf = (expression: string, seed: number): number =>
      new Date(compileTimetable([cron(expression)], seed).next(Date.parse(at), [])!.atMs).getUTCMinutes();
    const seeds = Array.from({ length: 200 }, (_, i) => 373_403_946_553_345 + i);
    const minutes = seeds.map((seed) => minuteOf('H * * * *', seed));
    expect(seeds.map((seed) => minuteOf('H * * * *', seed))).toEqual(minutes);
    expect(new Set(minutes).size).toBeGreaterThan(40);
    expect(seeds.map((seed) => minuteOf('H(10-19) * * * *', seed)).every((m) => m >= 10 && m <= 19)).toBe(
      true,
    );
    expect(
      seeds.every(
        (seed) => cronFires('H/15 * * * *', at, 4).length === 4 && minuteOf('H/15 * * * *', seed) < 60,
      ),
    ).toBe(true);
  });

  it.each(['Nowhere/Land', '+02:00', 'local', '', 'UTC; drop'])('refuses %j as a zone', (zone) => {
    expect(() => compileTimetable([cron('0 0 * * *', { zone })], 1)).toThrow(
      /time_zone: .* is no IANA time zone/,
    );
  });
});
