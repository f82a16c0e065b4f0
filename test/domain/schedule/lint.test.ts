import { describe, expect, it } from 'vitest';
import { lintSchedules } from '../../../src/domain/schedule/lint.ts';
import type { CronSchedule, Schedule } from '../../../src/domain/schedule/schedule.ts';
import { cronSpec, scheduleOf } from './schedules.ts';

const nowMs = Date.parse('2026-11-21T12:00:00Z');

/** The warnings of one schedule, without its name. */
const lint = (schedule: Schedule, fromMs = nowMs): string[] =>
  lintSchedules([schedule], fromMs, 7).map((text) => text.replace('schedule "main": ', ''));

/** What is said about a cron expression beside its meaning. */
const warningsOf = (expression: string, more: Partial<CronSchedule> = {}): string[] =>
  lint(scheduleOf(cronSpec(expression, more))).slice(1);

describe('the meaning comes first', () => {
  const cron = cronSpec('0 2 * * *', { timeZone: 'europe/berlin' });
  const anchorMs = Date.parse('2026-11-21T00:00:00Z');
  const interval = { kind: 'interval', everyMs: 90_000, mode: 'FIXED_RATE', anchorMs } as const;

  it.each<[meaning: string, schedule: Schedule]>([
    ['every day at 02:00 (Europe/Berlin)', scheduleOf(cron)],
    ['every 15 minutes, Monday to Friday (UTC)', scheduleOf(cronSpec('*/15 * * * MON-FRI'))],
    ['every Saturday at 02:00 (UTC)', scheduleOf(cronSpec('0 0 2 ? * L', { dialect: 'QUARTZ' }))],
    [
      'every day at 02:00 (Europe/Berlin), not before 2027-01-01T00:00:00Z, not after 2027-02-01T00:00:00Z, 3 runs in all',
      scheduleOf(cron, {
        startMs: Date.parse('2027-01-01T00:00:00Z'),
        endMs: Date.parse('2027-02-01T00:00:00Z'),
        repeatCount: 3,
      }),
    ],
    [
      'every day at 02:00 (Europe/Berlin), 1 run in all, each moved later by up to 15 min, but not where the calendar "holidays" excludes it',
      scheduleOf(cron, { repeatCount: 1, jitterMs: 900_000, calendars: ['holidays'] }),
    ],
    ['every 90 s, first at 2026-11-21T00:00:00Z', scheduleOf(interval)],
    [
      'every 90 s, first at 2026-11-21T00:01:30Z',
      scheduleOf(interval, { startMs: Date.parse('2026-11-21T00:00:01Z') }),
    ],
    ['every 2 h, first at 2026-11-21T00:00:00Z', scheduleOf({ ...interval, everyMs: 7_200_000 })],
    ['every 1250 ms, first at 2026-11-21T00:00:00Z', scheduleOf({ ...interval, everyMs: 1_250 })],
    [
      'first at 2026-11-21T00:00:00Z, then always 90 s after the finish of its last execution',
      scheduleOf({ ...interval, mode: 'FIXED_DELAY' }),
    ],
    [
      'first at 2026-11-21T00:01:30Z, then always 90 s after the finish of its last execution',
      scheduleOf({ ...interval, mode: 'FIXED_DELAY' }, { startMs: Date.parse('2026-11-21T00:00:01Z') }),
    ],
    ['once at 2026-11-21T00:00:00.250Z', scheduleOf({ kind: 'once', atMs: anchorMs + 250 })],
  ])('%s', (meaning, schedule) => {
    expect(lint(schedule)[0]).toBe(`means ${meaning}`);
  });

  it('and names the schedule', () => {
    const schedules = [scheduleOf(cron, { name: '0' }), scheduleOf(interval, { name: 'a "b"' })];
    expect(lintSchedules(schedules, nowMs, 7)).toEqual([
      'schedule "0": means every day at 02:00 (Europe/Berlin)',
      'schedule "0": on 2027-03-28 and 2028-03-26 clocks go forward from 02:00 to 03:00, so 02:00 does not exist: it fires once at 03:00 (gap RUN_AT_GAP_END)',
      'schedule "0": on 2027-10-31 and 2028-10-29 clocks go back from 03:00 to 02:00, so 02:00 comes twice: it fires at the first (ambiguous FIRST)',
      'schedule "a \\"b\\"": means every 90 s, first at 2026-11-21T00:00:00Z',
    ]);
  });
});

describe('days', () => {
  it.each<[expression: string, warnings: string[]]>([
    ['0 0 29 2 *', ['it fires in leap years only']],
    ['0 0 L-28 2 *', ['it fires in leap years only']],
    ['0 0 * 2 MON#5', ['it fires in leap years only']],
    ['0 0 28,29 2 *', ['the 29th is left out in months without one']],
    ['0 0 13 * FRI', ['day of month and day of week are both set, so a day that fits either of them fires']],
    ['0 0 */2 * FRI', ['*/2 in days of the month: it starts anew with every month']],
    ['0 0 31 * *', ['months without a 31st are left out']],
    ['0 0 31W * *', ['months without a 31st are left out']],
    ['0 0 29 * *', ['months without a 29th are left out']],
    ['0 0 15,30,31 * *', ['the 30th and 31st are left out in months without one']],
    ['0 0 31 1,3,5 *', []],
    ['0 0 30 4,6 *', []],
    ['0 0 1-31 * *', []],
    ['0 0 L * *', []],
    ['0 0 * * MON#5', ['months without a fifth such weekday are left out']],
    ['0 0 * * MON#4', []],
  ])('%s', (expression, warnings) => {
    expect(warningsOf(expression)).toEqual(warnings);
  });
});

