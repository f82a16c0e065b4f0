import { describe, expect, it } from 'vitest';
import type { Schedule } from '../../../src/domain/schedule/schedule.ts';
import { compileTimetable } from '../../../src/domain/schedule/timetable.ts';
import { cronSpec, firesAfter, firesBetween, scheduleOf } from './schedules.ts';

const noon = '2026-11-21T12:00:00Z';
const noonMs = Date.parse(noon);
const minuteMs = 60_000;

const every = (everyMs: number, anchorMs: number, more: Partial<Omit<Schedule, 'spec'>> = {}): Schedule =>
  scheduleOf({ kind: 'interval', everyMs, mode: 'FIXED_RATE', anchorMs }, more);

const once = (at: string): Schedule => scheduleOf({ kind: 'once', atMs: Date.parse(at) });

describe('an interval', () => {
  it.each<[string, number, string[]]>([
    [
      'fires at its anchor first when that lies ahead',
      noonMs + minuteMs,
      ['2026-11-21T12:01:00Z', '2026-11-21T12:02:30Z'],
    ],
    [
      'keeps the distance from an anchor that lies behind',
      noonMs - 2 * minuteMs,
      ['2026-11-21T12:01:00Z', '2026-11-21T12:02:30Z'],
    ],
    ['is strictly after when an anchor is now', noonMs, ['2026-11-21T12:01:30Z', '2026-11-21T12:03:00Z']],
    [
      'goes by its anchor through years',
      Date.parse('1999-01-01T00:00:07Z'),
      ['2026-11-21T12:00:07Z', '2026-11-21T12:01:37Z'],
    ],
  ])('%s', (_, anchorMs, fires) => {
    expect(firesAfter(compileTimetable([every(90_000, anchorMs)], 1), noon, 2)).toEqual(fires);
  });

  it('is strictly after an instant with a fraction, on either side of a fire time', () => {
    const timetable = compileTimetable([every(10, noonMs)], 1);
    expect(timetable.next(noonMs - 0.25, [])?.atMs).toBe(noonMs);
    expect(timetable.next(noonMs + 0.25, [])?.atMs).toBe(noonMs + 10);
  });

  it('counts as many as it fires', () => {
    const timetable = compileTimetable([every(90_000, noonMs)], 1);
    expect(timetable.count(noonMs, noonMs + 3_600_000, 1_000, [])).toBe(40);
    expect(timetable.count(noonMs - 1, noonMs, 1_000, [])).toBe(1);
    expect(timetable.count(noonMs - 3_600_000, noonMs - 1, 1_000, [])).toBe(0);
    expect(timetable.count(noonMs, noonMs + 3_600_000, 7, [])).toBe(7);
  });
});

it('fires a one-shot once', () => {
  const timetable = compileTimetable([once('2026-11-21T12:30:00Z')], 1);
  expect(firesAfter(timetable, noon, 5)).toEqual(['2026-11-21T12:30:00Z']);
  expect(firesAfter(timetable, '2026-11-21T12:30:00Z', 5)).toEqual([]);
  expect(timetable.count(noonMs, noonMs + 3_600_000, 9, [])).toBe(1);
});

it('never fires without schedules', () => {
  expect(compileTimetable([], 1).next(noonMs, [])).toBeUndefined();
  expect(compileTimetable([], 1).count(noonMs, noonMs + minuteMs, 9, [])).toBe(0);
});

