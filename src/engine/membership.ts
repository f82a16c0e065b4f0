/**
 * This process's row in the table of instances, and its lease.
 *
 * Attempts belong to an instance and live as long as its lease, judged by the
 * database's clock, so keeping any number of attempts alive costs one statement
 * per renewal. The instance itself trusts the lease until the monotonic time at
 * which it *sent* its last successful renewal plus the length: behind that it
 * begins no attempt. Attempts under way go on: nobody can take them while the
 * database is away, and when somebody did take them (this instance was cut off)
 * their ends and log lines are refused by instance and attempt number.
 *
 * A renewal that finds the row gone means just that: the leader gave the
 * attempts to others. The instance lets go of all it runs and registers anew,
 * under a new id.
 */
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Service } from '../platform/service.ts';
import type { Store } from '../store/store.ts';

export type MembershipOptions = {
  readonly store: Pick<Store, 'db' | 'instances'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly name: string;
  readonly roles: string;
  readonly version: string;
  /** Which keys of secrets it has, the first one first. */
  readonly secretKeys: readonly string[];
  /** How long the lease lasts without renewal, in milliseconds. */
  readonly ttlMs: number;
  /** Told when the attempts of this instance were given to others. */
  readonly onLost?: () => void;
};

export class Membership implements Service {
  readonly #options: MembershipOptions;
  readonly #loop: Loop;
  #id: number | undefined;
  #deadlineMs = Number.NEGATIVE_INFINITY;
  #failing = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#loop = new Loop({
      clock: options.clock,
      tick: () => this.#tick(),
      onError: (error) => {
        if (!this.#failing) options.logger.warn({ error }, 'instance lease not renewed, trying again');
        this.#failing = true;
      },
    });
  }

  /** This instance's id; it changes when the instance was given up for lost and registered anew. */
  get id(): number {
    if (this.#id === undefined) throw new Error('membership is not started');
    return this.#id;
  }

  /** Whether the lease is certain to be alive, so that attempts may begin. */
  isAlive(): boolean {
    return this.#options.clock.monotonicMs() < this.#deadlineMs;
  }

  async start(): Promise<void> {
    await this.#register();
    await this.#loop.start();
  }

  /** Stops renewing and removes the row, if no attempt is left to it. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    if (this.#id === undefined) return;
    this.#deadlineMs = Number.NEGATIVE_INFINITY;
    try {
      await this.#options.store.instances.remove(this.#options.store.db, [this.#id]);
    } catch (error) {
      this.#options.logger.debug({ error }, 'instance row not removed; its lease will expire');
    }
  }

  async #tick(): Promise<number> {
    const { store, clock, ttlMs, logger } = this.#options;
    const sentMs = clock.monotonicMs();
    if (await store.instances.renew(store.db, this.id, ttlMs)) {
      this.#deadlineMs = sentMs + ttlMs;
      if (this.#failing) logger.info({ instanceId: this.id }, 'instance lease renewed again');
      this.#failing = false;
    } else {
      logger.warn(
        { instanceId: this.id },
        'this instance was given up for lost; its attempts went to others',
      );
      this.#options.onLost?.();
      await this.#register();
    }
    return ttlMs / 5;
  }

  async #register(): Promise<void> {
    const { store, clock, name, roles, version, secretKeys, ttlMs, logger } = this.#options;
    const sentMs = clock.monotonicMs();
    this.#id = await store.instances.register(store.db, { name, roles, version, secretKeys }, ttlMs);
    this.#deadlineMs = sentMs + ttlMs;
    logger.info({ instanceId: this.#id, name }, 'instance registered');
  }
}
