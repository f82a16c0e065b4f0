import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DomainError } from '../../../src/domain/errors.ts';
import { CronDays } from '../../../src/domain/schedule/cron-days.ts';
import { CronSyntaxError } from '../../../src/domain/schedule/cron-expression.ts';
import type { CronDialect } from '../../../src/domain/schedule/schedule.ts';
import { Zone } from '../../../src/domain/schedule/zone.ts';
import { cronTimetable } from './schedules.ts';

const items = (n: number, item: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => item(i)).join(',');

/** Expressions that are rare, wide, contradictory or no expressions at all. */
const worst: readonly string[] = [
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

/** What only QUARTZ has: years and ranges that wrap. */
const worstOfQuartz: readonly string[] = [
  '0 0 0 29 2 ? 2025,2026,2027',
  '0 0 0 29 2 ? 2100',
  '0 0 0 29 2 ? 2101/4',
  '0 0 0 ? 2 2#5 2199',
  '0 0 0 1 1 ? 1970',
  '0 0 0 1 1 ? 2199',
  '59 59 23 31 12 ? 2199',
  '0 30 2 ? 3 1L',
  '0 30 2 ? 3 1L 2026-2199',
  '0 30 2 29 3 ? 2026',
  '0 30 2 29 3 ? 2026,2037,2048',
  '* * * * * ? */230',
  '59-58 59-58 23-22 31-30 12-11 ? 1970-2199',
  '0 0 0 L-30W 2-12 ?',
  `0 0 0 ? * ${items(35, (i) => `${(i % 7) + 1}#${Math.floor(i / 7) + 1}`)}`,
  `0 0 0 1 1 ? ${items(40, (i) => `${1970 + i}`)}`,
  `0 0 0 1 1 ? ${items(64, (i) => `${1970 + i}/9`).slice(0, 220)}`,
  '0 0 0 1 1 ? 2030-2029',
  '0 0 0 1 1 ? 99999999999',
  '@yearly',
];

/** The work of a search: months that are looked at, and spans of a zone. */
let steps = 0;
const { inMonth } = CronDays.prototype;
const { spanAt } = Zone.prototype;

beforeAll(() => {
  CronDays.prototype.inMonth = function count(this: CronDays, length, firstWeekday) {
    steps++;
    return inMonth.call(this, length, firstWeekday);
  };
  Zone.prototype.spanAt = function count(this: Zone, ms) {
    steps++;
    return spanAt.call(this, ms);
  };
});

afterAll(() => {
  CronDays.prototype.inMonth = inMonth;
  Zone.prototype.spanAt = spanAt;
});

/** The months of 400 years, and those of the 40 years that are searched behind a date which clocks jump over. */
const maxSteps = 400 * 12 + 40 * 12 * 2;

/** Goes through up to ten fire times with bounded work; undefined for an expression that is refused. */
function walk(expression: string, dialect: CronDialect, timeZone: string): number[] | undefined {
  let timetable: ReturnType<typeof cronTimetable>;
  try {
    timetable = cronTimetable(expression, { dialect, timeZone, gap: 'SKIP' });
  } catch (error) {
    expect(error).toBeInstanceOf(DomainError);
    expect(error).not.toBeInstanceOf(CronSyntaxError);
    expect((error as DomainError).message.length).toBeLessThan(300);
    return undefined;
  }
  const fires = [Date.parse('2026-01-01T00:00:00Z')];
  while (fires.length < 10) {
    steps = 0;
    const fire = timetable.next(fires.at(-1)!, []);
    expect(steps).toBeLessThanOrEqual(maxSteps);
    if (!fire) return fires;
    expect(fire.atMs).toBeGreaterThan(fires.at(-1)!);
    fires.push(fire.atMs);
  }
  const lastMs = fires.at(-1)!;
  expect(timetable.count(lastMs, lastMs + 86_400_000, 1_000_000, [])).toBeLessThanOrEqual(86_400);
  return fires;
}

describe.each(['UTC', 'Europe/Berlin', 'Pacific/Apia', 'Africa/Casablanca'])('in %s', (timeZone) => {
  it.each([
    ...worst.map((expression) => ['UNIX', expression] as const),
    ...worstOfQuartz.map((expression) => ['QUARTZ', expression] as const),
  ])('ends with fire times, none or a refusal: %s %j', (dialect, expression) => {
    walk(expression, dialect, timeZone);
  });
});

it('ends for ten thousand random expressions of both dialects', () => {
  /** Items that are right in a field, and some that are not. */
  const itemOf = (min: number, max: number, special: readonly string[]): fc.Arbitrary<string> => {
    const number = fc.integer({ min, max }).map(String);
    return fc.oneof(
      number,
      fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map(([a, b]) => `${a}-${b}`),
      fc.tuple(fc.constantFrom('H', String(min)), fc.integer({ min: 1, max })).map(([a, b]) => `${a}/${b}`),
      fc.constantFrom('H', ...special),
    );
  };
  const fieldOf = (min: number, max: number, special: readonly string[] = ['x']): fc.Arbitrary<string> =>
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom('*', `${min}`, `*/${Math.ceil(max / 3)}`) },
      { weight: 3, arbitrary: itemOf(min, max, special) },
      {
        weight: 1,
        arbitrary: fc.array(itemOf(min, max, special), { minLength: 2, maxLength: 4 }).map(String),
      },
    );
  const times = [fieldOf(0, 59), fieldOf(0, 23)] as const;
  const day = fieldOf(1, 31, ['L', 'LW', 'L-3', 'L-28', 'L-30W', '15W', '31W', '29', '30', '31', 'L-31']);
  const month = fieldOf(1, 12, ['2', '2', 'FEB', '2,4', 'JUNE']);
  const weekday = fieldOf(1, 7, ['2#5', '1L', 'FRI', 'SUN#1', 'L']);
  const any = fc.constantFrom('?', '*');
  const year = fc.constantFrom('', ' *', ' 2026', ' 2027-2030', ' 2100', ' 2199', ' 1970/7', ' 1999');
  const expressions = fc.oneof(
    fc.tuple(...times, day, month, weekday).map((fields) => ['UNIX', fields.join(' ')] as const),
    fc
      .tuple(fieldOf(0, 59), ...times, fc.oneof(fc.tuple(day, any), fc.tuple(any, weekday)), month, year)
      .map(([a, b, c, [d, f], e, g]) => ['QUARTZ', `${a} ${b} ${c} ${d} ${e} ${f}${g}`] as const),
  );
  let accepted = 0;
  fc.assert(
    fc.property(expressions, ([dialect, expression]) => {
      if (walk(expression, dialect, 'Europe/Berlin')) accepted++;
    }),
    { numRuns: 10_000 },
  );
  expect(accepted).toBeGreaterThan(5_000);
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

it.each<[after: string, fires: string[]]>([
  ['1900-06-01T00:00:00Z', ['1970-01-01T02:00:00.000Z', '2199-01-01T02:00:00.000Z']],
  ['1999-06-01T00:00:00Z', ['2199-01-01T02:00:00.000Z']],
  ['2199-06-01T00:00:00Z', []],
  ['2500-06-01T00:00:00Z', []],
])('keeps to a list of years from %s on', (after, fires) => {
  const timetable = cronTimetable('0 0 2 1 1 ? 1970,2199', { dialect: 'QUARTZ' });
  const found: string[] = [];
  let fire = timetable.next(Date.parse(after), []);
  for (; fire; fire = timetable.next(fire.atMs, [])) found.push(new Date(fire.atMs).toISOString());
  expect(found).toEqual(fires);
});
