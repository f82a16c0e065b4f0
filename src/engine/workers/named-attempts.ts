/**
 * Whose the attempts are that a worker names in its hello.
 *
 *     held here        it goes on, unless another instance has adopted it since
 *     held elsewhere   adopted, if the database says that it is the worker's
 *     over here        its end is on its way to the database, where it still
 *                      looks like the worker's. The worker's own result is
 *                      acknowledged when it is stored; an attempt that was given
 *                      up is rejected
 *     anything else    rejected: it is not the worker's any more
 *
 * A worker that goes to another instance and back finds what it left here: a run
 * whose end the database would refuse, and whose log lines would carry numbers
 * that are taken. That is dropped first, while the database still refuses its
 * end, and then the attempt is adopted like any other.
 */
import type { Store } from '../../store/store.ts';
import type { ConnectedWorker } from './connected-worker.ts';
import { workerLost } from './delivery-results.ts';
import type { UnstoredEnds } from './unstored-ends.ts';
import { type AttemptRef, refKey, type WorkerHello } from './worker-messages.ts';

export type NamedAttemptsOptions = {
  readonly store: Pick<Store, 'db' | 'attempts'>;
  readonly instanceId: number;
  /** The worker as it is known here, with what it holds. */
  readonly known: ConnectedWorker | undefined;
  readonly unstored: UnstoredEnds;
  /** Takes note of what is asked for, also where the answer is lost: it has been sent, and is not sent again. */
  readonly adopted: Set<string>;
};

/** What came of the attempts that a hello named. */
export type NamedAttempts = {
  readonly running: readonly AttemptRef[];
  readonly rejected: readonly AttemptRef[];
  /** Whether some of the running ones were another instance's. */
  readonly adopts: boolean;
};

/**
 * Asks the database. The answer is asked for when the worker is taken in, since
 * attempts may have ended while the database answered.
 */
export async function settleNamed(
  { namespace, workerId, running: named }: WorkerHello,
  { store, instanceId, known, unstored, adopted }: NamedAttemptsOptions,
): Promise<(worker: ConnectedWorker) => NamedAttempts> {
  // A hello may name 100,000 attempts: sets, not searches.
  const here = named.filter((ref) => known?.holds(ref));
  const own =
    here.length === 0 ? new Set<number>() : new Set(await store.attempts.listOwn(store.db, instanceId, here));
  const left = here.filter(({ executionId }) => !own.has(executionId));
  await Promise.all(
    left.map((ref) => {
      known?.giveUp(ref, workerLost(workerId));
      return unstored.untilStored(ref);
    }),
  );
  const kept = new Set(here.filter(({ executionId }) => own.has(executionId)));
  const foreign = new Set(named.filter((ref) => !kept.has(ref) && !unstored.has(ref)));
  for (const ref of foreign) adopted.add(refKey(ref));
  const taken = new Set(
    foreign.size === 0
      ? []
      : await store.attempts.adopt(store.db, instanceId, namespace, workerId, [...foreign]),
  );
  for (const ref of foreign) if (!taken.has(ref.executionId)) adopted.delete(refKey(ref));
  return (worker) => {
    const isRunning = (ref: AttemptRef): boolean =>
      foreign.has(ref) ? taken.has(ref.executionId) && !unstored.has(ref) : worker.holds(ref);
    return {
      running: named.filter(isRunning),
      rejected: named.filter((ref) => !isRunning(ref) && !unstored.isReported(ref)),
      adopts: taken.size > 0,
    };
  };
}
