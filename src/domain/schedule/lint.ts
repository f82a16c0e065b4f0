import { compileCron } from './cron-expression.ts';
import type { CronSchedule, Schedule } from './schedule.ts';
import { compileTimetable, type Timetable } from './timetable.ts';

const twoYearsMs = 2 * 366 * 86_400_000;
const eightYearsMs = 8 * 366 * 86_400_000;

/** How many fire times a look ahead goes through at most. */
const maxLooked = 2_000;

/** What is legal in these schedules but often not what was meant, in plain words, judged from an instant on. */
export function lintSchedules(
  schedules: readonly Schedule[],
  fromMs: number,
  spreadSeed: number,
): readonly string[] {
  return schedules.flatMap((schedule) => {
    const { spec } = schedule;
    if (spec.kind !== 'cron') return [];
    return lintCron(schedule, spec, fromMs, spreadSeed).map(
      (warning) => `schedule ${JSON.stringify(schedule.name)}: ${warning}`,
    );
  });
}

function lintCron(schedule: Schedule, spec: CronSchedule, fromMs: number, spreadSeed: number): string[] {
  const warnings: string[] = [];
  const pattern = compileCron(spec.expression, spec.dialect, spreadSeed);
  if (pattern.monthDaysRestricted && pattern.weekdaysRestricted) {
    warnings.push('day of month and day of week are both set, so a day that fits either of them fires');
  }
  const timetable = compileTimetable([{ ...schedule, repeatCount: 0 }], spreadSeed);
  const leapDayOnly =
    pattern.months === 1 << 2 && pattern.monthDays === 1 << 29 && !pattern.weekdaysRestricted;
  if (leapDayOnly && timetable.count(fromMs, fromMs + eightYearsMs, 10) <= 3)
    warnings.push('it fires in leap years only, on 29 February');
  if (pattern.isFixedTime) warnings.push(...lintClockChanges(timetable, fromMs));
  return warnings;
}

function lintClockChanges(timetable: Timetable, fromMs: number): string[] {
  const warnings: string[] = [];
  let looked = 0;
  for (
    let fire = timetable.next(fromMs, []);
    fire && fire.atMs < fromMs + twoYearsMs && looked++ < maxLooked;
  ) {
    const { note, localTime } = timetable.describe(fire);
    if (note !== '') warnings.push(`on ${localTime.slice(0, 10)}: ${note}`);
    if (warnings.length === 4) break;
    fire = timetable.next(fire.atMs, []);
  }
  return warnings;
}
