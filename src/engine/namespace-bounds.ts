import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Service } from '../platform/service.ts';
import type { BoundedNamespace } from '../store/namespace-store.ts';
import type { Store } from '../store/store.ts';

export type NamespaceBoundsOptions = {
  readonly store: Pick<Store, 'db' | 'namespaces'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The most bytes of log of an attempt in any namespace. */
  readonly logBytesPerAttempt: number;
};

/** How often the limits are read, in milliseconds. */
const readEveryMs = 1_000;

/**
 * What bounds the logs and streams of each namespace, in memory: attempts and
 * streams ask when they begin, and none of them reads the database for it.
 *
 * One statement reads all of it before the parts that ask are started, and again
 * each second, so a changed limit holds on every instance about a second later.
 * While the database is away, what was read last stands.
 */
export class NamespaceBounds implements Service {
  readonly #options: NamespaceBoundsOptions;
  readonly #loop: Loop;
  #bounded: ReadonlyMap<string, BoundedNamespace> = new Map();

  constructor(options: NamespaceBoundsOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#loop = new Loop({
      clock,
      tick: () => this.tick(),
      onError: (error, failures) => {
        if (failures === 1) logger.warn({ error }, 'limits of namespaces not read, the last ones stand');
      },
      failedWaitMs: readEveryMs,
    });
  }

  /** Resolves when the limits have been read. */
  async start(): Promise<void> {
    await this.tick();
    await this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** Reads the limits once. Returns how long to wait. */
  async tick(): Promise<number> {
    const { store } = this.#options;
    const bounded = await store.namespaces.listBounded(store.db);
    this.#bounded = new Map(bounded.map((namespace) => [namespace.name, namespace]));
    return readEveryMs;
  }

  /** The most bytes of log of one attempt in a namespace. */
  logBytesOf(namespace: string): number {
    const { logBytesPerAttempt } = this.#options;
    return Math.min(
      logBytesPerAttempt,
      this.#bounded.get(namespace)?.logBytesPerAttempt ?? logBytesPerAttempt,
    );
  }

  /** How many streams of a namespace may be open at once on this instance; undefined: any number. */
  maxStreamsOf(namespace: string): number | undefined {
    return this.#bounded.get(namespace)?.maxStreams;
  }
}
