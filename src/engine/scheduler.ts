/**
 * Fires what is due. Runs on the leader only.
 *
 * A tick is one transaction and a constant number of statements, whatever the
 * batch: find the term (fence), lock due timer rows, plan (fire-planning), write
 * ledger rows and the next fire times by compare-and-set, commit. Between ticks it sleeps until
 * the earliest fire time, by the database's clock; a change of timers wakes it.
 *
 * Two leaders alive: the fence refuses the older term; were both to pass it,
 * row locks and the compare-and-set would still let one of them fire each fire
 * time. Killed between any two lines: before the commit nothing happened, and
 * behind it the ledger rows wait for any instance's claim. The reply to the
 * commit is lost: the tick fails, the next one finds the rows advanced or still
 * due; waiting executions are announced in either case. A notification is lost:
 * the safety interval finds the fire time late by at most that. The process is
 * stopped before a tick: leadership is asked for first and has lapsed; stopped
 * inside the transaction: the server ends it.
 */
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Service } from '../platform/service.ts';
import type { Tx } from '../store/database.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { Fired, FirePlanning } from './fire-planning.ts';
import type { JobContinuation } from './job-continuation.ts';

export type SchedulerOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'leases' | 'timers'>;
  readonly planning: FirePlanning;
  readonly continuation: Pick<JobContinuation, 'announce'>;
  readonly notifier: Pick<Notifier, 'on' | 'notify'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Under which term this instance leads; undefined when it does not. */
  readonly leadership: () => { readonly term: number; readonly instanceId: number } | undefined;
  /** Told that the database knows another leader. */
  readonly stepDown: (term: number) => void;
  /** The most jobs of one transaction. */
  readonly batchSize: number;
  /** The longest sleep, in milliseconds: what a lost notification costs. */
  readonly safetyIntervalMs: number;
  /** Set by tests; null takes the database's clock. */
  readonly now?: () => Date | null;
};

/** Rows that are due but locked by a command are looked at again after this. */
const lockedRetryMs = 2;

export class Scheduler implements Service {
  readonly #options: SchedulerOptions;
  readonly #loop: Loop;
  #stopListening: (() => void) | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#loop = new Loop({
      clock: options.clock,
      tick: () => this.tick(),
      onError: (error, failures) => {
        if (failures === 1) options.logger.warn({ error }, 'tick of the scheduler failed, trying again');
        // The commit may have happened all the same.
        options.notifier.notify('pending');
      },
    });
  }

  async start(): Promise<void> {
    this.#stopListening = this.#options.notifier.on('timers', () => this.#loop.wake());
    await this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#stopListening?.();
    await this.#loop.stop();
  }

  /** Looks for due jobs now, for whoever just became leader. */
  wake(): void {
    this.#loop.wake();
  }

  /** One pass: fires one batch. Returns how long to wait, in milliseconds. */
  async tick(): Promise<number> {
    const { store, continuation, safetyIntervalMs, batchSize } = this.#options;
    const leadership = this.#options.leadership();
    if (!leadership) return safetyIntervalMs;
    const fired = await store.transaction((tx) => this.#fireBatch(tx, leadership));
    if (fired === undefined) {
      this.#options.stepDown(leadership.term);
      return safetyIntervalMs;
    }
    continuation.announce(fired);
    if (fired.locked === batchSize) return 0;
    const waitMs = await store.timers.findWaitMs(store.db);
    if (waitMs === null) return safetyIntervalMs;
    const shortestMs = fired.advanced === 0 && waitMs <= 0 ? lockedRetryMs : 0;
    return Math.min(Math.max(waitMs, shortestMs), safetyIntervalMs);
  }

  async #fireBatch(
    tx: Tx,
    { instanceId, term }: { readonly term: number; readonly instanceId: number },
  ): Promise<(Fired & { readonly locked: number }) | undefined> {
    const { store, planning, metrics, batchSize } = this.#options;
    if (!(await store.leases.findTerm(tx, instanceId, term))) return undefined;
    const due = await store.timers.lockDue(tx, batchSize, this.#options.now?.() ?? null);
    if (due.length === 0) return { advanced: 0, pending: 0, cancels: false, waitingJobs: [], locked: 0 };
    const firings = await planning.planDue(tx, due, { mayLeave: true });
    const fired = await planning.write(tx, firings, term);
    // What planning left for the next tick is behind those it planned, and fires then.
    for (const { nowMs, nextFireMs } of due.slice(0, firings.length)) {
      metrics.observe('carillon_fire_lateness_milliseconds', nowMs - nextFireMs!);
    }
    return { ...fired, locked: due.length };
  }
}
