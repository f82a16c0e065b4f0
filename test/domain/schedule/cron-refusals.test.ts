import { describe, expect, it } from 'vitest';
import { CronSyntaxError, compileCron, everyMsOf } from '../../../src/domain/schedule/cron-expression.ts';
import type { CronDialect } from '../../../src/domain/schedule/schedule.ts';

const refusalOf = (expression: string, dialect: CronDialect): string => {
  try {
    if (everyMsOf(expression, dialect) === undefined) compileCron(expression, dialect, 1);
  } catch (error) {
    if (error instanceof CronSyntaxError) return error.message;
    throw error;
  }
  return 'accepted';
};

describe('UNIX refuses, naming field, position and what would be right', () => {
  it.each<[expression: string, message: string]>([
    [' \t ', 'position 1: the expression is empty; write 5, or 6 with seconds first, e.g. "0 2 * * *"'],
    ['hello', 'position 1: it has 1 field; write 5, or 6 with seconds first'],
    [' * * * * * * *', 'position 2: it has 7 fields; write 5, or 6 with seconds first'],
    ['60 * * * *', 'minute field, position 1: 60 is out of range; write 0 to 59'],
    ['60 0 0 * * *', 'second field, position 1: 60 is out of range; write 0 to 59'],
    ['0 0 0 * *', 'day of month field, position 5: 0 is out of range; write 1 to 31'],
    ['0 0 32 * *', 'day of month field, position 5: 32 is out of range; write 1 to 31'],
    ['0 0 * 13 *', 'month field, position 7: 13 is out of range; write 1 to 12 or JAN to DEC'],
    ['22-4 * * * *', 'minute field, position 1: "22-4" runs backward; write two ranges, "22-59,0-4"'],
    ['0 0 * 11-1 *', 'month field, position 7: "11-1" runs backward; write two ranges, "11-12,1"'],
    ['0 0 * * 6-0', 'day of week field, position 9: "6-0" runs backward; write two ranges, "6,0"'],
    ['1, * * * *', 'minute field, position 3: an item is empty; separate values by single commas'],
    ['5,*/2 * * * *', 'minute field, position 3: "*/2" cannot stand in a list; write it alone'],
    ['0 0 ?/2 * *', 'day of month field, position 5: "?" takes no step; write "*"'],
    ['*/61 * * * *', 'minute field, position 3: a step of 61 does not fit; write 1 to 60'],
    ['0 0 * * */8', 'day of week field, position 11: a step of 8 does not fit; write 1 to 7'],
    ['*/ * * * *', 'minute field, position 3: "" is no step; write a number behind "/"'],
    ['1/2/3 * * * *', 'minute field, position 3: "2/3" is no step; write a number behind "/"'],
    ['-5 * * * *', 'minute field, position 1: a value is missing; write 0 to 59'],
    ['5- * * * *', 'minute field, position 3: a value is missing; write 0 to 59'],
    ['1-2-3 * * * *', 'minute field, position 3: "2-3" is no value; write 0 to 59'],
    ['1.5 * * * *', 'minute field, position 1: "1.5" is no value; write 0 to 59'],
    ['٣ * * * *', 'minute field, position 1: "٣" is no value; write 0 to 59'],
    ['0 0 * JANUARY *', 'month field, position 7: "JANUARY" is no value; write 1 to 12 or JAN to DEC'],
    ['0 0 * * JAN', 'day of week field, position 9: "JAN" is no value; write 0 to 7 or SUN to SAT'],
    ['0 0 * * 5#6', 'day of week field, position 11: a month has no 6th weekday; write #1 to #5'],
    ['0 0 * * FRI#0', 'day of week field, position 13: a month has no 0th weekday; write #1 to #5'],
    ['0 0 L-31 * *', 'day of month field, position 5: "L-31" lies before every month; write L-1 to L-30'],
    ['0 0 32W * *', 'day of month field, position 5: 32 is out of range; write 1 to 31'],
    ['L * * * *', 'minute field, position 1: "L" is no value; write 0 to 59'],
    ['H(5-2) * * * *', 'minute field, position 1: "H(5-2)" runs backward; write H(2-5)'],
    ['H(0-60) * * * *', 'minute field, position 5: 60 is out of range; write 0 to 59'],
    ['H(x) * * * *', 'minute field, position 1: "H(x)" is no spread; write H, H/n or H(a-b)'],
    [
      '0 0 31W 4 *',
      'day of month field, position 5: it never fires: none of its months has such a day; write 1 to 30',
    ],
    [
      '0 0 L-29 2 *',
      'day of month field, position 5: it never fires: none of its months has such a day; write 1 to 29',
    ],
    [
      '0 0 30,31 2 ?',
      'day of month field, position 5: it never fires: none of its months has such a day; write 1 to 29',
    ],
    [
      '@fortnightly',
      'position 1: "@fortnightly" is unknown; use @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every 90s',
    ],
    [' '.repeat(257), 'position 257: longer than 256 characters'],
    [`${'1,'.repeat(64)}1 * * * *`, 'minute field, position 1: more than 64 items; write a range or a step'],
    [
      `${'x'.repeat(60)} * * * *`,
      `minute field, position 1: "${'x'.repeat(40)}…" is no value; write 0 to 59`,
    ],
  ])('%j', (expression, message) => {
    expect(refusalOf(expression, 'UNIX')).toBe(message);
  });

  it.each(['@every 90', '@every s', '@every -5s', '@every 1d', '@every 1e9h', '@every 5m!', '@every 5s5'])(
    'the duration of %s',
    (expression) => {
      const text = JSON.stringify(expression.slice(7));
      expect(refusalOf(expression, 'UNIX')).toBe(
        `position 8: ${text} is no duration; write it like 90s, 5m, 1h30m or 250ms`,
      );
    },
  );

  it.each(['@every', '@every 5 m', '@EVERY 1m 1s'])('an @every that is none: %s', (expression) => {
    expect(refusalOf(expression, 'UNIX')).toMatch(/is unknown; use @yearly, .* or @every 90s$/);
  });
});

