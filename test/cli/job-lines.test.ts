import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { JobSchema } from '../../gen/carillon/v1/job_pb.js';
import {
  AmbiguousPolicy,
  CronDialect,
  GapPolicy,
  IntervalMode,
  ScheduleSchema,
} from '../../gen/carillon/v1/schedule_pb.js';
import { jobProperties, scheduleToText, warningLine } from '../../src/cli/job-lines.ts';

type ScheduleInit = Omit<MessageInitShape<typeof ScheduleSchema>, '$typeName'>;

const cron = (value: object): ScheduleInit => ({
  kind: { case: 'cron', value: { expression: '0 0 3 ? * MON', timeZone: 'Europe/Berlin', ...value } },
});
const every = (mode?: IntervalMode): ScheduleInit => ({
  kind: { case: 'interval', value: { every: { seconds: 300n }, mode } },
});

describe('a schedule in the words of its options', () => {
  it.each<[string, ScheduleInit]>([
    [
      '0 0 3 ? * MON Europe/Berlin',
      cron({ dialect: CronDialect.UNIX, gap: GapPolicy.RUN_AT_GAP_END, ambiguous: AmbiguousPolicy.FIRST }),
    ],
    ['0 0 3 ? * MON Europe/Berlin dialect quartz', cron({ dialect: CronDialect.QUARTZ })],
    [
      '0 0 3 ? * MON Europe/Berlin gap skip ambiguous both',
      cron({ gap: GapPolicy.SKIP, ambiguous: AmbiguousPolicy.BOTH }),
    ],
    ['every 5m', every(IntervalMode.FIXED_RATE)],
    ['every 5m fixed-delay', every(IntervalMode.FIXED_DELAY)],
    ['every 5m', { ...every(), jitter: {} }],
    [
      'every 5m jitter 1m30s calendar holidays calendar weekends 3 times',
      { ...every(), jitter: { seconds: 90n }, calendars: ['holidays', 'weekends'], repeatCount: 3 },
    ],
  ])('is %j', (text, init) => {
    expect(scheduleToText(create(ScheduleSchema, init))).toBe(text);
  });
});

describe('what waits for another execution to end', () => {
  it.each([
    [0, undefined],
    [3, '3 wait for another to end'],
  ])('is shown where there is some (%i)', (bufferedCount, shown) => {
    const properties = jobProperties(create(JobSchema, { bufferedCount })).filter(
      ([, value]) => value !== '',
    );
    expect(new Map(properties).get('buffered')).toBe(shown);
  });
});

describe('a remark of the service', () => {
  it.each([
    ['schedule "0": means every day at 02:00 (UTC)', 'schedule "0" means every day at 02:00 (UTC)'],
    [String.raw`schedule "a\": b": means every hour`, String.raw`schedule "a\": b" means every hour`],
  ])('that tells what a schedule means is plain: %s', (text, line) => {
    expect(warningLine(text)).toBe(line);
  });

  it.each([
    'schedule "0": it fires in leap years only, on 29 February',
    'schedule "x: means y": on 2027-03-28: moved',
    'means nothing without a schedule',
  ])('that is anything else is a warning: %s', (text) => {
    expect(warningLine(text)).toBe(`warning: ${text}`);
  });
});
