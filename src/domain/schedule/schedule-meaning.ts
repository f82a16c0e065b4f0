import { compileCron } from './cron-expression.ts';
import { meaningOfCron } from './cron-meaning.ts';
import type { IntervalSchedule, Schedule } from './schedule.ts';
import { durationText, instantText, listOf } from './wording.ts';
import { Zone } from './zone.ts';

/**
 * A schedule in plain words: `every day at 02:00 (Europe/Berlin)`, followed by
 * its bounds. `spreadSeed` fixes what `H` stands for: the job's id.
 */
export function meaningOfSchedule(schedule: Schedule, spreadSeed: number): string {
  return [specText(schedule, spreadSeed), ...boundsOf(schedule)].join(', ');
}

function specText(schedule: Schedule, spreadSeed: number): string {
  const { spec } = schedule;
  switch (spec.kind) {
    case 'cron': {
      const pattern = compileCron(spec.expression, spec.dialect, spreadSeed);
      return `${meaningOfCron(pattern)} (${Zone.find(spec.timeZone)?.name ?? spec.timeZone})`;
    }
    case 'interval':
      return intervalText(spec, schedule.startMs);
    case 'once':
      return `once at ${instantText(spec.atMs)}`;
  }
}

function intervalText({ everyMs, mode, anchorMs }: IntervalSchedule, startMs = anchorMs): string {
  const steps = Math.max(0, Math.ceil((startMs - anchorMs) / everyMs));
  const [every, first] = [durationText(everyMs), instantText(anchorMs + steps * everyMs)];
  return mode === 'FIXED_DELAY'
    ? `first at ${first}, then always ${every} after the finish of its last execution`
    : `every ${every}, first at ${first}`;
}

function boundsOf({ spec, startMs, endMs, repeatCount, jitterMs = 0, calendars = [] }: Schedule): string[] {
  return [
    // The others say when they fire first.
    ...(startMs === undefined || spec.kind !== 'cron' ? [] : [`not before ${instantText(startMs)}`]),
    ...(endMs === undefined ? [] : [`not after ${instantText(endMs)}`]),
    ...(repeatCount > 0 ? [`${repeatCount} ${repeatCount === 1 ? 'run' : 'runs'} in all`] : []),
    ...(jitterMs > 0 ? [`each moved later by up to ${durationText(jitterMs)}`] : []),
    ...(calendars.length > 0
      ? [
          `but not where ${calendars.length === 1 ? 'the calendar' : 'one of the calendars'} ${listOf(
            calendars.map((name) => JSON.stringify(name)),
          )} excludes it`,
        ]
      : []),
  ];
}
