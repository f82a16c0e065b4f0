import type { JobDefinition } from '../domain/job.ts';
import { identityOf } from '../domain/schedule/identity.ts';
import type { Schedule, ScheduleProgress } from '../domain/schedule/schedule.ts';
import type { Timetable } from '../domain/schedule/timetable.ts';
import type { Tx } from '../store/database.ts';
import type { Timing } from '../store/job-store.ts';
import type { Store } from '../store/store.ts';
import type { LockedTimer } from '../store/timer-store.ts';
import type { Fired, FirePlanning, LateFires } from './fire-planning.ts';

/** Whether two definitions fire at the same times. */
export function firesAlike(a: readonly Schedule[], b: readonly Schedule[]): boolean {
  return JSON.stringify(a.map(canonical)) === JSON.stringify(b.map(canonical));
}

const canonical = (schedule: Schedule): unknown => [
  identityOf(schedule),
  schedule.startMs ?? null,
  schedule.endMs ?? null,
  schedule.repeatCount,
  schedule.jitterMs ?? 0,
  schedule.calendars ?? [],
];

/** What an edit finds: the schedules before it and how far they had come. */
export type TimingBefore = {
  readonly schedules: readonly Schedule[];
  readonly progress: readonly ScheduleProgress[];
};

/**
 * When a definition fires next, computed from now. A schedule that an edit
 * leaves as it was keeps its progress. Nothing looks back, but for a one-shot
 * that is new and has just passed, within the misfire grace: `late` names it,
 * to be fired beside the timetable.
 */
export function timingFrom(
  timetable: Timetable,
  definition: JobDefinition,
  nowMs: number,
  before?: TimingBefore,
): { readonly timing: Timing; readonly late?: Pick<LateFires, 'places' | 'afterMs'> } {
  const { schedules, misfire } = definition;
  const progress = schedules.map((schedule): ScheduleProgress => {
    const identity = identityOf(schedule);
    const i = before?.schedules.findIndex((earlier) => identityOf(earlier) === identity);
    return (i === undefined || i < 0 ? undefined : before?.progress[i]) ?? { runs: 0 };
  });
  const kept = timetable.keepsProgress ? progress : [];
  const afterMs = Math.floor(nowMs - misfire.graceMs) - 1;
  const places = schedules.flatMap(({ spec }, place) =>
    spec.kind === 'once' &&
    timetable.only([place]).lastUntil(nowMs, afterMs, kept) &&
    !before?.schedules.some((earlier) => earlier.spec.kind === 'once' && earlier.spec.atMs === spec.atMs)
      ? [place]
      : [],
  );
  return {
    timing: { nextFireMs: timetable.next(nowMs, kept)?.atMs ?? null, progress: kept },
    late: places.length > 0 ? { places, afterMs } : undefined,
  };
}

/**
 * Fires what locked jobs owe up to now, before a command changes their timing
 * or their pauses, so that no fire time is lost between the old and the new.
 * Returns the timers as they are then, and what is to be announced once it is
 * committed.
 */
export async function settleOwed(
  tx: Tx,
  store: Pick<Store, 'timers' | 'leases'>,
  planning: FirePlanning,
  jobIds: readonly number[],
): Promise<{ readonly timers: ReadonlyMap<number, LockedTimer>; readonly fired?: Fired }> {
  const locked = await store.timers.lockByIds(tx, jobIds, null);
  const timers = new Map(locked.map((timer) => [timer.jobId, timer]));
  const owing = locked.filter((timer) => timer.nextFireMs !== null && timer.nextFireMs <= timer.nowMs);
  if (owing.length === 0) return { timers };
  const firings = await planning.planDue(tx, owing);
  const fired = await planning.write(tx, firings, await store.leases.lockCurrentTerm(tx));
  for (const { jobId, newNextFireMs: nextFireMs, progress } of firings) {
    const timer = timers.get(jobId)!;
    timers.set(jobId, { ...timer, nextFireMs, progress: progress ?? timer.progress });
  }
  return { timers, fired };
}