describe('several schedules', () => {
  const hourly = scheduleOf(cronSpec('0 * * * *'), { name: 'hourly' });
  const halves = scheduleOf(cronSpec('*/30 * * * *'), { name: 'halves', repeatCount: 2 });
  const union = compileTimetable([hourly, halves, once('2026-11-21T12:45:00Z')], 1);

  it('are a union in which a common instant fires once', () => {
    expect(firesBetween(union, noon, '2026-11-21T14:00:00Z')).toEqual([
      '2026-11-21T12:30:00Z',
      '2026-11-21T12:45:00Z',
      '2026-11-21T13:00:00Z',
      '2026-11-21T13:30:00Z',
      '2026-11-21T14:00:00Z',
    ]);
    expect(union.count(noonMs, noonMs + 2 * 60 * minuteMs, 100, [])).toBe(5);
    expect(union.count(noonMs, noonMs + 2 * 60 * minuteMs, 3, [])).toBe(3);
  });

  it('are all named at a common instant, the first of them by name', () => {
    expect(union.next(noonMs + 50 * minuteMs, [])).toEqual({
      atMs: noonMs + 60 * minuteMs,
      schedules: [0, 1],
      name: 'hourly',
    });
  });

  it('neither fire nor count once they have made all their runs', () => {
    expect(union.next(noonMs, [{ runs: 0 }, { runs: 2 }])).toMatchObject({
      atMs: noonMs + 45 * minuteMs,
      schedules: [2],
    });
    expect(union.next(noonMs, [{ runs: 0 }, { runs: 1 }])).toMatchObject({
      atMs: noonMs + 30 * minuteMs,
      schedules: [1],
    });
    expect(union.count(noonMs, noonMs + 2 * 60 * minuteMs, 100, [{ runs: 0 }, { runs: 2 }])).toBe(3);
    const only = compileTimetable([halves], 1);
    expect(only.next(noonMs, [{ runs: 2 }])).toBeUndefined();
    expect(only.count(noonMs, noonMs + 60 * minuteMs, 9, [{ runs: 2 }])).toBe(0);
  });

  it('keep zones of their own', () => {
    const zones = compileTimetable(
      ['Asia/Tokyo', 'America/New_York'].map((timeZone) =>
        scheduleOf(cronSpec('0 9 * * *', { timeZone }), { name: timeZone }),
      ),
      1,
    );
    const first = zones.next(noonMs, [])!;
    expect(zones.describe(first)).toEqual({
      localTime: '2026-11-21T09:00:00-05:00',
      timeZone: 'America/New_York',
      note: '',
    });
    const second = zones.next(first.atMs, [])!;
    expect(zones.describe(second)).toEqual({
      localTime: '2026-11-22T09:00:00+09:00',
      timeZone: 'Asia/Tokyo',
      note: '',
    });
  });
});

describe('bounds', () => {
  const bounded = (startMs?: number, endMs?: number) =>
    compileTimetable([scheduleOf(cronSpec('* * * * *'), { startMs, endMs })], 1);

  it('are inclusive on both sides', () => {
    const timetable = bounded(noonMs, noonMs + 2 * minuteMs);
    const fires = ['2026-11-21T12:00:00Z', '2026-11-21T12:01:00Z', '2026-11-21T12:02:00Z'];
    expect(firesAfter(timetable, '2020-01-01T00:00:00Z', 9)).toEqual(fires);
    expect(timetable.count(0, noonMs * 2, 99, [])).toBe(3);
  });

  it('leave out what lies a millisecond beyond', () => {
    expect(firesAfter(bounded(noonMs + 1, noonMs + 2 * minuteMs - 1), noon, 9)).toEqual([
      '2026-11-21T12:01:00Z',
    ]);
    expect(bounded(noonMs + 1, noonMs + 2 * minuteMs - 1).count(0, noonMs * 2, 99, [])).toBe(1);
  });

  it('may leave nothing', () => {
    expect(firesAfter(bounded(noonMs + 1, noonMs + 2), noon, 9)).toEqual([]);
    expect(bounded(noonMs + 1, noonMs + 2).count(0, noonMs * 2, 99, [])).toBe(0);
  });
});

it.each([
  [
    '2026-03-29',
    '30 2 * * *',
    '2026-03-29T03:00:00+02:00',
    'moved to the end of the gap 02:00 to 03:00, clocks go forward',
  ],
  ['2026-03-30', '30 2 * * *', '2026-03-30T02:30:00+02:00', ''],
  ['2026-03-29', '0 3 * * *', '2026-03-29T03:00:00+02:00', ''],
  [
    '2026-10-25',
    '30 2 * * *',
    '2026-10-25T02:30:00+02:00',
    'the first of two such local times, clocks go back',
  ],
  ['2026-03-29', '*/30 * * * *', '2026-03-29T00:30:00+01:00', ''],
])('describes the fire time of %s of %s for people', (date, expression, localTime, note) => {
  const timetable = compileTimetable([scheduleOf(cronSpec(expression, { timeZone: 'Europe/Berlin' }))], 1);
  const offsetHours = date < '2026-03-30' ? 1 : 2;
  const fire = timetable.next(Date.parse(`${date}T00:00:00Z`) - offsetHours * 3_600_000, [])!;
  expect(timetable.describe(fire)).toEqual({ localTime, timeZone: 'Europe/Berlin', note });
});
