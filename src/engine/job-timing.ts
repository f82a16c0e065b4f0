import type { JobDefinition } from '../domain/job.ts';
import type { Schedule } from '../domain/schedule/schedule.ts';
import type { Timetable } from '../domain/schedule/timetable.ts';
import type { Tx } from '../store/database.ts';
import type { Timing } from '../store/job-store.ts';
import type { Store } from '../store/store.ts';
import type { JobCache } from './job-cache.ts';
import { planJob } from './scheduler.ts';

/** Whether two definitions fire at the same times. */
export function firesAlike(a: readonly Schedule[], b: readonly Schedule[]): boolean {
  return JSON.stringify(a.map(canonical)) === JSON.stringify(b.map(canonical));
}

/** A spec as text; what was stored comes back with its members in another order. */
const textOf = (spec: Schedule['spec']): string =>
  JSON.stringify(Object.entries(spec).sort(([x], [y]) => (x < y ? -1 : 1)));

const canonical = (schedule: Schedule): unknown => [
  schedule.name,
  textOf(schedule.spec),
  schedule.startMs ?? null,
  schedule.endMs ?? null,
  schedule.repeatCount,
];

/**
 * When a definition fires first, computed from now, and the runs that its
 * schedules have made: a schedule that an edit leaves as it was keeps its
 * count. A one-shot that is new and has just passed, within the misfire grace,
 * is due at once; nothing else looks back.
 */
export function timingFrom(
  timetable: Timetable,
  definition: JobDefinition,
  nowMs: number,
  before?: { readonly schedules: readonly Schedule[]; readonly runsMade: readonly number[] },
): Timing {
  const { schedules, misfire } = definition;
  const runsMade = schedules.map((schedule) => {
    const i = before?.schedules.findIndex(
      ({ name, spec }) => name === schedule.name && textOf(spec) === textOf(schedule.spec),
    );
    return (i === undefined || i < 0 ? 0 : before?.runsMade[i]) ?? 0;
  });
  const counted = schedules.some((schedule) => schedule.repeatCount > 0) ? runsMade : [];
  const justPassed = schedules.flatMap(({ spec }) =>
    spec.kind === 'once' &&
    spec.atMs <= nowMs &&
    spec.atMs >= nowMs - misfire.graceMs &&
    !before?.schedules.some((earlier) => earlier.spec.kind === 'once' && earlier.spec.atMs === spec.atMs)
      ? [spec.atMs]
      : [],
  );
  const next = timetable.next(nowMs, counted)?.atMs;
  const candidates = next === undefined ? justPassed : [...justPassed, next];
  return { nextFireMs: candidates.length === 0 ? null : Math.min(...candidates), runsMade: counted };
}

/**
 * Fires what a locked job owes up to now, before a command changes its timing
 * or its pauses, so that no fire time is lost between the old and the new.
 * Returns the database's now and the runs made.
 */
export async function settleOwed(
  tx: Tx,
  store: Pick<Store, 'timers' | 'leases'>,
  jobs: JobCache,
  jobIds: readonly number[],
): Promise<ReadonlyMap<number, { readonly nowMs: number; readonly runsMade: readonly number[] }>> {
  const timers = await store.timers.lockByIds(tx, jobIds, null);
  const owing = timers.filter((timer) => timer.nextFireMs !== null && timer.nextFireMs <= timer.nowMs);
  const settled = new Map(timers.map(({ jobId, nowMs, runsMade }) => [jobId, { nowMs, runsMade }]));
  if (owing.length === 0) return settled;
  const situations = await store.timers.listSituations(
    tx,
    owing.map((timer) => timer.jobId),
  );
  const cached = await jobs.load(tx, owing);
  const firings = owing.map((timer) =>
    planJob(timer, cached.get(timer.jobId), situations.get(timer.jobId), () => undefined),
  );
  await store.timers.fire(tx, firings, await store.leases.lockCurrentTerm(tx));
  for (const { jobId, runsMade } of firings) {
    if (runsMade) settled.set(jobId, { nowMs: settled.get(jobId)!.nowMs, runsMade });
  }
  return settled;
}
