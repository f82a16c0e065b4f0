import { describe, expect, it } from 'vitest';
import { compileCron } from '../../../src/domain/schedule/cron-expression.ts';
import type { CronDialect } from '../../../src/domain/schedule/schedule.ts';
import { spreadSuggestion } from '../../../src/domain/schedule/spread-suggestion.ts';
import { cronSpec, cronTimetable, firesAfter } from './schedules.ts';

const start = '2026-03-01T00:00:00Z';

/** Ids of jobs that were added one after the other. */
const seeds = Array.from({ length: 60 }, (_, i) => 350_000_000_000_000 + i);

describe.each<[dialect: CronDialect, expression: (minute: string) => string]>([
  ['UNIX', (minute) => `${minute} * * * *`],
  ['QUARTZ', (minute) => `0 ${minute} * * * ?`],
])('H is spread by job id in %s', (dialect, expression) => {
  const minuteOf = (minute: string, seed: number): number =>
    new Date(
      cronTimetable(expression(minute), { dialect }, seed).next(Date.parse(start), [])!.atMs,
    ).getUTCMinutes();

  it('and stands for the same value whenever it is compiled for the same job', () => {
    for (const seed of seeds) expect(minuteOf('H', seed)).toBe(minuteOf('H', seed));
  });

  it('so that jobs whose ids follow each other end up all over the field', () => {
    expect(new Set(seeds.map((seed) => minuteOf('H', seed))).size).toBeGreaterThan(25);
  });

  it('and stays within H(a-b)', () => {
    expect(new Set(seeds.map((seed) => minuteOf('H(10-14)', seed)))).toEqual(new Set([10, 11, 12, 13, 14]));
  });

  it('and shifts H/n as a whole', () => {
    for (const seed of seeds) {
      const fires = firesAfter(cronTimetable(expression('H/15'), { dialect }, seed), start, 5).map(
        Date.parse,
      );
      const steps = fires.slice(1).map((fire, i) => fire - fires[i]!);
      expect(steps).toEqual([900_000, 900_000, 900_000, 900_000]);
    }
  });

  it('and keeps to the range in H(a-b)/n', () => {
    for (const seed of seeds) {
      const minutes = firesAfter(cronTimetable(expression('H(20-39)/10'), { dialect }, seed), start, 2).map(
        (iso) => new Date(iso).getUTCMinutes(),
      );
      expect(minutes[0]).toBeGreaterThanOrEqual(20);
      expect(minutes[0]).toBeLessThan(30);
      expect(minutes[1]).toBe(minutes[0]! + 10);
    }
  });
});

it('H names a day that every month has', () => {
  for (const seed of seeds) {
    const fires = firesAfter(cronTimetable('H H H * *', {}, seed), '2026-01-31T23:59:59Z', 12);
    expect(fires.map((iso) => Number(iso.slice(5, 7)))).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1]);
  }
});

it('H counts as a plain number, so the schedule is of fixed time', () => {
  expect(compileCron('H H * * *', 'UNIX', 7).isFixedTime).toBe(true);
  expect(compileCron('H/10 H * * *', 'UNIX', 7).isFixedTime).toBe(false);
});

describe('what would spread an expression', () => {
  it.each<[expression: string, suggestion: string | undefined, dialect?: CronDialect]>([
    ['0 2 * * *', 'H 2 * * *'],
    ['0 0 2 * * ?', '0 H 2 * * ?', 'QUARTZ'],
    ['0 0 2 1 1 ? 2030', '0 H 2 1 1 ? 2030', 'QUARTZ'],
    ['@daily', 'H 0 * * *'],
    ['@weekly', 'H 0 * * 0'],
    ['* * * * *', 'H * * * * *'],
    ['0 * * * * ?', 'H * * * * ?', 'QUARTZ'],
    ['*/15 * * * *', 'H/15 * * * *'],
    ['0,30 * * * THU', 'H/30 * * * THU'],
    ['30 0 2 * * *', '30 H 2 * * *'],
    ['*/7 * * * *', 'H */7 * * * *'],
    ['5,17 2 * * *', 'H 5,17 2 * * *'],
    // H/30 would follow elapsed time where clocks change, and this does not.
    ['0,30 2 * * *', 'H 0,30 2 * * *'],
    ['* * * * * *', undefined],
    ['0,30 * * * * *', undefined],
    ['H 2 * * *', undefined],
    ['0 H(1-4) * * *', undefined],
    ['0 2 * *', undefined],
    ['@every 90s', undefined],
    ['@daily', undefined, 'QUARTZ'],
  ])('%j becomes %j', (expression, suggestion, dialect = 'UNIX') => {
    expect(spreadSuggestion(cronSpec(expression, { dialect }))).toBe(suggestion);
  });
});
