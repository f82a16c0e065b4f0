/**
 * Chooses one instance to lead.
 *
 * Purpose: fire times are handed out by one instance at a time, for speed. It
 * is not needed for correctness: every write of a leader carries its term and
 * is refused by the database once a higher term exists (see store/lease-store).
 *
 * States:
 *
 *     FOLLOWER --- takes the lease: it expired, or its leader's session is gone ---> LEADER
 *     LEADER ----- renewal refused, session broken, resigned -----------------> FOLLOWER
 *
 * A leader trusts its lease until `deadline`: the monotonic time at which it
 * *sent* the last successful renewal, plus the lease's length. The database
 * counts from a later moment, so the leader always stops first; a leader that
 * was stopped (SIGSTOP, a stalled event loop, a swapped-out machine) finds the
 * deadline passed at its next step, before it reads any message.
 *
 * How fast a leader is replaced:
 *   - graceful stop: it expires its lease and frees the term's advisory lock,
 *     for which the others wait; one round trip.
 *   - crash (SIGKILL, process gone): its session ends, Postgres frees the lock,
 *     the others wake at once and take the term over, unexpired as it is. That
 *     is safe, since the old leader is fenced; it also stops by itself, as it
 *     sees its session end.
 *   - hung, or cut off without a reset: nothing tells; the lease expires.
 *
 * Failure cases: a follower that misses a takeover waits for an old term's
 * lock at most until that lease would expire, then reads again. Two followers
 * that wake together both try; the row lock lets one in, the other finds a
 * higher term. The reply to a take or a renewal is lost: the session is ended,
 * which frees the lock, and whoever comes next takes a higher term.
 */
import type pg from 'pg';
import { backoffMs } from '../platform/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Service } from '../platform/service.ts';
import type { Store } from '../store/store.ts';

export type LeaderElectorOptions = {
  readonly store: Pick<Store, 'connect' | 'leases'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Who this is; an instance that registers anew gets another id. */
  readonly instanceId: () => number;
  /** How long a lease lasts without renewal, in milliseconds. */
  readonly ttlMs: number;
  /** How often it is renewed; well below half of ttlMs. */
  readonly renewMs: number;
  /** Told when this instance begins or ceases to lead. */
  readonly onChange?: (term: number | undefined) => void;
};

type Lead = { readonly term: number; readonly instanceId: number; deadlineMs: number };

export class LeaderElector implements Service {
  readonly #options: LeaderElectorOptions;
  readonly #stopping = new AbortController();
  #session: pg.Client | undefined;
  #lead: Lead | undefined;
  #running: Promise<void> | undefined;

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
  }

  /** The term and the instance under which this process leads at this moment; undefined when it does not. */
  leadership(): { readonly term: number; readonly instanceId: number } | undefined {
    const lead = this.#lead;
    if (!lead || this.#options.clock.monotonicMs() >= lead.deadlineMs) return undefined;
    return lead;
  }

  /** Steps down from a term that the database no longer knows as this instance's. */
  stepDown(term: number, why: string): void {
    if (this.#lead?.term !== term) return;
    this.#lead = undefined;
    this.#options.logger.warn({ term, why }, 'no longer leader');
    this.#options.onChange?.(undefined);
  }

  start(): Promise<void> {
    this.#running ??= this.#run();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const session = this.#session;
    const lead = this.#lead;
    if (session && lead) {
      this.#lead = undefined;
      try {
        await this.#options.store.leases.resign(session, lead.instanceId, lead.term);
        this.#options.logger.info({ term: lead.term }, 'resigned as leader');
      } catch (error) {
        this.#options.logger.debug({ error }, 'could not resign; the lease ends with the session');
      }
    }
    await this.#endSession();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted; ) {
      try {
        const session = await this.#connect();
        failures = 0;
        if (signal.aborted) break;
        await this.#campaign(session);
      } catch (error) {
        if (signal.aborted) break;
        if (failures++ === 0) logger.warn({ error }, 'no session for the election, trying again');
      }
      if (this.#lead) this.stepDown(this.#lead.term, 'its session ended');
      await this.#endSession();
      await clock.sleep(backoffMs({ initialMs: 50, maxMs: 1_000, multiplier: 2 }, failures + 1, 0.5), signal);
    }
    await this.#endSession();
  }

  /** Follows and leads in turn, as long as the session lives. */
  async #campaign(session: pg.Client): Promise<void> {
    const { store, clock, ttlMs } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const lease = await store.leases.read(session);
      let deadTerm: number | undefined;
      if (lease && lease.remainingMs > 0) {
        // One millisecond more, so that an expired lease is found expired.
        const gone = await store.leases.awaitSessionEnd(session, lease.term, lease.remainingMs + 1);
        if (signal.aborted) return;
        if (gone) deadTerm = lease.term;
      }
      const instanceId = this.#options.instanceId();
      const sentMs = clock.monotonicMs();
      const term = await store.leases.take(session, instanceId, ttlMs, deadTerm);
      if (signal.aborted) return;
      // The session of a past term ends with it; the next campaign begins with a new one.
      if (term !== undefined) return this.#reign(session, { term, instanceId, deadlineMs: sentMs + ttlMs });
    }
  }

  /** Leads until a renewal is refused or the session breaks. */
  async #reign(session: pg.Client, lead: Lead): Promise<void> {
    const { store, clock, logger, ttlMs, renewMs, onChange, instanceId } = this.#options;
    const { signal } = this.#stopping;
    const ended = new AbortController();
    const onEnd = (): void => ended.abort();
    session.once('end', onEnd);
    signal.addEventListener('abort', onEnd, { once: true });
    this.#lead = lead;
    logger.info({ term: lead.term }, 'leader');
    onChange?.(lead.term);
    try {
      while (this.#lead === lead) {
        await clock.sleep(renewMs, ended.signal);
        if (signal.aborted) return;
        if (ended.signal.aborted) throw new Error('the session of the election ended');
        if (this.#lead !== lead) return;
        const sentMs = clock.monotonicMs();
        const renewed =
          instanceId() === lead.instanceId &&
          (await store.leases.renew(session, lead.instanceId, lead.term, ttlMs));
        if (signal.aborted) return;
        if (!renewed) return this.stepDown(lead.term, 'its lease was not renewed');
        lead.deadlineMs = sentMs + ttlMs;
      }
    } finally {
      session.off('end', onEnd);
      signal.removeEventListener('abort', onEnd);
      // Another term's lock must not be held by a session that goes on as a follower.
      if (!signal.aborted) await this.#endSession();
    }
  }

  async #connect(): Promise<pg.Client> {
    const session = await this.#options.store.connect('carillon election');
    session.on('error', (error) => this.#options.logger.debug({ error }, 'session of the election broke'));
    this.#session = session;
    return session;
  }

  async #endSession(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.end().catch((error: unknown) => {
      this.#options.logger.debug({ error }, 'session of the election did not end cleanly');
    });
  }
}
