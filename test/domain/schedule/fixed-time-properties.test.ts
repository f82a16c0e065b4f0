import { CronExpressionParser } from 'cron-parser';
import { Cron } from 'croner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AmbiguousPolicy, CronDialect, GapPolicy } from '../../../src/domain/schedule/schedule.ts';
import { cronTimetable, firesAfter } from './schedules.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** Every minute around a change of clocks, with what a clock there shows. */
type Minutes = readonly { readonly atMs: number; readonly shown: string }[];

const tables = new Map<string, Minutes>();

/** Asks Intl what the clocks of a zone show at every minute of the two days before and behind an instant. */
function minutesAround(zone: string, change: string): Minutes {
  const known = tables.get(zone + change);
  if (known) return known;
  const format = new Intl.DateTimeFormat('sv-SE', {
    timeZone: zone,
    dateStyle: 'short',
    timeStyle: 'short',
  });
  const minutes = Array.from({ length: 4 * 24 * 60 }, (_, i) => {
    const atMs = Date.parse(change) - 48 * hourMs + i * minuteMs;
    return { atMs, shown: format.format(atMs) };
  });
  tables.set(zone + change, minutes);
  return minutes;
}

/**
 * The oracle: for every date and every time that is asked for, looks up when a
 * clock shows it. Never: the clocks jumped over it. Twice: they went back.
 */
function scan(
  minutes: Minutes,
  times: readonly string[],
  weekdays: readonly number[],
  { gap, ambiguous }: { readonly gap: GapPolicy; readonly ambiguous: AmbiguousPolicy },
): number[] {
  const shownDates = new Set(minutes.map(({ shown }) => shown.slice(0, 10)));
  const dates = Array.from({ length: 7 }, (_, i) =>
    new Date(minutes[0]!.atMs + (i - 1) * 24 * hourMs).toISOString().slice(0, 10),
  ).filter((date) => weekdays.length === 0 || weekdays.includes(new Date(date).getUTCDay()));
  const fires = new Set<number>();
  for (const wanted of dates.flatMap((date) => times.map((time) => `${date} ${time}`))) {
    const hits = minutes.filter(({ shown }) => shown === wanted).map(({ atMs }) => atMs);
    if (hits.length === 1) fires.add(hits[0]!);
    if (hits.length === 2 && ambiguous !== 'SECOND') fires.add(hits[0]!);
    if (hits.length === 2 && ambiguous !== 'FIRST') fires.add(hits[1]!);
    if (hits.length > 0 || gap === 'SKIP' || !shownDates.has(wanted.slice(0, 10))) continue;
    const end = minutes.find(({ shown }, i) => i > 0 && minutes[i - 1]!.shown < wanted && wanted < shown);
    if (end) fires.add(end.atMs);
  }
  return [...fires].sort((a, b) => a - b);
}

const changes = fc.constantFrom<[zone: string, change: string]>(
  ['America/New_York', '2026-03-08T07:00:00Z'],
  ['America/New_York', '2026-11-01T06:00:00Z'],
  ['Europe/Berlin', '2026-03-29T01:00:00Z'],
  ['Europe/Berlin', '2026-10-25T01:00:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
  ['America/Sao_Paulo', '2018-11-04T03:00:00Z'],
  ['America/Sao_Paulo', '2018-02-18T02:00:00Z'],
  ['Africa/Cairo', '2026-04-23T22:00:00Z'],
  ['Asia/Shanghai', '1986-05-03T18:00:00Z'],
  ['Asia/Shanghai', '1991-09-14T16:00:00Z'],
  ['Pacific/Apia', '2011-12-30T10:00:00Z'],
  ['Antarctica/Troll', '2026-03-29T01:00:00Z'],
  ['Antarctica/Troll', '2026-10-25T01:00:00Z'],
  ['Africa/Sao_Tome', '2019-01-01T01:00:00Z'],
  ['Asia/Dhaka', '2009-12-31T18:00:00Z'],
);

const times = fc.record({
  minutes: fc.uniqueArray(fc.constantFrom(0, 1, 15, 29, 30, 31, 45, 59), { minLength: 1, maxLength: 3 }),
  hours: fc.uniqueArray(fc.constantFrom(0, 1, 2, 3, 4, 12, 22, 23), { minLength: 1, maxLength: 4 }),
  // Days apart, so that the search has far to jump.
  weekdays: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { maxLength: 2 }),
});

const policies = fc.record({
  gap: fc.constantFrom<GapPolicy>('RUN_AT_GAP_END', 'SKIP'),
  ambiguous: fc.constantFrom<AmbiguousPolicy>('FIRST', 'SECOND', 'BOTH'),
});

/** From a day before a change until just behind it. */
const starts = fc.oneof(
  fc.integer({ min: -20 * hourMs, max: hourMs }),
  fc.integer({ min: -90 * minuteMs, max: 0 }),
);

/** The same times in either dialect; weekday 0 is Sunday. */
const expressionOf = (
  dialect: CronDialect,
  minutes: readonly number[],
  hours: readonly number[],
  weekdays: readonly number[],
): string =>
  dialect === 'UNIX'
    ? `${minutes} ${hours} * * ${weekdays.join(',') || '*'}`
    : `0 ${minutes} ${hours} ? * ${weekdays.map((day) => day + 1).join(',') || '*'}`;

