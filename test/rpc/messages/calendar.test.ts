import { create, fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { CalendarSchema } from '../../../gen/carillon/v1/calendar_pb.js';
import type { StoredCalendar, Weekday } from '../../../src/domain/schedule/calendar.ts';
import { calendarFromMessage, calendarToMessage } from '../../../src/rpc/messages/calendar.ts';

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const at = fc.integer({ min: 0, max: 7_258_118_399_999 }).map((ms) => new Date(ms));
const weekday = fc.constantFrom<Weekday>(
  'MONDAY',
  'TUESDAY',
  'WEDNESDAY',
  'THURSDAY',
  'FRIDAY',
  'SATURDAY',
  'SUNDAY',
);

const calendar: fc.Arbitrary<StoredCalendar> = fc.record({
  namespace: text,
  name: text,
  description: fc.string({ maxLength: 20 }),
  timeZone: fc.constantFrom('UTC', 'Europe/Berlin'),
  dates: fc.array(text, { maxLength: 3 }),
  dateRanges: fc.array(fc.record({ firstDate: text, lastDate: text }), { maxLength: 3 }),
  weekdays: fc.uniqueArray(weekday),
  yearlyDays: fc.array(text, { maxLength: 3 }),
  crons: fc.array(
    fc.record({ expression: text, dialect: fc.constantFrom('UNIX' as const, 'QUARTZ' as const) }),
    {
      maxLength: 3,
    },
  ),
  createdAt: at,
  updatedAt: at,
  jobCount: fc.nat(),
});

it('keeps every part of a calendar through message, binary and JSON and back', () => {
  fc.assert(
    fc.property(calendar, (stored) => {
      const message = calendarToMessage(stored);
      const { createdAt: _, updatedAt: __, jobCount, ...rest } = stored;
      for (const copy of [
        fromBinary(CalendarSchema, toBinary(CalendarSchema, message)),
        fromJson(CalendarSchema, toJson(CalendarSchema, message)),
      ]) {
        expect(calendarFromMessage(copy)).toEqual(rest);
        expect(copy).toEqual(message);
      }
      expect(message.jobCount).toBe(BigInt(jobCount));
    }),
  );
});

it('takes the defaults for what is absent', () => {
  const message = create(CalendarSchema, { name: 'a', crons: [{ expression: '* * * * *' }] });
  expect(calendarFromMessage(message)).toEqual({
    namespace: 'default',
    name: 'a',
    description: '',
    timeZone: 'UTC',
    dates: [],
    dateRanges: [],
    weekdays: [],
    yearlyDays: [],
    crons: [{ expression: '* * * * *', dialect: 'UNIX' }],
  });
});
