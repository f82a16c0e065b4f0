import type { AttemptOutcome, ExecutionReason } from './execution.ts';
import type { Json, Retry } from './job.ts';

/** How an attempt came to its end. */
export type AttemptResult = {
  readonly outcome: AttemptOutcome;
  readonly reason?: ExecutionReason;
  readonly message: string;
  readonly result?: { [key: string]: Json };
  /** Whether another attempt may help. */
  readonly retryable: boolean;
  /** The callee's wish how long to wait. */
  readonly retryAfterMs?: number;
};

/**
 * How long to wait before the next attempt, or undefined when this one was the
 * last. The backoff grows from `initialBackoffMs` by `multiplier` up to
 * `maxBackoffMs`; jitter is only ever added, so that the wait is never shorter
 * than promised, and neither is the callee's own wish.
 */
export function retryWaitMs(
  retry: Retry,
  attempt: number,
  result: Pick<AttemptResult, 'outcome' | 'retryable' | 'retryAfterMs'>,
  random: () => number,
): number | undefined {
  if (result.outcome !== 'FAILED' || !result.retryable || attempt >= retry.maxAttempts) return undefined;
  const backoff = Math.min(retry.initialBackoffMs * retry.multiplier ** (attempt - 1), retry.maxBackoffMs);
  return Math.max(backoff + backoff * retry.jitter * random(), result.retryAfterMs ?? 0);
}

/**
 * What follows when the process that ran an attempt is lost: the next attempt
 * at once, as the outcome is unknown and delivery is at least once, or the end
 * when the attempts are used up.
 */
export function retryAfterLossMs(retry: Retry, attempt: number): number | undefined {
  return attempt < retry.maxAttempts ? 0 : undefined;
}
