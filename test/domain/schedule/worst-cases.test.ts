import { describe, expect, it } from 'vitest';
import { DomainError } from '../../../src/domain/errors.ts';
import { CronSyntaxError } from '../../../src/domain/schedule/cron-expression.ts';
import { Zone } from '../../../src/domain/schedule/zone.ts';
import { cronTimetable } from './schedules.ts';

const items = (n: number, item: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => item(i)).join(',');

/** Expressions that are rare, wide, contradictory or no expressions at all. */
const worst = [
  '0 0 30 2 *',
  '0 0 31 2,4,6,9,11 *',
  '0 0 29 2 *',
  '0 0 29 2 MON',
  '0 0 29 2 ?',
  '0 0 */29 2 MON',
  '0 0 29W 2 *',
  '0 0 L-28 2 *',
  '0 0 L-28W 2 *',
  '0 0 L-30 * *',
  '0 0 L-30W * *',
  '0 0 L-30 2 ?',
  '0 0 ? 2 2#5',
  '0 0 * 2 MON#5',
  '0 0 */31 * MON',
  '0 0 */31 * MON#2',
  '0 0 */31 2 *',
  '0 0 */30 2 SUN#5',
  '0 0 */7 2 SUNL',
  '0 0 1W 1 SUN#5',
  '59 59 23 31 12 SAT',
  '59 59 23 */31 12 SAT',
  '0 0 31W * *',
  '0 0 31W 6 *',
  '0 0 1,L,15W,LW,L-3W * MON#1,FRIL',
  '* * * * * *',
  '* * * 29 2 *',
  '*/59 */59 */23 */31 */12 */7',
  '0 0 0 1 1 *',
  '30 2 * 3 SUNL',
  '*/15 2 * 3 SUNL',
  '30 2 29 3 *',
  '30 2 */29 3 SUN',
  '59 59 2 * 3 SUNL',
  '0-0 30 2 * 3 SUNL',
  '30 2 L 3 *',
  '30 2 */31 3 SUN',
  `${items(64, (i) => `${i % 60}-59/${(i % 59) + 1}`)} * * * *`,
  `${items(60, String)} ${items(60, String)} * * * *`,
  `0 0 ${items(28, (i) => `${i + 1}W`)} * *`,
  `0 0 * * ${items(35, (i) => `${i % 7}#${Math.floor(i / 7) + 1}`)}`,
  `0 0 ${items(31, (i) => `L-${i}`)} 2 *`,
  `${items(65, String)} * * * *`,
  `0 0 ${items(64, () => 'LW')} * *`,
  '#{process.exit()} * * * *',
  '{{1+1}} * * * *',
  '%s%s%s%s * * * *',
  '0 0 * * 5#5#5',
  'H(0-59)/60 * * * *',
  'H/61 * * * *',
  'H(59-59) H(23-23) H(28-28) H(2-2) H',
  '0 0 H(29-31) 2 *',
  '0 0 L-00 * *',
  '1-1-1-1 * * * *',
  '////// * * * *',
  ',,,,, * * * *',
  '----- * * * *',
  '***** * * * *',
  '????? * * * *',
  '\u0000 * * * *',
  '\ud800 * * * *',
  '０ ０ * * *',
  '1e1 * * * *',
  '0x10 * * * *',
  '+5 * * * *',
  '-0 * * * *',
  'NaN * * * *',
  'Infinity * * * *',
  '9999999999 * * * *',
  `${'9'.repeat(200)} * * * *`,
  `${'*/'.repeat(100)} * * * *`,
  `${'H('.repeat(100)} * * * *`,
  '\t\n\r\v\f',
  '* * * * *\u00a0*',
  `${'1-'.repeat(120)}1`,
  '@',
  '@@daily',
  '@every',
  '@every 1h 5m',
  '@daily @daily',
  'TZ=',
  'constructor * * * *',
  '__proto__',
  '@__proto__',
];

describe.each(['UTC', 'Europe/Berlin', 'Pacific/Apia', 'Africa/Casablanca'])('in %s', (timeZone) => {
  it.each(worst.map((expression) => [expression]))(
    'ends with fire times, none or a refusal: %j',
    (expression) => {
      let timetable: ReturnType<typeof cronTimetable>;
      try {
        timetable = cronTimetable(expression, { timeZone, gap: 'SKIP' });
      } catch (error) {
        expect(error).toBeInstanceOf(DomainError);
        expect(error).not.toBeInstanceOf(CronSyntaxError);
        expect((error as DomainError).message.length).toBeLessThan(300);
        return;
      }
      let afterMs = Date.parse('2026-01-01T00:00:00Z');
      for (let i = 0; i < 10; i++) {
        const fire = timetable.next(afterMs, []);
        if (!fire) return;
        expect(fire.atMs).toBeGreaterThan(afterMs);
        afterMs = fire.atMs;
      }
      expect(timetable.count(afterMs, afterMs + 86_400_000, 1_000_000)).toBeLessThanOrEqual(86_400);
    },
  );
});

it.each([
  ['30 2 * 3 SUNL', 'a fixed time that clocks jump over on its every date', 'SKIP'],
  ['*/15 2 * 3 SUNL', 'a frequent time that clocks jump over on its every date', 'RUN_AT_GAP_END'],
  ['0 0 */31 * MON#2', 'days that never meet', 'SKIP'],
] as const)('finds nothing for %s: %s', (expression, _, gap) => {
  expect(
    cronTimetable(expression, { timeZone: 'Europe/Berlin', gap }).next(Date.UTC(2026, 0, 1), []),
  ).toBeUndefined();
});

it('goes on behind dates that clocks jump over', () => {
  const timetable = cronTimetable('30 2 29 3 *', { timeZone: 'Europe/Berlin', gap: 'SKIP' });
  const fires = [];
  for (
    let fire = timetable.next(Date.UTC(2025, 5), []);
    fire && fires.length < 3;
    fire = timetable.next(fire.atMs, [])
  )
    fires.push(new Date(fire.atMs).toISOString().slice(0, 10));
  // 29 March 2026 is the day on which clocks go forward.
  expect(fires).toEqual(['2027-03-29', '2028-03-29', '2029-03-29']);
});

it.each([
  ['0001-01-01T00:00:00Z', '0001-01-01T16:56:02.000Z'],
  ['0050-06-01T00:00:00Z', '0050-06-01T16:56:02.000Z'],
  ['0099-12-31T20:00:00Z', '0100-01-01T16:56:02.000Z'],
  ['1883-11-18T12:00:00Z', '1883-11-18T16:56:02.000Z'],
  ['9999-12-31T23:59:59Z', '+010000-01-01T17:00:00.000Z'],
])('searches from %s, an instant that a request can carry', (after, fire) => {
  const noon = cronTimetable('0 12 * * *', { timeZone: 'America/New_York' });
  expect(new Date(noon.next(Date.parse(after), [])!.atMs).toISOString()).toBe(fire);
});

it.each(['+02:00', 'UTC+2', 'EST5EDT;', '', ' UTC', 'Europe/', '../etc', 'Z'.repeat(300), '__proto__'])(
  'knows no zone %j',
  (name) => {
    expect(Zone.find(name)).toBeUndefined();
  },
);
