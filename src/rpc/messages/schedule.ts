import type * as pb from '../../../gen/carillon/v1/schedule_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { Schedule } from '../../domain/schedule/schedule.ts';
import type { ScheduleDraft } from '../../engine/operations.ts';
import { ambiguousPolicies, cronDialects, gapPolicies, intervalModes } from './enums.ts';
import { durationFromMs, msFromDuration, msFromTimestamp, optionalMs, timestampFromMs } from './times.ts';

/** The schedules with their defaults; a name that is absent is the schedule's position, `0` for the first. */
export function schedulesFromMessages(schedules: readonly pb.Schedule[], path: string): ScheduleDraft[] {
  return schedules.map((schedule, index) => ({
    name: schedule.name === '' ? String(index) : schedule.name,
    spec: specFromMessage(schedule.kind, `${path}[${index}]`),
    startMs: optionalMs(schedule.startTime),
    endMs: optionalMs(schedule.endTime),
    repeatCount: schedule.repeatCount,
    jitterMs: wholeMs(schedule.jitter, `${path}[${index}].jitter`) || undefined,
    calendars: schedule.calendars.length === 0 ? undefined : schedule.calendars,
  }));
}

function specFromMessage(kind: pb.Schedule['kind'], path: string): ScheduleDraft['spec'] {
  switch (kind.case) {
    case 'cron':
      return {
        kind: 'cron',
        expression: kind.value.expression,
        dialect: cronDialects.fromMessage(kind.value.dialect) ?? 'UNIX',
        timeZone: kind.value.timeZone === '' ? 'UTC' : kind.value.timeZone,
        gap: gapPolicies.fromMessage(kind.value.gap) ?? 'RUN_AT_GAP_END',
        ambiguous: ambiguousPolicies.fromMessage(kind.value.ambiguous) ?? 'FIRST',
      };
    case 'interval':
      return {
        kind: 'interval',
        everyMs: everyMsFromMessage(kind.value.every, `${path}.interval.every`),
        mode: intervalModes.fromMessage(kind.value.mode) ?? 'FIXED_RATE',
        anchorMs: optionalMs(kind.value.anchorTime),
      };
    case 'once':
      if (kind.value.atTime === undefined) throw invalidField(`${path}.once.at_time`, 'must be set');
      return { kind: 'once', atMs: msFromTimestamp(kind.value.atTime) };
    default:
      throw invalidField(`${path}.kind`, 'must be one of cron, interval and once');
  }
}

function everyMsFromMessage(every: pb.IntervalSchedule['every'], path: string): number {
  if (every === undefined) throw invalidField(path, 'must be set');
  return wholeMs(every, path)!;
}

function wholeMs(duration: pb.Schedule['jitter'], path: string): number | undefined {
  if (duration === undefined) return undefined;
  if (duration.nanos % 1_000_000 !== 0) throw invalidField(path, 'must be whole milliseconds');
  return msFromDuration(duration);
}

/** A stored schedule with everything that was defaulted written out. */
export function scheduleToMessage(schedule: Schedule): pb.Schedule {
  return {
    $typeName: 'carillon.v1.Schedule',
    name: schedule.name,
    kind: specToMessage(schedule.spec),
    startTime: schedule.startMs === undefined ? undefined : timestampFromMs(schedule.startMs),
    endTime: schedule.endMs === undefined ? undefined : timestampFromMs(schedule.endMs),
    repeatCount: schedule.repeatCount,
    jitter: schedule.jitterMs === undefined ? undefined : durationFromMs(schedule.jitterMs),
    calendars: [...(schedule.calendars ?? [])],
  };
}

function specToMessage(spec: Schedule['spec']): pb.Schedule['kind'] {
  switch (spec.kind) {
    case 'cron':
      return {
        case: 'cron',
        value: {
          $typeName: 'carillon.v1.CronSchedule',
          expression: spec.expression,
          dialect: cronDialects.toMessage(spec.dialect),
          timeZone: spec.timeZone,
          gap: gapPolicies.toMessage(spec.gap),
          ambiguous: ambiguousPolicies.toMessage(spec.ambiguous),
        },
      };
    case 'interval':
      return {
        case: 'interval',
        value: {
          $typeName: 'carillon.v1.IntervalSchedule',
          every: durationFromMs(spec.everyMs),
          mode: intervalModes.toMessage(spec.mode),
          anchorTime: timestampFromMs(spec.anchorMs),
        },
      };
    case 'once':
      return {
        case: 'once',
        value: { $typeName: 'carillon.v1.OnceSchedule', atTime: timestampFromMs(spec.atMs) },
      };
  }
}
