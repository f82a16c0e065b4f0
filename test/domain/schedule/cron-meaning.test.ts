import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileCron } from '../../../src/domain/schedule/cron-expression.ts';
import { meaningOfCron } from '../../../src/domain/schedule/cron-meaning.ts';
import { cronTimetable, firesAfter } from './schedules.ts';

describe('UNIX in plain words', () => {
  it.each([
    ['0 2 * * *', 'every day at 02:00'],
    ['@weekly', 'every Sunday at 00:00'],
    ['15 30 2 * * *', 'every day at 02:30:15'],
    ['0 8,12,16 * * *', 'every day at 08:00, 12:00 and 16:00'],
    ['0 22-23,0-1 * * *', 'every day at 00:00, 01:00, 22:00 and 23:00'],
    ['* * * * *', 'every minute'],
    ['* * * * * *', 'every second'],
    ['*/10 * * * * *', 'every 10 seconds'],
    ['*/10 * 8-17 * * *', 'every 10 seconds from 08:00:00 to 17:59:50'],
    ['0 * * * *', 'every hour'],
    ['17 * * * *', 'every hour at minute 17'],
    ['0 */2 * * *', 'every 2 hours from 00:00 to 22:00'],
    ['5 8-17 * * *', 'every hour from 08:05 to 17:05'],
    ['0 1,2,3,5,6,7,9,10,11 * * *', 'at minute 0 of the hours 1 to 3, 5 to 7 and 9 to 11'],
    ['*/15 * * * MON-FRI', 'every 15 minutes, Monday to Friday'],
    ['*/15 8-17 * * MON-FRI', 'every 15 minutes from 08:00 to 17:45, Monday to Friday'],
    ['*/15 8-11,14-17 * * *', 'every 15 minutes in the hours 8 to 11 and 14 to 17'],
    ['15 */5 * * * *', 'every 5 minutes, at second 15'],
    ['*/7 * * * *', 'at minutes 0 to 56 in steps of 7 of every hour'],
    ['5,20,35,50 9-17 * * *', 'at minutes 5, 20, 35 and 50 of the hours 9 to 17'],
    ['3 1-31 1-3,9,13 * * *', 'at minutes 1 to 31 of the hours 1 to 3, 9 and 13, at second 3'],
    ['0,30 0-5 8 * * *', 'every 30 seconds within minutes 0 to 5 of hour 8'],
    ['1,2,9 * * * * *', 'at seconds 1, 2 and 9 of every minute'],
    ['0 9 * * 6,7', 'Saturday and Sunday at 09:00'],
    ['0 9 * * 5-7', 'Friday to Sunday at 09:00'],
    ['0 9 * * MON,WED,FRI', 'Monday, Wednesday and Friday at 09:00'],
    ['0 0 29 2 *', 'on 29 February at 00:00'],
    ['0 0 1-7 3 *', 'on 1 to 7 March at 00:00'],
    ['0 0 1 1,7 *', 'on day 1 of the month in January and July at 00:00'],
    ['0 0 * 5 *', 'every day in May at 00:00'],
    ['0 0 L * *', 'on the last day of the month at 00:00'],
    ['0 0 L-3 * *', 'on 3 days before the last day of the month at 00:00'],
    ['0 0 LW * *', 'on the last weekday (Monday to Friday) of the month at 00:00'],
    ['0 0 15W * *', 'on the weekday (Monday to Friday) nearest to day 15 of the month at 00:00'],
    ['0 0 * * 5#2', 'on the second Friday of the month at 00:00'],
    ['0 0 * * FRIL', 'on the last Friday of the month at 00:00'],
    ['0 0 * * 1,FRIL', 'at 00:00, every Monday and also on the last Friday of the month'],
    ['0 0 13 * FRI', 'at 00:00, on day 13 of the month and also every Friday'],
    ['0 0 13 6,12 FRI', 'at 00:00, on day 13 of the month and also every Friday, all in June and December'],
    ['0 0 1-31 * MON', 'every day at 00:00'],
    ['0 0 */2 * MON', 'at 00:00, every Monday, only on days 1 to 31 in steps of 2 of the month'],
    ['H H * * *', 'every day at 14:36'],
  ])('%s means %s', (expression, meaning) => {
    expect(meaningOfCron(compileCron(expression, 'UNIX', 7))).toBe(meaning);
  });
});

describe('QUARTZ in plain words', () => {
  it.each([
    ['0 0 2 * * ?', 'every day at 02:00'],
    ['0 0 2 1 6 ? 2030,2040', 'on 1 June in 2030 and 2040 at 02:00'],
    ['0 0 12 29 2 ? 2028/4', 'on 29 February in 2028 to 2196 in steps of 4 at 12:00'],
    ['0 0 0 ? * * 2026-2028', 'every day in 2026 to 2028 at 00:00'],
    ['0 0 0 ? * FRI-MON', 'Monday and Friday to Sunday at 00:00'],
    // Not "overnight": the hours behind midnight belong to the same Monday.
    ['0 0/30 22-1 ? * MON', 'every Monday at 00:00, 00:30, 01:00, 01:30, 22:00, 22:30, 23:00 and 23:30'],
    ['0 */5 22-4 ? * MON', 'every 5 minutes in the hours 0 to 4, 22 and 23, every Monday'],
    ['0 0 0 ? * L', 'every Saturday at 00:00'],
    ['0 0 0 ? * 6#3', 'on the third Friday of the month at 00:00'],
    ['0 0 0 30-2 * ?', 'on days 1, 2, 30 and 31 of the month at 00:00'],
  ])('%s means %s', (expression, meaning) => {
    expect(meaningOfCron(compileCron(expression, 'QUARTZ', 7))).toBe(meaning);
  });
});

it('never says the same of expressions that fire at different times', () => {
  const time = fc.constantFrom('*', '0', '5', '0,30', '*/15', '*/7', '0-5', '22', '1-3', '0/20', '1,2,9');
  const hour = fc.constantFrom('*', '0', '2', '8-17', '*/2', '*/5', '0,12', '22-23,0-4', '1,2,3,9');
  const day = fc.constantFrom('*', '1', '*/2', '1-31', '1-7', '15,31', 'L', 'L-1', 'LW', '1W', '1,L', '2-31');
  const month = fc.constantFrom('*', '2', '1,7', '1-12', '3-5');
  const weekday = fc.constantFrom('*', 'MON', '1-5', '0-6', '*/2', '6,0', '5#2', 'MONL', 'MON,FRIL', '2-4');
  const firesByMeaning = new Map<string, string>();
  let repeated = 0;
  fc.assert(
    fc.property(fc.tuple(time, time, hour, day, month, weekday), (fields) => {
      const expression = fields.join(' ');
      const meaning = meaningOfCron(compileCron(expression, 'UNIX', 1));
      const timetable = cronTimetable(expression);
      const fires = ['2026-01-01T00:00:00Z', '2027-02-27T21:50:00Z', '2028-07-04T11:59:00Z']
        .flatMap((after) => firesAfter(timetable, after, 12))
        .join();
      if (firesByMeaning.has(meaning)) repeated++;
      expect([meaning, firesByMeaning.get(meaning) ?? fires]).toEqual([meaning, fires]);
      firesByMeaning.set(meaning, fires);
    }),
    { numRuns: 8_000 },
  );
  expect(repeated).toBeGreaterThan(100);
});