describe('steps that do not divide their range evenly', () => {
  it.each<[expression: string, warnings: string[]]>([
    ['*/7 * * * *', ['*/7 in minutes: the last gap of the hour is 4 minutes']],
    ['0/40 * * * *', ['0/40 in minutes: the last gap of the hour is 20 minutes']],
    ['H/11 * * * *', ['H/11 in minutes: the last gap of the hour is 5 minutes']],
    ['*/25 * * * * *', ['*/25 in seconds: the last gap of the minute is 10 seconds']],
    ['0 */5 * * *', ['*/5 in hours: the last gap of the day is 4 hours']],
    ['0 0 1 */5 *', ['*/5 in months: the last gap of the year is 2 months']],
    ['0 0 * * */2', ['*/2 in days of the week: the last gap of the week is 1 day']],
    ['*/15 */6 * */3 *', []],
    ['5/20 * * * *', []],
    ['*/1 * * * *', []],
    ['*/60 * * * *', []],
    ['0-30/7 * * * *', []],
    ['0 8/2 * * *', []],
    ['0,7,14 * * * *', []],
  ])('%s', (expression, warnings) => {
    expect(lint(scheduleOf(cronSpec(expression))).slice(1)).toEqual(warnings);
  });
});

describe('changes of clocks in the next two years', () => {
  const berlin = { timeZone: 'Europe/Berlin' } as const;
  const spring = 'on 2027-03-28 and 2028-03-26 clocks go forward from 02:00 to 03:00';
  const autumn = 'on 2027-10-31 and 2028-10-29 clocks go back from 03:00 to 02:00';

  it.each<[expression: string, more: Partial<CronSchedule>, warnings: string[]]>([
    [
      '30 2 * * *',
      { gap: 'SKIP', ambiguous: 'SECOND' },
      [
        `${spring}, so 02:30 does not exist: it does not fire (gap SKIP)`,
        `${autumn}, so 02:30 comes twice: it fires at the second (ambiguous SECOND)`,
      ],
    ],
    [
      '15,45 2 * * *',
      { ambiguous: 'BOTH' },
      [
        `${spring}, so 02:15 and 02:45 do not exist: it fires once at 03:00 (gap RUN_AT_GAP_END)`,
        `${autumn}, so 02:15 and 02:45 come twice: it fires at both (ambiguous BOTH)`,
      ],
    ],
    [
      '0,15,30,45 2 * 3 *',
      {},
      [`${spring}, so local times in between do not exist: it fires once at 03:00 (gap RUN_AT_GAP_END)`],
    ],
    [
      '30 2 28 3 *',
      { gap: 'SKIP' },
      [
        'on 2027-03-28 clocks go forward from 02:00 to 03:00, so 02:30 does not exist: it does not fire (gap SKIP)',
      ],
    ],
    [
      '*/15 0-6 * * *',
      {},
      [
        `${spring}: what lies in between does not fire, as a frequent schedule follows elapsed time`,
        `${autumn}: what lies in between fires twice, as a frequent schedule follows elapsed time`,
      ],
    ],
    ['0 3 * * *', {}, []],
    ['30 2 * * MON', {}, []],
    ['*/15 * * * *', {}, []],
    ['* * * * * *', {}, []],
    ['*/15 8-17 * * *', {}, []],
    ['30 2 * * *', { timeZone: 'UTC' }, []],
  ])('%s %j', (expression, more, warnings) => {
    expect(warningsOf(expression, { ...berlin, ...more })).toEqual(warnings);
  });

  it('name the local date where clocks change at midnight', () => {
    const schedule = scheduleOf(cronSpec('30 23 * * *', { timeZone: 'America/Sao_Paulo' }));
    expect(lint(schedule, Date.parse('2017-12-01T00:00:00Z'))).toContain(
      'on 2018-02-17 and 2019-02-16 clocks go back from 00:00 to 23:00, so 23:30 comes twice: it fires at the first (ambiguous FIRST)',
    );
  });

  it('count only between start and end of the schedule', () => {
    const bounds = { startMs: Date.parse('2027-04-01T00:00:00Z'), endMs: Date.parse('2028-01-01T00:00:00Z') };
    expect(lint(scheduleOf(cronSpec('30 2 * * *', berlin), bounds)).slice(1)).toEqual([
      'on 2027-10-31 clocks go back from 03:00 to 02:00, so 02:30 comes twice: it fires at the first (ambiguous FIRST)',
    ]);
  });

  it('say that a date is left out altogether', () => {
    const schedule = scheduleOf(cronSpec('0 12 30 12 *', { timeZone: 'Pacific/Apia' }));
    expect(lint(schedule, Date.parse('2011-01-01T00:00:00Z')).slice(1)).toEqual([
      'on 2011-12-30 clocks go forward from 00:00 to 00:00 over the whole date: it does not fire',
    ]);
  });
});
