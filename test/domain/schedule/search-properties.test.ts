import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileTimetable } from '../../../src/domain/schedule/timetable.ts';
import { cron } from './cron-table.ts';

/**
 * An oracle that is independent, slow and obvious: it asks Intl what a clock
 * shows at every second, and matches lists of numbers. For frequent schedules
 * that is the whole rule.
 */
function scan(fields: Fields, zone: string, fromMs: number, seconds: number): number[] {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    month: 'numeric',
    day: 'numeric',
    weekday: 'short',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const fires: number[] = [];
  for (let ms = Math.floor(fromMs / 1000) * 1000 + 1000; ms <= fromMs + seconds * 1000; ms += 1000) {
    const shown = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
    const weekday = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'].indexOf(shown.weekday!);
    const fits =
      fields.second.includes(Number(shown.second)) &&
      fields.minute.includes(Number(shown.minute)) &&
      fields.hour.includes(Number(shown.hour)) &&
      (fields.weekday.length === 0 || fields.weekday.includes(weekday));
    if (fits) fires.push(ms);
  }
  return fires;
}

type Fields = { second: number[]; minute: number[]; hour: number[]; weekday: number[] };

const list = (max: number, maxLength: number) =>
  fc.uniqueArray(fc.integer({ min: 0, max }), { minLength: 1, maxLength });

const fields = fc.record({
  second: list(59, 2),
  minute: list(59, 8),
  hour: list(23, 12),
  weekday: list(6, 4),
});

/** A range makes it frequent without changing what it names. */
const frequent = ({ second, minute, hour, weekday }: Fields): string =>
  `${second.map((s) => `${s}-${s}`).join(',')} ${minute.join(',')} ${hour.join(',')} * * ${weekday.join(',') || '*'}`;

/** Hours around changes of clocks, and calm ones. */
const moments = fc.constantFrom(
  ['Europe/Berlin', '2026-03-29T00:10:00Z'],
  ['Europe/Berlin', '2026-10-24T23:40:00Z'],
  ['America/New_York', '2026-03-08T06:20:00Z'],
  ['America/New_York', '2026-11-01T04:50:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T15:00:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T14:30:00Z'],
  ['America/Sao_Paulo', '2018-11-04T02:30:00Z'],
  ['Asia/Kathmandu', '2026-06-01T17:00:00Z'],
  ['UTC', '2026-12-31T23:00:00Z'],
) as fc.Arbitrary<[string, string]>;

describe('the search', () => {
  it('finds what a scan of every second finds', () => {
    fc.assert(
      fc.property(
        fields,
        moments,
        fc.integer({ min: 0, max: 3_600_000 }),
        (given, [zone, start], shiftMs) => {
          const fromMs = Date.parse(start) + shiftMs;
          const timetable = compileTimetable([cron(frequent(given), { zone })], 1);
          const found: number[] = [];
          let fire = timetable.next(fromMs, []);
          for (; fire && fire.atMs <= fromMs + 5_400_000; fire = timetable.next(fire.atMs, []))
            found.push(fire.atMs);
          expect(found).toEqual(scan(given, zone, fromMs, 5_400));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is strictly after, also behind a fraction, and never goes back', () => {
    fc.assert(
      fc.property(fields, moments, fc.double({ min: 0, max: 1e10, noNaN: true }), (given, [zone], offset) => {
        const timetable = compileTimetable([cron(frequent(given), { zone })], 1);
        const after = 1_700_000_000_000 + offset;
        const first = timetable.next(after, [])!.atMs;
        expect(first).toBeGreaterThan(after);
        expect(timetable.next(first - 1, [])!.atMs).toBe(first);
        expect(timetable.next(first, [])!.atMs).toBeGreaterThan(first);
      }),
      { numRuns: 300 },
    );
  });

  it('counts as many as it finds one by one', () => {
    fc.assert(
      fc.property(fields, moments, fc.integer({ min: 1, max: 12 }), (given, [zone, start], days) => {
        const fromMs = Date.parse(start) - 3 * 86_400_000;
        const untilMs = fromMs + days * 86_400_000;
        const fixed = `${given.second} ${given.minute} ${given.hour} * * *`;
        for (const expression of [fixed, frequent(given)]) {
          const timetable = compileTimetable([cron(expression, { zone, ambiguous: 'BOTH' })], 1);
          let count = 0;
          let fire = timetable.next(fromMs, []);
          for (; fire && fire.atMs <= untilMs; fire = timetable.next(fire.atMs, [])) count++;
          expect(timetable.count(fromMs, untilMs, 1e9)).toBe(count);
        }
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    '0 0 29 2 MON#5',
    '0 0 29 2 */7',
    '59 59 23 31 12 SAT',
    '0 0 L-28 2 *',
    '0 0 1W 1 SUN#5',
    `${Array.from({ length: 60 }, (_, i) => i).join(',')} * * * * *`,
    '0 0 29W 2 *',
    '* * * 29 2 *',
  ])('ends for the rare and the wide: %s', (expression) => {
    const timetable = compileTimetable([cron(expression, { zone: 'Europe/Berlin' })], 1);
    let after = Date.parse('2026-01-01T00:00:00Z');
    for (let i = 0; i < 20; i++) {
      const fire = timetable.next(after, []);
      if (!fire) return;
      expect(fire.atMs).toBeGreaterThan(after);
      after = fire.atMs;
    }
  });
});
