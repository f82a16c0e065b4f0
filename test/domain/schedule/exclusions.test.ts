import { describe, expect, it } from 'vitest';
import type { Calendar } from '../../../src/domain/schedule/calendar.ts';
import { Exclusions } from '../../../src/domain/schedule/exclusions.ts';
import type { Schedule } from '../../../src/domain/schedule/schedule.ts';
import { compileTimetable, type Fire, type Timetable } from '../../../src/domain/schedule/timetable.ts';
import { calendarOf, compiled, unixCron } from './calendars.ts';
import { cronSpec, scheduleOf } from './schedules.ts';

/** Schedules that name calendars; when they fire is not asked here. */
const schedulesWith = (...calendars: readonly (readonly string[] | undefined)[]): Schedule[] =>
  calendars.map((names, place) => scheduleOf(cronSpec('0 0 * * *'), { name: `s${place}`, calendars: names }));

const calendarMap = (calendars: Readonly<Record<string, Partial<Calendar>>>) =>
  new Map(Object.entries(calendars).map(([name, parts]) => [name, compiled(calendarOf({ ...parts, name }))]));

const fireAt = (instant: string, ...schedules: readonly number[]): Fire => ({
  atMs: Date.parse(instant),
  schedules,
  name: `s${schedules[0]}`,
});

const weekend = { weekdays: ['SATURDAY', 'SUNDAY'] } as const;
const christmas = { yearlyDays: ['12-25'] };

describe('a fire time', () => {
  const exclusions = new Exclusions(
    schedulesWith(['weekend', 'christmas'], ['christmas'], undefined),
    calendarMap({ weekend, christmas }),
  );
  // A Friday, and a Saturday.
  const friday = '2026-12-25T10:00:00Z';
  const saturday = '2027-12-25T10:00:00Z';

  it.each<[string, Fire, ReturnType<Exclusions['apply']>]>([
    [
      'is open where no calendar of its schedule excludes it',
      fireAt('2026-12-24T10:00:00Z', 0),
      { kind: 'open', fire: fireAt('2026-12-24T10:00:00Z', 0) },
    ],
    [
      'is excluded where one calendar of its schedule excludes it',
      fireAt(friday, 0),
      { kind: 'excluded', by: 'calendar "christmas"' },
    ],
    [
      'is open where only a calendar of another schedule excludes it',
      fireAt('2026-12-26T10:00:00Z', 1),
      { kind: 'open', fire: fireAt('2026-12-26T10:00:00Z', 1) },
    ],
    [
      'keeps the schedules that are open, and takes the name of the first of them',
      fireAt('2026-12-26T10:00:00Z', 0, 1, 2),
      { kind: 'open', fire: fireAt('2026-12-26T10:00:00Z', 1, 2) },
    ],
    [
      'names each calendar once when all its schedules are excluded',
      fireAt(saturday, 0, 1),
      { kind: 'excluded', by: 'calendars "weekend" and "christmas"' },
    ],
  ])('%s', (_, fire, applied) => {
    expect(exclusions.apply(fire)).toEqual(applied);
  });

  it('names three calendars at most', () => {
    const all = { crons: [unixCron('* * * * *')] };
    const by = (...names: string[]) =>
      new Exclusions(schedulesWith(names), calendarMap({ a: all, b: all, c: all, d: all })).apply(
        fireAt(friday, 0),
      );
    expect(by('a', 'b', 'c')).toEqual({ kind: 'excluded', by: 'calendars "a", "b" and "c"' });
    expect(by('a', 'b', 'c', 'd')).toEqual({ kind: 'excluded', by: 'calendars "a", "b" and 2 more' });
  });

  it('is open where nothing is excluded at all', () => {
    expect(Exclusions.none.apply(fireAt(friday, 0, 7))).toEqual({ kind: 'open', fire: fireAt(friday, 0, 7) });
  });
});

it('refuses to work without a calendar that a schedule names', () => {
  expect(() => new Exclusions(schedulesWith(['gone']), new Map())).toThrow('"gone" is not at hand');
});

/** Fire times at a steady distance, each of the same schedules; counts how often it is asked. */
class SteadyFires {
  asked = 0;
  readonly #everyMs: number;
  readonly #schedules: readonly number[];