const two = (n: number): string => String(n).padStart(2, '0');

describe('a fixed-time schedule', () => {
  it('fires around changes of clocks when a look at every minute says so', () => {
    fc.assert(
      fc.property(
        changes,
        times,
        policies,
        starts,
        fc.constantFrom<CronDialect>('UNIX', 'QUARTZ'),
        ([zone, change], { minutes, hours, weekdays }, policy, startMs, dialect) => {
          const wanted = hours.flatMap((hour) => minutes.map((minute) => `${two(hour)}:${two(minute)}`));
          const table = minutesAround(zone, change);
          const [fromMs, untilMs] = [Date.parse(change) + startMs, Date.parse(change) + 20 * hourMs];
          const expected = scan(table, wanted, weekdays, policy).filter(
            (atMs) => atMs > fromMs && atMs <= untilMs,
          );
          const timetable = cronTimetable(expressionOf(dialect, minutes, hours, weekdays), {
            timeZone: zone,
            dialect,
            ...policy,
          });
          const found: number[] = [];
          let fire = timetable.next(fromMs, []);
          for (; fire && fire.atMs <= untilMs; fire = timetable.next(fire.atMs, [])) found.push(fire.atMs);
          expect(found.map((ms) => new Date(ms).toISOString())).toEqual(
            expected.map((ms) => new Date(ms).toISOString()),
          );
          expect(timetable.count(fromMs, untilMs, 1_000, [])).toBe(found.length);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('answers the same from every instant before a fire time, with or without a fraction', () => {
    fc.assert(
      fc.property(
        changes,
        times,
        policies,
        fc.double({ min: 0, max: 1, noNaN: true }),
        ([zone, change], { minutes, hours }, policy, part) => {
          const timetable = cronTimetable(`${minutes} ${hours} * * *`, { timeZone: zone, ...policy });
          const fromMs = Date.parse(change) - 6 * hourMs;
          const first = timetable.next(fromMs, [])!.atMs;
          const between = Math.min(fromMs + part * (first - fromMs), first - 0.5);
          expect(timetable.next(between, [])!.atMs).toBe(first);
          expect(timetable.next(first - 0.001, [])!.atMs).toBe(first);
          expect(timetable.next(first, [])!.atMs).toBeGreaterThan(first);
        },
      ),
      { numRuns: 200 },
    );
  });
});

// Clocks go back at 06:00Z on Sunday, 1 November 2026; a week, a month or a year lies between the dates.
it.each([
  ['BOTH', '30 1 * * SUN', '2026-11-01T05:30:00Z', ['2026-11-01T06:30:00Z', '2026-11-08T06:30:00Z']],
  ['SECOND', '30 1 * * SUN', '2026-11-01T05:45:00Z', ['2026-11-01T06:30:00Z', '2026-11-08T06:30:00Z']],
  ['SECOND', '30 1 1 11 *', '2026-11-01T05:59:59.999Z', ['2026-11-01T06:30:00Z', '2027-11-01T05:30:00Z']],
  ['FIRST', '30 1 1 * *', '2026-11-01T05:45:00Z', ['2026-12-01T06:30:00Z', '2027-01-01T06:30:00Z']],
  ['FIRST', '*/30 1 * * SUN', '2026-11-01T05:30:00Z', ['2026-11-01T06:00:00Z', '2026-11-01T06:30:00Z']],
] as const)(
  'between the two, finds the second of two times that are rare: %s %s',
  (ambiguous, expression, after, fires) => {
    const timetable = cronTimetable(expression, { timeZone: 'America/New_York', ambiguous });
    expect(firesAfter(timetable, after, fires.length)).toEqual(fires);
  },
);

describe('the standard grammar away from changes of clocks', () => {
  /** A field of numbers, ranges and steps. */
  const field = (min: number, max: number): fc.Arbitrary<string> => {
    const number = fc.integer({ min, max });
    const range = fc.tuple(number, number).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
    const stepped = fc.tuple(range, fc.integer({ min: 1, max: 7 })).map(([from, step]) => `${from}/${step}`);
    // cron-parser refuses items that name a value twice.
    const list = fc.uniqueArray(number, { minLength: 1, maxLength: 4 }).map((numbers) => numbers.join(','));
    return fc.oneof(fc.constant('*'), list, range, stepped);
  };
  const expressions = fc
    .tuple(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
    .map((fields) => fields.join(' '));
  const instants = fc.integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2060, 0, 1) });

  it('fires when cron-parser and croner say so', () => {
    fc.assert(
      fc.property(expressions, instants, (expression, afterMs) => {
        const found = cronTimetable(expression).next(afterMs, [])!.atMs;
        const byParser = CronExpressionParser.parse(expression, {
          currentDate: new Date(afterMs),
          tz: 'UTC',
        });
        expect(byParser.next().toDate().getTime()).toBe(found);
        const byCroner = new Cron(expression, { timezone: 'UTC', paused: true }).nextRun(new Date(afterMs));
        expect(byCroner?.getTime()).toBe(found);
      }),
      { numRuns: 200 },
    );
  });
});
