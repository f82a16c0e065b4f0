/** Nothing depends on the zone of the machine. */
import { afterEach, expect, it } from 'vitest';
import { cronTimetable, firesAfter } from './schedules.ts';

const machineZone = process.env.TZ;

afterEach(() => {
  if (machineZone === undefined) delete process.env.TZ;
  else process.env.TZ = machineZone;
});

it.each([
  ['America/New_York', 300],
  ['Asia/Kolkata', -330],
  ['Pacific/Apia', -780],
])('fires by the zone of the schedule on a machine in %s', (zone, offset) => {
  process.env.TZ = zone;
  expect(new Date('2026-01-01T00:00:00Z').getTimezoneOffset()).toBe(offset);
  const after = '2026-01-01T00:00:00Z';
  expect(firesAfter(cronTimetable('30 2 * * *'), after, 1)).toEqual(['2026-01-01T02:30:00Z']);
  expect(firesAfter(cronTimetable('30 2 * * *', { timeZone: 'Europe/Berlin' }), after, 1)).toEqual([
    '2026-01-01T01:30:00Z',
  ]);
});
