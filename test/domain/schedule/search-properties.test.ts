import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CronDialect } from '../../../src/domain/schedule/schedule.ts';
import { cronTimetable } from './schedules.ts';

/** A field: how it is written, and which values it stands for. */
type Field = { readonly text: string; readonly values: readonly number[] };

type Expression = {
  readonly dialect: CronDialect;
  readonly text: string;
  readonly fits: (clock: Clock) => boolean;
};

/** What a clock shows, read from Intl; weekday 0 is Sunday. */
type Clock = Readonly<Record<'year' | 'month' | 'day' | 'weekday' | 'hour' | 'minute' | 'second', number>>;

const upTo = (min: number, max: number): number[] => Array.from({ length: max - min + 1 }, (_, i) => min + i);

/** A list of up to 15 values, so that an expression stays within its longest length. */
const listOf = (min: number, max: number): fc.Arbitrary<Field> =>
  fc
    .subarray(upTo(min, max), { minLength: 1, maxLength: Math.min(15, max - min + 1) })
    .map((values) => ({ text: values.join(','), values }));

/** A range with a step; in QUARTZ it may go on from the end of the field to its beginning. */
const rangeOf = (min: number, max: number, wraps: boolean): fc.Arbitrary<Field> =>
  fc
    .tuple(fc.integer({ min, max }), fc.integer({ min, max }), fc.integer({ min: 1, max: 4 }))
    .map(([a, b, step]) => {
      const [first, last] = wraps ? [a, b] : [Math.min(a, b), Math.max(a, b)];
      const all = first <= last ? upTo(first, last) : [...upTo(first, max), ...upTo(min, last)];
      return {
        text: `${first}-${last}/${Math.min(step, max - min + 1)}`,
        values: all.filter((_, i) => i % step === 0),
      };
    });

const anyOf = (min: number, max: number): fc.Arbitrary<Field> =>
  fc.constant({ text: '*', values: upTo(min, max) });

const fieldOf = (min: number, max: number, dialect: CronDialect): fc.Arbitrary<Field> =>
  fc.oneof(anyOf(min, max), listOf(min, max), rangeOf(min, max, dialect === 'QUARTZ'));

/** Expressions that are frequent, since a range makes them so without changing what they name. */
const expressionOf = (dialect: CronDialect): fc.Arbitrary<Expression> => {
  const sunday = dialect === 'QUARTZ' ? 1 : 0;
  return fc
    .record({
      second: fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { minLength: 1, maxLength: 2 }),
      minute: fieldOf(0, 59, dialect),
      hour: fieldOf(0, 23, dialect),
      // A day that every month has, for impossible dates are refused.
      day: fieldOf(1, 31, dialect).filter(({ values }) => values.some((value) => value <= 28)),
      month: fc.oneof(anyOf(1, 12), rangeOf(1, 12, dialect === 'QUARTZ')),
      weekday: fieldOf(sunday, sunday + 6, dialect),
      year: fc.constantFrom<Field>(
        { text: '', values: [2018, 2026, 2027] },
        { text: ' *', values: [2018, 2026, 2027] },
        { text: ' 2026', values: [2026] },
        { text: ' 2018,2027-2030', values: [2018, 2027] },
        { text: ' 2000/2', values: [2018, 2026] },
      ),
      keptDay: fc.constantFrom<'day' | 'weekday'>('day', 'weekday'),
    })
    .map(({ second, minute, hour, day, month, weekday, year, keptDay }) => {
      const isQuartz = dialect === 'QUARTZ';
      const dayText = isQuartz && keptDay === 'weekday' ? '?' : day.text;
      const weekdayText = isQuartz && keptDay === 'day' ? '?' : weekday.text;
      const fitsDay = (clock: Clock): boolean => {
        const byDay = day.values.includes(clock.day);
        const byWeekday = weekday.values.includes(clock.weekday + sunday);
        if (isQuartz) return keptDay === 'day' ? byDay : byWeekday;
        return day.text === '*' || weekday.text === '*' ? byDay && byWeekday : byDay || byWeekday;
      };
      return {
        dialect,
        text: `${second.map((s) => `${s}-${s}`)} ${minute.text} ${hour.text} ${dayText} ${month.text} ${weekdayText}${isQuartz ? year.text : ''}`,
        fits: (clock: Clock) =>
          second.includes(clock.second) &&
          minute.values.includes(clock.minute) &&
          hour.values.includes(clock.hour) &&
          month.values.includes(clock.month) &&
          fitsDay(clock) &&
          (!isQuartz || year.values.includes(clock.year)),
      };
    });
};

