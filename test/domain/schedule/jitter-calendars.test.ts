import { expect, it } from 'vitest';
import { Exclusions } from '../../../src/domain/schedule/exclusions.ts';
import { compileTimetable } from '../../../src/domain/schedule/timetable.ts';
import { compiled, unixCron } from './calendars.ts';
import { cronSpec, scheduleOf } from './schedules.ts';

const schedule = scheduleOf(cronSpec('0 12 * * *'), { jitterMs: 3_000_000, calendars: ['c'] });

it.each([
  ['noon itself', '0 12 * * *', 'open'],
  ['the hour from noon on but not noon', '1-59 12 * * *', 'excluded'],
])('the instant after jitter decides where a calendar excludes %s', (_, expression, kind) => {
  const exclusions = new Exclusions(
    [schedule],
    new Map([['c', compiled({ name: 'c', crons: [unixCron(expression)] })]]),
  );
  const noon = Date.parse('2026-11-21T12:00:00Z');
  const fires = Array.from(
    { length: 20 },
    (_, n) => compileTimetable([schedule], n + 1).next(Date.parse('2026-11-21T00:00:00Z'), [])!,
  );
  // A fire time that is hardly moved would fit both.
  const moved = fires.filter((fire) => fire.atMs >= noon + 60_000);
  expect(moved.length).toBeGreaterThan(10);
  expect(new Set(moved.map((fire) => exclusions.apply(fire).kind))).toEqual(new Set([kind]));
});
