import type { DeliveryResult } from '../targets/target.ts';
import type { WorkerResult } from './worker-messages.ts';

/** What an attempt ends with whose worker is gone. */
export const workerLost = (workerId: string | null): DeliveryResult => ({
  outcome: 'FAILED',
  reason: 'WORKER_LOST',
  message: workerId === null ? 'no worker was assigned' : `worker ${workerId} was lost`,
  retryable: true,
});

/** What an attempt ends with as its worker says; `stored` is told when that is written. */
export function deliveryResultOf(result: WorkerResult, stored: () => void): DeliveryResult {
  const { state, message, result: value, retryable, retryAfterMs } = result;
  if (state === 'SUCCEEDED')
    return { outcome: 'SUCCEEDED', message, result: value, retryable: false, stored };
  return {
    outcome: 'FAILED',
    reason: 'TARGET_ERROR',
    message: state === 'CANCELED' && message === '' ? 'the worker canceled it' : message,
    result: value,
    retryable: retryable && state === 'FAILED',
    retryAfterMs,
    stored,
  };
}
