/**
 * Lets the fire times run that a pause held back, when Resume says so.
 *
 * Their rows are in the ledger already, SKIPPED with PAUSED; the ones that run
 * become PENDING with cause CATCH_UP, so that a fire time keeps its one row. They
 * run oldest first and through the overlap policy, as if they came due together
 * now, and use up repeat counts; what the policy leaves out is SKIPPED with
 * OVERLAP. Rows that a schedule has no run left for stay as they are.
 */
import { OverlapRule } from '../domain/overlap.ts';
import type { Tx } from '../store/database.ts';
import type { Store } from '../store/store.ts';
import type { Firing, LockedTimer } from '../store/timer-store.ts';
import type { Fired, FirePlanning } from './fire-planning.ts';
import type { JobCache } from './job-cache.ts';
import { retimed } from './job-continuation.ts';

/** The most fire times of one job that RUN_ALL lets run. */
const maxHeld = 1_000;

/**
 * Releases what was held back of the jobs that no pause holds any more, whose
 * timer rows are locked and owe nothing. Returns the fire times that run.
 */
export async function releaseHeld(
  tx: Tx,
  {
    store,
    jobs,
    planning,
  }: {
    readonly store: Pick<Store, 'timers' | 'held' | 'cancels' | 'leases'>;
    readonly jobs: JobCache;
    readonly planning: FirePlanning;
  },
  lifted: readonly { readonly jobId: number; readonly heldSince: Date }[],
  timers: ReadonlyMap<number, LockedTimer>,
  missed: 'DROP' | 'RUN_LAST' | 'RUN_ALL',
): Promise<{ readonly fireTimes: readonly Date[]; readonly fired?: Fired }> {
  if (missed === 'DROP' || lifted.length === 0) return { fireTimes: [] };
  const locked = lifted.flatMap(({ jobId }) => timers.get(jobId) ?? []);
  const situations = await store.timers.listSituations(
    tx,
    lifted.map(({ jobId }) => jobId),
  );
  const cached = await jobs.load(tx, locked);
  const heldRows = Map.groupBy(
    await store.held.listHeldBack(tx, lifted, missed === 'RUN_LAST' ? 1 : maxHeld),
    (row) => row.jobId,
  );
  const fireTimes: Date[] = [];
  const released: { id: number; buffered: boolean; charged: readonly string[] }[] = [];
  const overlapped: number[] = [];
  const replaced: { jobId: number; message: string }[] = [];
  const waitingJobs: number[] = [];
  const firings: Firing[] = [];
  for (const { jobId } of lifted) {
    const timer = timers.get(jobId);
    const job = cached.get(jobId);
    const situation = situations.get(jobId);
    const rows = heldRows.get(jobId);
    if (!timer || !job || !situation || !rows) continue;
    // Another pause still holds it.
    if ((situation.pausedUntilMs ?? 0) > timer.nowMs) continue;
    const timetable = job.timetable();
    const { overlap } = job.definition;
    const rule = new OverlapRule(situation.occupancy);
    let { progress } = timer;
    rows.toReversed().forEach((row, i) => {
      const fireMs = row.fireAt.getTime();
      const name = `the execution of ${row.fireAt.toISOString()}`;
      if (overlap === 'CANCEL_OTHER' && i < rows.length - 1) {
        overlapped.push(row.id);
        return;
      }
      // An edit may have taken its schedule away since; then nothing keeps it from running.
      const places = timetable.placesAt(fireMs, row.schedule);
      const fire = timetable.fireAt(fireMs, places, progress);
      if (places.length > 0 && !fire) return;
      const decision = rule.decide(overlap, name);
      if (decision.kind === 'SKIP') {
        overlapped.push(row.id);
        return;
      }
      if (fire) progress = timetable.afterRun(progress, fire);
      const buffered = decision.kind === 'BUFFER';
      fireTimes.push(row.fireAt);
      released.push({ id: row.id, buffered, charged: fire ? timetable.chargedFor(fire) : [] });
      if (buffered) waitingJobs.push(jobId);
      if (buffered && decision.cancelsOthers) replaced.push({ jobId, message: `replaced by ${name}` });
    });
    if (progress !== timer.progress) {
      firings.push(retimed(timer, progress, timetable.next(timer.nowMs, progress)?.atMs));
    }
  }
  const canceled = await store.cancels.cancelReplaced(tx, replaced);
  await store.held.markOverlapped(tx, overlapped);
  await store.held.release(tx, released);
  if (firings.length > 0) await planning.write(tx, firings, await store.leases.lockCurrentTerm(tx));
  const fired: Fired = {
    advanced: released.length,
    pending: released.length,
    cancels: canceled.some(({ marked }) => marked),
    waitingJobs,
  };
  return { fireTimes, fired };
}
