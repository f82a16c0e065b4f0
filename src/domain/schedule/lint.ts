import { CronDays } from './cron-days.ts';
import { compileCron, cutCron } from './cron-expression.ts';
import type { CronPattern } from './cron-pattern.ts';
import type { Text } from './cron-refusal.ts';
import { lintClockChanges } from './lint-clock-changes.ts';
import { lintSteps } from './lint-steps.ts';
import type { CronSchedule, Schedule } from './schedule.ts';
import { meaningOfSchedule } from './schedule-meaning.ts';
import { listOf } from './wording.ts';
import { Zone } from './zone.ts';

const twoYearsMs = 2 * 366 * 86_400_000;

/**
 * What these schedules mean in plain words, and what in them is legal but often
 * not what was meant; clock changes are looked for in the two years from an
 * instant on. The work is bounded whatever the expressions are: it goes by the
 * changes of clocks, not by the fire times.
 */
export function lintSchedules(
  schedules: readonly Schedule[],
  fromMs: number,
  spreadSeed: number,
): readonly string[] {
  return schedules.flatMap((schedule) =>
    [
      `means ${meaningOfSchedule(schedule, spreadSeed)}`,
      ...(schedule.spec.kind === 'cron' ? lintCron(schedule, schedule.spec, fromMs, spreadSeed) : []),
    ].map((text) => `schedule ${JSON.stringify(schedule.name)}: ${text}`),
  );
}

function lintCron(schedule: Schedule, spec: CronSchedule, fromMs: number, spreadSeed: number): string[] {
  const pattern = compileCron(spec.expression, spec.dialect, spreadSeed);
  const texts = cutCron(spec.expression, spec.dialect);
  const zone = Zone.find(spec.timeZone);
  const firstMs = Math.max(fromMs, schedule.startMs ?? fromMs);
  const lastMs = Math.min(fromMs + twoYearsMs, schedule.endMs ?? Number.POSITIVE_INFINITY);
  return [
    ...lintDays(pattern, texts),
    ...lintSteps(pattern, texts),
    ...(zone ? lintClockChanges(spec, pattern, zone, firstMs, lastMs) : []),
  ];
}

function lintDays(pattern: CronPattern, texts: readonly Text[]): string[] {
  const isEither = pattern.monthDaysRestricted && pattern.weekdaysRestricted;
  const either = isEither
    ? ['day of month and day of week are both set, so a day that fits either of them fires']
    : [];
  if (firesInLeapYearsOnly(pattern)) return [...either, 'it fires in leap years only'];
  return [
    ...either,
    ...lintMissingDays(pattern, texts[3]!.text),
    ...lintFifthWeekdays(pattern, texts[5]!.text),
  ];
}

/** Whether its only month is February, and no February of 28 days has a day that fits. */
function firesInLeapYearsOnly(pattern: CronPattern): boolean {
  if (pattern.months !== 1 << 2) return false;
  const days = new CronDays(pattern);
  return [0, 1, 2, 3, 4, 5, 6].every((firstWeekday) => days.inMonth(28, firstWeekday) === 0);
}

const shortestMonths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Says which months lack a day that is named by its number. */
function lintMissingDays(pattern: CronPattern, text: string): string[] {
  const shortest = Math.min(...shortestMonths.filter((_, i) => pattern.months & (1 << (i + 1))));
  const items = text.split(',');
  const missing = ['29', '30', '31'].filter(
    (day) => Number(day) > shortest && items.some((item) => item === day || item.toUpperCase() === `${day}W`),
  );
  if (missing.length === 0) return [];
  const ordinals = missing.map((day) => (day === '31' ? '31st' : `${day}th`));
  if (items.length === 1) return [`months without a ${ordinals[0]} are left out`];
  return [`the ${listOf(ordinals)} ${missing.length > 1 ? 'are' : 'is'} left out in months without one`];
}

function lintFifthWeekdays({ weekdayRules, monthDaysRestricted }: CronPattern, text: string): string[] {
  const isOnly = weekdayRules.length === 1 && weekdayRules[0]!.nth === 5 && !text.includes(',');
  return isOnly && !monthDaysRestricted ? ['months without a fifth such weekday are left out'] : [];
}
