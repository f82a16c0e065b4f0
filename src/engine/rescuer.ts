/**
 * Gives the attempts of lost instances back. Runs on the leader only.
 *
 * An instance is lost when its lease has expired by the database's clock. Its
 * attempts end as FAILED with WORKER_LOST: the execution waits for its next
 * attempt at once (the outcome is unknown, delivery is at least once), or is
 * FAILED when the attempts are used up, or CANCELED when that was asked for.
 * Then the instance's row is removed, which tells it, should it come back, that
 * its attempts are gone. It also ends what waited longer than its job allows,
 * and attempts that their callees have not reported on in time; it continues the
 * jobs that somebody else should have continued, and settles limits that were
 * changed.
 *
 * Every pass is made of transactions that first find the term. A leader that is
 * new waits for one lease before it rescues: while the database was away nobody
 * could renew, and those who are alive do so first. So do callees.
 */
import { retryAfterLossMs } from '../domain/retry.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Service } from '../platform/service.ts';
import type { AttemptEnd } from '../store/attempt-store.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { JobCache } from './job-cache.ts';
import type { JobContinuation } from './job-continuation.ts';
import type { LimitSettling } from './limit-settling.ts';
import type { CalleeSweep } from './reports/callee-sweep.ts';

export type RescuerOptions = {
  readonly store: Pick<
    Store,
    'db' | 'transaction' | 'attempts' | 'instances' | 'leases' | 'feed' | 'requests' | 'pauses'
  >;
  readonly jobs: JobCache;
  readonly continuation: Pick<JobContinuation, 'look' | 'sweep'>;
  readonly settling: Pick<LimitSettling, 'pass'>;
  readonly callees: Pick<CalleeSweep, 'sweep'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leadership: () => { readonly term: number; readonly instanceId: number } | undefined;
  /** How long an instance's lease lasts. */
  readonly instanceTtlMs: number;
  readonly intervalMs: number;
  /** How long feed rows are kept. */
  readonly feedRetentionMs: number;
};

/** The most attempts of one transaction. */
const batchSize = 1_000;

/** How often what is past its time is cleaned away. */
const cleanEveryMs = 60_000;

export class Rescuer implements Service {
  readonly #options: RescuerOptions;
  readonly #loop: Loop;
  #leads: { readonly term: number; readonly sinceMs: number } | undefined;
  #cleanedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: RescuerOptions) {
    this.#options = options;
    this.#loop = new Loop({
      clock: options.clock,
      tick: () => this.tick(),
      onError: (error, failures) => {
        if (failures === 1) options.logger.warn({ error }, 'pass of the rescuer failed, trying again');
      },
      failedWaitMs: options.intervalMs,
    });
  }

  start(): Promise<void> {
    return this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** One pass. Returns how long to wait, in milliseconds. */
  async tick(): Promise<number> {
    const { store, clock, intervalMs, instanceTtlMs, notifier } = this.#options;
    const leadership = this.#options.leadership();
    if (!leadership) {
      this.#leads = undefined;
      return intervalMs;
    }
    const nowMs = clock.monotonicMs();
    if (this.#leads?.term !== leadership.term) this.#leads = { term: leadership.term, sinceMs: nowMs };
    const expired = await store.attempts.endExpired(store.db);
    if (expired.length > 0) notifier.notify('feed');
    if (nowMs - this.#leads.sinceMs >= instanceTtlMs) {
      const lost = await store.instances.listExpired(store.db);
      if (lost.length > 0) await this.rescue(lost, leadership);
      await this.#options.callees.sweep(leadership);
    }
    await this.#sweep();
    if (await this.#options.settling.pass()) notifier.notify('pending');
    if (nowMs - this.#cleanedAtMs >= cleanEveryMs) {
      this.#cleanedAtMs = nowMs;
      await this.#clean();
    }
    return intervalMs;
  }

  /** A job that cannot be continued must not keep attempts from being rescued. */
  async #sweep(): Promise<void> {
    try {
      await this.#options.continuation.sweep();
    } catch (error) {
      this.#options.logger.warn({ error }, 'jobs not continued, trying again');
    }
  }

  /** Gives back the attempts of these instances and removes their rows. */
  async rescue(
    lost: readonly number[],
    leadership: { readonly term: number; readonly instanceId: number },
  ): Promise<void> {
    const { store, notifier, continuation, logger } = this.#options;
    for (let count = batchSize; count === batchSize; ) {
      const ended: number[] = [];
      count = await store.transaction(async (tx) => {
        if (!(await store.leases.findTerm(tx, leadership.instanceId, leadership.term))) return 0;
        // A renewal between the listing and this lock keeps its instance.
        const expired = await store.instances.lockExpired(tx, lost);
        const stranded = await store.attempts.lockStranded(tx, expired, batchSize);
        const cached = await this.#options.jobs.load(
          tx,
          stranded.map(({ jobId }) => ({ jobId, generation: 0 })),
        );
        const ends = stranded.map(({ executionId, attempt, jobId, instanceId }): AttemptEnd => {
          const retry = cached.get(jobId)?.definition.retry;
          return {
            executionId,
            attempt,
            outcome: 'FAILED',
            reason: 'WORKER_LOST',
            message: `instance ${instanceId} was lost during attempt ${attempt}`,
            retryAfterMs: retry && retryAfterLossMs(retry, attempt),
          };
        });
        if (ends.length > 0) {
          const written = await store.attempts.endOf(
            tx,
            stranded.map(({ instanceId }) => instanceId),
            ends,
          );
          ended.push(...written.filter(({ isFinal }) => isFinal).map(({ jobId }) => jobId));
        }
        if (stranded.length < batchSize) await store.instances.remove(tx, expired);
        if (expired.length > 0)
          logger.warn(
            { instances: expired, attempts: ends.length },
            'gave back the attempts of lost instances',
          );
        return stranded.length;
      });
      notifier.notify('pending');
      notifier.notify('feed');
      continuation.look(ended);
    }
  }

  async #clean(): Promise<void> {
    const { store, feedRetentionMs } = this.#options;
    await store.feed.clean(store.db, feedRetentionMs);
    await store.requests.clean(store.db);
    await store.pauses.clean(store.db);
  }
}
