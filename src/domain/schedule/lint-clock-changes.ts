import type { CronPattern } from './cron-pattern.ts';
import { valuesIn } from './cron-pattern.ts';
import { CronSearch } from './cron-search.ts';
import type { CronSchedule } from './schedule.ts';
import { listOf } from './wording.ts';
import { Zone, type ZoneSpan } from './zone.ts';

const dayMs = 86_400_000;

/** How many local times at one change are named; of more it says from when to when they are. */
const maxTimes = 3;

/** No zone changes its clocks oftener than this in two years. */
const maxSpans = 64;

/**
 * Says on which dates changes of clocks touch the local times of an expression,
 * and what happens under its policies. It goes by the changes, so that it also
 * sees the fire time that policy SKIP leaves out, and looks for local times of
 * the expression with a clock that never changes.
 */
export function lintClockChanges(
  spec: CronSchedule,
  pattern: CronPattern,
  zone: Zone,
  fromMs: number,
  untilMs: number,
): string[] {
  // A frequent expression of all hours goes through every change as everybody expects.
  if (!pattern.isFixedTime && valuesIn(pattern.hours).length === 24) return [];
  const local = new CronSearch(pattern, Zone.find('UTC')!, 'SKIP', 'FIRST');
  const datesByText = new Map<string, string[]>();
  for (const span of changesIn(zone, fromMs, untilMs)) {
    const [before, behind] = [span.fromMs + span.offsetBeforeMs, span.fromMs + span.offsetMs];
    const times = timesIn(local, Math.min(before, behind), Math.max(before, behind));
    if (times.length === 0) continue;
    const text =
      before < behind
        ? gapText(spec, pattern, before, behind, times)
        : overlapText(spec, pattern, before, behind, times);
    datesByText.set(text, [...(datesByText.get(text) ?? []), dateText(times[0]!)]);
  }
  return [...datesByText].map(([text, dates]) => `on ${listOf(dates)} ${text}`);
}

/** The spans that begin in a range with a change of clocks. */
function changesIn(zone: Zone, fromMs: number, untilMs: number): readonly ZoneSpan[] {
  const changes: ZoneSpan[] = [];
  let span = zone.spanAt(fromMs);
  for (let i = 0; i < maxSpans && span.untilMs <= untilMs; i++) {
    span = zone.spanAt(span.untilMs);
    if (span.offsetMs !== span.offsetBeforeMs) changes.push(span);
  }
  return changes;
}

/** The first local times in a range, one more than are named, and the last one found. */
function timesIn(local: CronSearch, fromMs: number, untilMs: number): readonly number[] {
  const times: number[] = [];
  let time = local.next(fromMs - 1);
  for (; time !== undefined && time < untilMs && times.length <= maxTimes; time = local.next(time))
    times.push(time);
  return times;
}

function gapText(
  spec: CronSchedule,
  pattern: CronPattern,
  before: number,
  behind: number,
  times: readonly number[],
): string {
  const change = `clocks go forward from ${timeText(before)} to ${timeText(behind)}`;
  if (behind - before >= dayMs) return `${change} over the whole date: it does not fire`;
  if (!pattern.isFixedTime)
    return `${change}: what lies in between does not fire, as a frequent schedule follows elapsed time`;
  const what = `${change}, so ${timesText(times)} ${times.length === 1 ? 'does' : 'do'} not exist`;
  return spec.gap === 'SKIP'
    ? `${what}: it does not fire (gap SKIP)`
    : `${what}: it fires once at ${timeText(behind)} (gap RUN_AT_GAP_END)`;
}

function overlapText(
  spec: CronSchedule,
  pattern: CronPattern,
  before: number,
  behind: number,
  times: readonly number[],
): string {
  const change = `clocks go back from ${timeText(before)} to ${timeText(behind)}`;
  if (!pattern.isFixedTime)
    return `${change}: what lies in between fires twice, as a frequent schedule follows elapsed time`;
  const what = `${change}, so ${timesText(times)} ${times.length === 1 ? 'comes' : 'come'} twice`;
  return `${what}: it fires at ${occurrences[spec.ambiguous]} (ambiguous ${spec.ambiguous})`;
}

const occurrences = { FIRST: 'the first', SECOND: 'the second', BOTH: 'both' } as const;

const timesText = (times: readonly number[]): string =>
  times.length > maxTimes ? 'local times in between' : listOf(times.map(timeText));

const dateText = (localMs: number): string => new Date(localMs).toISOString().slice(0, 10);

/** `02:30`, with seconds where there are any. */
const timeText = (localMs: number): string => {
  const text = new Date(localMs).toISOString();
  return text.slice(11, text.slice(17, 19) === '00' ? 16 : 19);
};
