import { retryWaitMs } from '../../domain/retry.ts';
import type { Logger } from '../../platform/logger.ts';
import type { AttemptEnd } from '../../store/attempt-store.ts';
import type { Notifier } from '../../store/notifier.ts';
import type { OverdueAttempt } from '../../store/report-store.ts';
import type { Store } from '../../store/store.ts';
import type { CachedJob, JobCache } from '../job-cache.ts';
import type { JobContinuation } from '../job-continuation.ts';

export type CalleeSweepOptions = {
  readonly store: Pick<Store, 'transaction' | 'attempts' | 'reports' | 'leases'>;
  readonly jobs: Pick<JobCache, 'load'>;
  readonly continuation: Pick<JobContinuation, 'look'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  readonly logger: Logger;
  readonly random: () => number;
  /** How long a callee may go on when a cancel was asked for. */
  readonly cancelGraceMs: number;
};

/** The most attempts of one transaction. */
const batchSize = 1_000;

/**
 * Ends attempts whose callees have not reported in time: whose job's
 * attempt_timeout is over, whose callee was silent for too long, or was asked
 * to stop and has not for the grace time. Called by the rescuer on the leader;
 * every pass is made of transactions that first find the term. A report that
 * comes at the same moment and is first stands, and the pass leaves it alone.
 */
export class CalleeSweep {
  readonly #options: CalleeSweepOptions;

  constructor(options: CalleeSweepOptions) {
    this.#options = options;
  }

  /** Ends all there are. */
  async sweep(leadership: { readonly term: number; readonly instanceId: number }): Promise<void> {
    const { notifier, continuation, logger } = this.#options;
    for (let count = batchSize; count === batchSize; ) {
      const overdue = await this.#endSome(leadership);
      count = overdue.count;
      if (count === 0) return;
      logger.info({ attempts: count }, 'ended attempts that their callees did not report on in time');
      notifier.notify('feed');
      if (overdue.isLimited || overdue.retries > 0) notifier.notify('pending');
      if (overdue.retries > 0) notifier.notify('retry');
      continuation.look(overdue.finished);
    }
  }

  /** One transaction. */
  #endSome(leadership: { readonly term: number; readonly instanceId: number }): Promise<{
    readonly count: number;
    readonly retries: number;
    /** Whether places within limits have become free. */
    readonly isLimited: boolean;
    readonly finished: readonly number[];
  }> {
    const { store, jobs, cancelGraceMs } = this.#options;
    return store.transaction(async (tx) => {
      const isLeader = await store.leases.findTerm(tx, leadership.instanceId, leadership.term);
      const overdue = isLeader ? await store.reports.lockOverdue(tx, cancelGraceMs, batchSize) : [];
      if (overdue.length === 0) return { count: 0, retries: 0, isLimited: false, finished: [] };
      const cached = await jobs.load(
        tx,
        overdue.map(({ jobId }) => ({ jobId, generation: 0 })),
      );
      const written = await store.attempts.endOf(
        tx,
        overdue.map(({ instanceId }) => instanceId),
        overdue.map((attempt) => this.#endOf(attempt, cached.get(attempt.jobId))),
      );
      const finished = written.filter(({ isFinal }) => isFinal).map(({ jobId }) => jobId);
      return {
        count: overdue.length,
        retries: written.length - finished.length,
        isLimited: written.some(({ isLimited }) => isLimited),
        finished,
      };
    });
  }

  #endOf({ executionId, attempt, fault, givenMs }: OverdueAttempt, job: CachedJob | undefined): AttemptEnd {
    const common = { executionId, attempt };
    // The cancel's own reason and words are in the database.
    if (fault === 'CANCEL')
      return { ...common, outcome: 'CANCELED', reason: 'CANCEL_REQUESTED', message: '' };
    const isDeadline = fault === 'DEADLINE';
    const given = Math.round(givenMs);
    return {
      ...common,
      outcome: 'FAILED',
      reason: isDeadline ? 'ATTEMPT_TIMEOUT' : 'HEARTBEAT_TIMEOUT',
      message: isDeadline
        ? `the attempt took longer than ${given} ms`
        : `nothing was heard of the callee for ${given} ms`,
      retryAfterMs:
        job &&
        retryWaitMs(
          job.definition.retry,
          attempt,
          { outcome: 'FAILED', retryable: true },
          this.#options.random,
        ),
    };
  }
}
