/** The bounds of schedules, as the protos state them: the edge is accepted, what lies beyond is refused by its field. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, it } from 'vitest';
import { type Schedule, ScheduleSchema } from '../../gen/carillon/v1/schedule_pb.js';
import { validator } from '../../src/rpc/interceptors/validation.ts';

type Draft = Exclude<MessageInitShape<typeof ScheduleSchema>, Schedule>;

const every = (ms: number): Draft => ({
  kind: { case: 'interval', value: { every: durationFromMs(ms) } },
});
const hourly = every(3_600_000);
const at = (iso: string) => timestampFromMs(Date.parse(iso));
const once = (iso: string): Draft => ({ kind: { case: 'once', value: { atTime: at(iso) } } });
const cron = (expression: string): Draft => ({ kind: { case: 'cron', value: { expression } } });
const calendars = (count: number) => Array.from({ length: count }, (_, n) => `calendar ${n}`);

const century = 3_155_760_000_000;
const day = 86_400_000;

it.each<[bound: string, accepted: Draft, refused: Draft, field: string]>([
  ['an interval is 10 ms or longer', every(10), every(9), 'interval.every'],
  ['an interval is 100 years or shorter', every(century), every(century + 1), 'interval.every'],
  [
    'jitter is not negative',
    { ...hourly, jitter: durationFromMs(0) },
    { ...hourly, jitter: durationFromMs(-1) },
    'jitter',
  ],
  [
    'jitter is 24 hours or shorter',
    { ...hourly, jitter: durationFromMs(day) },
    { ...hourly, jitter: durationFromMs(day + 1) },
    'jitter',
  ],
  [
    'a repeat count is not negative',
    { ...hourly, repeatCount: 0 },
    { ...hourly, repeatCount: -1 },
    'repeat_count',
  ],
  [
    'a schedule names 10 calendars at most',
    { ...hourly, calendars: calendars(10) },
    { ...hourly, calendars: calendars(11) },
    'calendars',
  ],
  [
    'instants are of 1970 or later',
    once('1970-01-01T00:00:00Z'),
    once('1969-12-31T23:59:59.999Z'),
    'once.at_time',
  ],
  [
    'instants are of 2199 or earlier',
    once('2199-12-31T23:59:59.999Z'),
    once('2200-01-01T00:00:00Z'),
    'once.at_time',
  ],
  [
    'an expression has 256 characters at most',
    cron('*'.repeat(256)),
    cron('*'.repeat(257)),
    'cron.expression',
  ],
  ['a schedule is of one kind', hourly, {}, 'kind'],
])('%s', (_, accepted, refused, field) => {
  expect(validator.validate(ScheduleSchema, create(ScheduleSchema, accepted)).kind).toBe('valid');
  const { kind, violations } = validator.validate(ScheduleSchema, create(ScheduleSchema, refused));
  expect(kind).toBe('invalid');
  expect(
    violations?.map((violation) =>
      violation.field.map((part) => ('name' in part ? part.name : '')).join('.'),
    ),
  ).toEqual([field]);
});
