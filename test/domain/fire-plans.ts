/** Plans of one schedule that is due at noon, and how the tests write their rows. */
import { planFires } from '../../src/domain/fire-plan.ts';
import type { FireSituation, PlannedRow } from '../../src/domain/fire-situation.ts';
import { jobDefaults } from '../../src/domain/job.ts';
import { Exclusions } from '../../src/domain/schedule/exclusions.ts';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import { compileTimetable } from '../../src/domain/schedule/timetable.ts';

export const noon = Date.parse('2026-11-21T12:00:00Z');
export const second = 1_000;
export const minute = 60 * second;

const idle = { bufferedCount: 0 };

/** A schedule every so many milliseconds, from noon. */
export const every = (everyMs: number, more: Partial<Schedule> = {}): Schedule => ({
  name: 'tick',
  repeatCount: 0,
  spec: { kind: 'interval', everyMs, mode: 'FIXED_RATE', anchorMs: noon },
  ...more,
});

/** Plans one schedule that is due at noon. */
export function plan(schedule: Schedule, situation: Partial<FireSituation>) {
  return planFires({
    fireTimes: compileTimetable([schedule], 1),
    exclusions: Exclusions.none,
    progress: [],
    nextFireMs: noon,
    nowMs: noon,
    misfire: jobDefaults.misfire,
    overlap: 'SKIP',
    occupancy: idle,
    ...situation,
  });
}

/** A row in short: seconds after noon, what became of it, how many it stands for. */
export const short = ({ fireMs, cause, state, reason, skippedCount }: PlannedRow): string =>
  [(fireMs - noon) / second, state === 'PENDING' ? cause : reason, skippedCount || ''].join(' ').trim();
