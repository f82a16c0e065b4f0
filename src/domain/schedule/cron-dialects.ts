import type { CronDialect } from './schedule.ts';

/** The fields of an expression, as refusals name them. */
export type FieldName = 'second' | 'minute' | 'hour' | 'day of month' | 'month' | 'day of week' | 'year';

/** What a field may hold. */
export type FieldRule = {
  readonly name: FieldName;
  readonly min: number;
  readonly max: number;
  /** How many different values there are, `min` being the first; 0 and 7 are one Sunday. */
  readonly cycle: number;
  /** Names of the values from `min` on. */
  readonly words?: readonly string[];
  /** Whether a range may go on from the end of the field to its beginning. */
  readonly wraps: boolean;
};

/** What a dialect allows. */
export type DialectRule = {
  /** Second to year, in this order. */
  readonly fields: readonly FieldRule[];
  /** Whether the second may be left out; it is 0 then. */
  readonly secondIsOptional: boolean;
  /** How many fields may be written, in words. */
  readonly fieldCounts: string;
  /** An expression that fires daily at 02:00, to show what one looks like. */
  readonly example: string;
  /** Whether both day fields may be restricted; a day that fits either fires then. */
  readonly takesEitherDay: boolean;
  /** Whether `L` alone as day of week is Saturday, the last day of the week. */
  readonly lastDayOfWeek: boolean;
  /** Names that stand for expressions, in lower case. */
  readonly aliases: Readonly<Record<string, string>>;
  /** What else can be written with `@`, or in its place. */
  readonly aliasHint: string;
};

/** The first and the last year that a QUARTZ expression can name. */
export const firstYear = 1970;
export const lastYear = 2199;

const monthWords = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const weekdayWords = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

/** The fields that the dialects share. */
const fieldsUntilMonth = (wraps: boolean): readonly FieldRule[] => [
  { name: 'second', min: 0, max: 59, cycle: 60, wraps },
  { name: 'minute', min: 0, max: 59, cycle: 60, wraps },
  { name: 'hour', min: 0, max: 23, cycle: 24, wraps },
  { name: 'day of month', min: 1, max: 31, cycle: 31, wraps },
  { name: 'month', min: 1, max: 12, cycle: 12, words: monthWords, wraps },
];

/** What each dialect allows; another dialect is another row. */
export const dialects: Readonly<Record<CronDialect, DialectRule>> = {
  UNIX: {
    fields: [
      ...fieldsUntilMonth(false),
      { name: 'day of week', min: 0, max: 7, cycle: 7, words: weekdayWords, wraps: false },
    ],
    secondIsOptional: true,
    fieldCounts: '5, or 6 with seconds first',
    example: '0 2 * * *',
    takesEitherDay: true,
    lastDayOfWeek: false,
    aliases: {
      '@yearly': '0 0 1 1 *',
      '@annually': '0 0 1 1 *',
      '@monthly': '0 0 1 * *',
      '@weekly': '0 0 * * 0',
      '@daily': '0 0 * * *',
      '@midnight': '0 0 * * *',
      '@hourly': '0 * * * *',
    },
    aliasHint: 'use @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every 90s',
  },
  QUARTZ: {
    fields: [
      ...fieldsUntilMonth(true),
      { name: 'day of week', min: 1, max: 7, cycle: 7, words: weekdayWords, wraps: true },
      { name: 'year', min: firstYear, max: lastYear, cycle: lastYear - firstYear + 1, wraps: false },
    ],
    secondIsOptional: false,
    fieldCounts: '6 with seconds first, or 7 with the year last',
    example: '0 0 2 * * ?',
    takesEitherDay: false,
    lastDayOfWeek: true,
    aliases: {},
    aliasHint: 'write the fields, e.g. "0 0 2 * * ?", or use the dialect UNIX',
  },
};
