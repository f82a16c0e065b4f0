/**
 * Recomputes next fire times that older zone data computed. Runs on the leader
 * only, once in each term.
 *
 * Governments change their clocks, and an instance that was upgraded knows. Each
 * timer row holds the version of the zone data that computed it; where that is
 * another one than this instance's, the next fire time is computed again from
 * now, and jobs that moved by that are logged and counted. A fire time that is
 * due already is left to fire.
 *
 * Each batch is a transaction that finds the term, locks its rows and writes by
 * compare-and-set, so it and firing come one after the other. Killed in
 * between, the next leader goes on with the rows that are left. Two instances
 * of different versions, while an upgrade rolls, renew for each other at most
 * once in a term.
 */
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Service } from '../platform/service.ts';
import { zoneDataVersion } from '../platform/zone-data.ts';
import type { Store } from '../store/store.ts';
import type { Firing, LockedTimer } from '../store/timer-store.ts';
import type { CachedJob, JobCache } from './job-cache.ts';
import { retimed } from './job-continuation.ts';

export type ZoneDataRenewalOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'leases' | 'timers'>;
  /** A cache of its own: a walk over all jobs would push the busy ones out. */
  readonly jobs: JobCache;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly leadership: () => { readonly term: number; readonly instanceId: number } | undefined;
  /** How often it looks whether it leads. */
  readonly intervalMs: number;
};

/** The most jobs of one transaction. */
const batchSize = 1_000;

/** Jobs that moved are logged one by one up to this many. */
const maxLogged = 100;

export class ZoneDataRenewal implements Service {
  readonly #options: ZoneDataRenewalOptions;
  readonly #loop: Loop;
  #renewedTerm: number | undefined;

  constructor(options: ZoneDataRenewalOptions) {
    this.#options = options;
    this.#loop = new Loop({
      clock: options.clock,
      tick: () => this.tick(),
      onError: (error, failures) => {
        if (failures === 1) options.logger.warn({ error }, 'zone data not renewed, trying again');
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

  /** Looks whether a term has begun. Returns how long to wait, in milliseconds. */
  async tick(): Promise<number> {
    const leadership = this.#options.leadership();
    if (leadership && leadership.term !== this.#renewedTerm) {
      await this.#renewAll(leadership);
      this.#renewedTerm = leadership.term;
    }
    return this.#options.intervalMs;
  }

  async #renewAll(leadership: { readonly term: number; readonly instanceId: number }): Promise<void> {
    const { store, logger, metrics } = this.#options;
    let renewed = 0;
    let moved = 0;
    for (let afterId = 0; ; ) {
      const ids = await store.timers.listOtherZoneData(store.db, zoneDataVersion, afterId, batchSize);
      if (ids.length === 0) break;
      const changes = await store.transaction(async (tx) => {
        if (!(await store.leases.findTerm(tx, leadership.instanceId, leadership.term))) return undefined;
        const timers = await store.timers.lockByIds(tx, ids, null);
        const cached = await this.#options.jobs.load(tx, timers);
        const firings = timers.flatMap((timer): Firing[] => {
          if (timer.nextFireMs === null || timer.nextFireMs <= timer.nowMs) return [];
          const job = cached.get(timer.jobId);
          return [retimed(timer, timer.progress, job && this.#nextOf(job, timer))];
        });
        await store.timers.fire(tx, firings, leadership.term);
        return firings;
      });
      if (!changes) return;
      renewed += changes.length;
      for (const { jobId, oldNextFireMs, newNextFireMs } of changes) {
        if (oldNextFireMs === newNextFireMs) continue;
        moved++;
        metrics.count('carillon_timers_moved_total', 1);
        if (moved > maxLogged) continue;
        logger.info(
          { jobId, from: isoOf(oldNextFireMs), to: isoOf(newNextFireMs), zoneData: zoneDataVersion },
          'next fire time moved: the rules of its time zone have changed',
        );
      }
      afterId = ids.at(-1)!;
    }
    if (renewed > 0) logger.info({ renewed, moved, zoneData: zoneDataVersion }, 'next fire times renewed');
  }

  /** A job whose schedules cannot be understood keeps its fire time, and is set aside when that comes. */
  #nextOf(job: CachedJob, timer: LockedTimer): number | undefined {
    try {
      return job.timetable().next(timer.nowMs, timer.progress)?.atMs;
    } catch (error) {
      this.#options.logger.debug({ error, jobId: timer.jobId }, 'schedules cannot be understood');
      return timer.nextFireMs ?? undefined;
    }
  }
}

const isoOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