  constructor(everyMs: number, ...schedules: readonly number[]) {
    this.#everyMs = everyMs;
    this.#schedules = schedules;
  }

  lastUntil(untilMs: number, afterMs: number): Fire | undefined {
    this.asked++;
    const atMs = Math.floor(untilMs / this.#everyMs) * this.#everyMs;
    if (atMs <= afterMs) return undefined;
    return { atMs, schedules: this.#schedules, name: `s${this.#schedules[0]}` };
  }

  only(places: readonly number[]): Timetable {
    const own = this.#schedules.some((place) => places.includes(place));
    // Only its fire times are asked for.
    return (own ? this : compileTimetable([], 1)) as unknown as Timetable;
  }
}

describe('the last fire time that is open', () => {
  const lastOpen = (
    exclusions: Exclusions,
    fires: Pick<Timetable, 'lastUntil' | 'only'>,
    until: string,
    after = '2026-01-01T00:00:00Z',
  ): string | undefined => {
    const fire = exclusions.lastOpenUntil(fires, Date.parse(until), Date.parse(after), []);
    return fire && new Date(fire.atMs).toISOString();
  };

  it('is the last one, found in one step, where nothing is excluded', () => {
    const fires = new SteadyFires(60_000, 0);
    expect(lastOpen(Exclusions.none, fires, '2026-03-08T12:00:30Z')).toBe('2026-03-08T12:00:00.000Z');
    expect(fires.asked).toBe(1);
  });

  it('lies before a weekend that is excluded, which is one jump', () => {
    const exclusions = new Exclusions(schedulesWith(['weekend']), calendarMap({ weekend }));
    const fires = new SteadyFires(10, 0);
    expect(lastOpen(exclusions, fires, '2026-03-08T12:00:00Z')).toBe('2026-03-06T23:59:59.990Z');
    expect(fires.asked).toBe(3);
  });

  it('is that of the schedule that is open where another one is excluded', () => {
    const exclusions = new Exclusions(schedulesWith(['weekend'], undefined), calendarMap({ weekend }));
    const every = (name: string, everyMs: number, anchorMs: number): Schedule => ({
      name,
      repeatCount: 0,
      spec: { kind: 'interval', everyMs, mode: 'FIXED_RATE', anchorMs },
    });
    const fires = compileTimetable([every('s0', 3_600_000, 0), every('s1', 86_400_000, 43_200_000)], 1);
    const fire = exclusions.lastOpenUntil(
      fires,
      Date.parse('2026-03-08T22:00:00Z'),
      Date.parse('2026-03-01T00:00:00Z'),
      [],
    );
    expect(fire).toEqual({ atMs: Date.parse('2026-03-08T12:00:00Z'), schedules: [1], name: 's1' });
  });

  it('must lie behind the earlier instant', () => {
    const exclusions = new Exclusions(schedulesWith(['weekend']), calendarMap({ weekend }));
    const fires = new SteadyFires(60_000, 0);
    expect(lastOpen(exclusions, fires, '2026-03-08T12:00:00Z', '2026-03-06T23:59:00Z')).toBeUndefined();
    expect(lastOpen(exclusions, fires, '2026-03-08T12:00:00Z', '2026-03-06T23:58:59Z')).toBe(
      '2026-03-06T23:59:00.000Z',
    );
  });

  it('is not found when everything is excluded, in few steps', () => {
    const all = { crons: [unixCron('* * * * *')] };
    const exclusions = new Exclusions(schedulesWith(['all']), calendarMap({ all }));
    const fires = new SteadyFires(10, 0);
    expect(lastOpen(exclusions, fires, '2026-03-08T12:00:00Z', '2006-01-01T00:00:00Z')).toBeUndefined();
    expect(fires.asked).toBeLessThan(25);
  });

  it('is given up after 1,000 jumps', () => {
    const evenSeconds = { crons: [{ expression: '*/2 * * * * *', dialect: 'UNIX' as const }] };
    const exclusions = new Exclusions(schedulesWith(['even']), calendarMap({ even: evenSeconds }));
    const fires = new SteadyFires(2_000, 0);
    expect(lastOpen(exclusions, fires, '2026-03-08T12:00:00Z')).toBeUndefined();
    expect(fires.asked).toBe(1_000);
  });
});
