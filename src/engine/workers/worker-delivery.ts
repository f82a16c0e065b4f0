import { DomainError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { LogAllowance } from '../targets/log-allowance.ts';
import type { DeliveryContext, DeliveryResult } from '../targets/target.ts';
import type { ConnectedWorker } from './connected-worker.ts';
import { workerLost } from './delivery-results.ts';
import type { UnstoredEnds } from './unstored-ends.ts';
import type { Assignment } from './worker-messages.ts';

export type WorkerDeliveryOptions = {
  readonly clock: Clock;
  /** How long a canceled attempt may take to end by itself. */
  readonly cancelGraceMs: number;
  readonly unstored: UnstoredEnds;
  /** Whether the attempt was adopted from another instance. */
  readonly wasAdopted: boolean;
  /** Whether the instance stops: workers take what they run to another one. */
  readonly isStopping: () => boolean;
};

/**
 * Runs one attempt at a worker; resolves when the worker says how it ended, or
 * the attempt is given up. From then on until its end is stored the attempt is
 * among the unstored ends.
 */
export function deliverToWorker(
  worker: ConnectedWorker | undefined,
  assignment: Assignment,
  context: DeliveryContext,
  { clock, cancelGraceMs, unstored, wasAdopted, isStopping }: WorkerDeliveryOptions,
): Promise<DeliveryResult> {
  const { workerId, executionId, attempt } = assignment;
  const ref = { executionId, attempt };
  const { signal } = context;
  return new Promise((resolve) => {
    let cancelGrace: (() => void) | undefined;
    let isSettled = false;
    const settle = (result: DeliveryResult): void => {
      if (isSettled) return;
      isSettled = true;
      cancelGrace?.();
      signal.removeEventListener('abort', onAbort);
      // Only a result of the worker's own is acknowledged.
      unstored.add(ref, result.stored !== undefined);
      const stored = (): void => {
        unstored.store(ref);
        result.stored?.();
      };
      resolve({ ...result, stored });
    };
    const onAbort = (): void => {
      if (isSettled) return;
      const { reason: cause } = signal;
      if (!worker || cause === 'lost' || cause === 'stop' || worker.isUnsent(ref)) {
        settle(workerLost(workerId));
        // The attempt is not this instance's any more: the worker says anew what it runs, and hears what it may.
        if (cause === 'lost' && !isStopping()) worker?.fail(attemptsLost());
        return;
      }
      worker.cancel(ref, cause === 'timeout' ? 'the attempt took too long' : 'a cancel was asked for');
      cancelGrace = clock.setTimer(cancelGraceMs, () => settle(workerLost(workerId)));
    };
    const allowance = new LogAllowance(context.maxLogBytes);
    const bounded: DeliveryContext = { ...context, log: (lines) => context.log(allowance.admitAll(lines)) };
    // Begun nowhere: what was canceled before it was handed over, and what its worker had from another instance and
    // does not run any more. The number of that has been sent already.
    const isBegun = worker?.isAtWorker(ref) === true;
    if (!worker || (!isBegun && (signal.aborted || wasAdopted))) {
      settle(workerLost(workerId));
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    worker.assign(assignment, bounded, settle);
    if (signal.aborted) onAbort();
  });
}

const attemptsLost = (): DomainError =>
  new DomainError('UNAVAILABLE', 'attempts of the worker were given to others; say anew what runs', {
    retryAfterMs: 0,
  });
