import { CronSyntaxError, compileCron, cutCron } from './cron-expression.ts';
import { type CronPattern, valuesIn } from './cron-pattern.ts';
import type { CronSchedule } from './schedule.ts';
import { evenStep } from './wording.ts';

/**
 * The expression with `H` in place of its fixed minute, so that jobs that would
 * fire together are spread: `0 2 * * *` becomes `H 2 * * *`, minutes that
 * divide the hour evenly become `H/n`. Where the minutes must stay as they are,
 * the second becomes `H`. Undefined for an expression that has an `H`, fires at
 * several seconds of a minute, or cannot be understood.
 */
export function spreadSuggestion(spec: CronSchedule): string | undefined {
  try {
    return suggestionFor(spec);
  } catch (error) {
    if (error instanceof CronSyntaxError) return undefined;
    throw error;
  }
}

function suggestionFor({ expression, dialect }: CronSchedule): string | undefined {
  const texts = cutCron(expression, dialect).map(({ text }) => text);
  // No name of a month or a weekday begins with H, and none follows a comma.
  if (texts.some((text) => /(^|,)H/i.test(text))) return undefined;
  const pattern = compileCron(expression, dialect, 0);
  if (valuesIn(pattern.seconds).length !== 1) return undefined;
  const [second, , ...rest] = texts as [string, string, ...string[]];
  // UNIX leaves the second out where it is 0.
  const seconds = dialect === 'QUARTZ' || valuesIn(pattern.seconds)[0] !== 0 ? [second] : [];
  const candidates = [
    ...spreadMinutes(pattern).map((minute) => [...seconds, minute, ...rest]),
    ['H', ...texts.slice(1)],
  ].map((fields) => fields.join(' '));
  // What happens when clocks change must stay as it is.
  return candidates.find((each) => compileCron(each, dialect, 0).isFixedTime === pattern.isFixedTime);
}

/** What the minute may become; nothing when it must stay. */
function spreadMinutes(pattern: CronPattern): readonly string[] {
  const minutes = valuesIn(pattern.minutes);
  if (minutes.length === 1) return ['H'];
  const step = evenStep(minutes);
  return step !== undefined && step > 1 && step * minutes.length === 60 ? [`H/${step}`] : [];
}