const expressions = fc.oneof(expressionOf('UNIX'), expressionOf('QUARTZ'));

const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/**
 * An oracle that is independent, slow and obvious: it asks Intl what a clock
 * shows at every second. For frequent schedules that is the whole rule.
 */
function scan({ fits }: Expression, timeZone: string, fromMs: number, seconds: number): number[] {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    weekday: 'short',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const fires: number[] = [];
  for (let ms = Math.floor(fromMs / 1000) * 1000 + 1000; ms <= fromMs + seconds * 1000; ms += 1000) {
    const shown = Object.fromEntries(
      format
        .formatToParts(ms)
        .map(({ type, value }) => [type, type === 'weekday' ? weekdays.indexOf(value) : Number(value)]),
    ) as Clock;
    if (fits(shown)) fires.push(ms);
  }
  return fires;
}

/** Hours around changes of clocks, and calm ones. */
const moments = fc.constantFrom<[timeZone: string, start: string]>(
  ['Europe/Berlin', '2026-03-29T00:10:00Z'],
  ['Europe/Berlin', '2026-10-24T23:40:00Z'],
  ['America/New_York', '2026-03-08T06:20:00Z'],
  ['America/New_York', '2026-11-01T04:50:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T15:00:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T14:30:00Z'],
  ['America/Sao_Paulo', '2018-11-04T02:30:00Z'],
  ['Asia/Kathmandu', '2026-06-01T17:00:00Z'],
  ['UTC', '2026-12-31T23:00:00Z'],
);

const findAll = (
  { text, dialect }: Expression,
  timeZone: string,
  fromMs: number,
  untilMs: number,
): number[] => {
  const timetable = cronTimetable(text, { timeZone, dialect });
  const found: number[] = [];
  let fire = timetable.next(fromMs, []);
  for (; fire && fire.atMs <= untilMs; fire = timetable.next(fire.atMs, [])) found.push(fire.atMs);
  return found;
};

describe('the search, in both dialects', () => {
  it('finds what a scan of every second finds', () => {
    fc.assert(
      fc.property(
        expressions,
        moments,
        fc.integer({ min: 0, max: 3_600_000 }),
        (expression, [timeZone, start], shiftMs) => {
          const fromMs = Date.parse(start) + shiftMs;
          expect(findAll(expression, timeZone, fromMs, fromMs + 5_400_000)).toEqual(
            scan(expression, timeZone, fromMs, 5_400),
          );
        },
      ),
      { numRuns: 80 },
    );
  });

  it('is strictly after, also behind a fraction, and never goes back', () => {
    fc.assert(
      fc.property(
        expressions,
        moments,
        fc.double({ min: 0, max: 1e10, noNaN: true }),
        ({ text, dialect }, [timeZone], offset) => {
          const timetable = cronTimetable(text, { timeZone, dialect });
          const after = 1_700_000_000_000 + offset;
          const first = timetable.next(after, [])?.atMs;
          if (first === undefined) return;
          expect(first).toBeGreaterThan(after);
          expect(timetable.next(first - 1, [])!.atMs).toBe(first);
          expect(timetable.next(Math.max(after, first - 86_400_000), [])!.atMs).toBe(first);
          expect(timetable.next(first, [])?.atMs ?? Number.POSITIVE_INFINITY).toBeGreaterThan(first);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('counts as many as it finds one by one', () => {
    fc.assert(
      fc.property(
        expressions,
        moments,
        fc.integer({ min: 1, max: 5 }),
        (expression, [timeZone, start], days) => {
          const fromMs = Date.parse(start) - 2 * 86_400_000;
          const untilMs = fromMs + days * 86_400_000;
          const timetable = cronTimetable(expression.text, { timeZone, dialect: expression.dialect });
          expect(timetable.count(fromMs, untilMs, 1e9, [])).toBe(
            findAll(expression, timeZone, fromMs, untilMs).length,
          );
        },
      ),
      { numRuns: 100 },
    );
  });
});