describe('QUARTZ refuses, naming field, position and what would be right', () => {
  it.each<[expression: string, message: string]>([
    ['0 2 * * *', 'position 1: it has 5 fields; write 6 with seconds first, or 7 with the year last'],
    ['0 0 0 ? * 0', 'day of week field, position 11: 0 is out of range; write 1 to 7 or SUN to SAT'],
    ['0 0 0 ? * 0L', 'day of week field, position 11: 0 is out of range; write 1 to 7 or SUN to SAT'],
    [
      '0 0 0 1 * MON#1',
      'day of week field, position 11: the day of month is set as well; write "?" in one of the two',
    ],
    ['0 0 2 1 1 ? 30', 'year field, position 13: 30 is out of range; write 1970 to 2199'],
    ['0 0 2 1 1 ? H', 'year field, position 13: H stands for no year; write years or "*"'],
    ['0 0 2 1 1 ? L', 'year field, position 13: "L" is no value; write 1970 to 2199'],
    ['0 0 2 1 1 ? 2030-', 'year field, position 18: a value is missing; write 1970 to 2199'],
    ['0 0 2 1 1 ? 2030/0', 'year field, position 18: a step of 0 does not fit; write 1 to 230'],
    ['0 H(5-2) 2 * * ?', 'minute field, position 3: "H(5-2)" runs backward; write H(2-5)'],
    [
      '0 0 0 30 2 ? 2028',
      'day of month field, position 7: it never fires: none of its months has such a day; write 1 to 29',
    ],
    [
      '@every 90s',
      'position 1: @every is not in the dialect QUARTZ; use an interval schedule, or the dialect UNIX',
    ],
    [
      '@hourly',
      'position 1: "@hourly" is not in the dialect QUARTZ; write the fields, e.g. "0 0 2 * * ?", or use the dialect UNIX',
    ],
  ])('%j', (expression, message) => {
    expect(refusalOf(expression, 'QUARTZ')).toBe(message);
  });
});
