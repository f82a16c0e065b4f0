import { Batcher } from '../../platform/batcher.ts';
import type { Clock } from '../../platform/clock.ts';
import { writeUntilDone } from '../../platform/kept-write.ts';
import type { Logger } from '../../platform/logger.ts';
import type { HandOver } from '../../store/report-store.ts';
import type { Store } from '../../store/store.ts';

export type HandOversOptions = {
  readonly store: Pick<Store, 'db' | 'reports'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly instanceId: () => number;
};

/**
 * Hands attempts to their callees in batches, one statement each. While the
 * database is away a hand-over is kept and tried again, as ends are: the callee
 * has the attempt, and must not lose it for want of a record. What is not this
 * instance's any more, or was ended by its callee already, is left as it is.
 */
export class HandOvers {
  readonly #options: HandOversOptions;
  readonly #batcher: Batcher<HandOver, undefined>;
  readonly #stopping = new AbortController();

  constructor(options: HandOversOptions) {
    this.#options = options;
    this.#batcher = new Batcher({ flush: (handOvers) => this.#flush(handOvers), maxItems: 1_000 });
  }

  /** Resolves when it is written, refused, or given up because the instance stops. */
  async add(handOver: HandOver): Promise<void> {
    await this.#batcher.add(handOver);
  }

  /** Ceases to try again; what cannot be written now ends as lost, and its callee is told so. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#batcher.drain();
  }

  async #flush(handOvers: readonly HandOver[]): Promise<undefined[]> {
    const { store, clock, logger, instanceId } = this.#options;
    const count = handOvers.length;
    try {
      const changed = await writeUntilDone(() => store.reports.handOver(store.db, instanceId(), handOvers), {
        clock,
        signal: this.#stopping.signal,
        onFailure: (error) =>
          logger.warn({ error, attempts: count }, 'attempts not handed over, trying again'),
      });
      if (changed.length < count) {
        logger.debug({ refused: count - changed.length }, 'attempts had ended before they were handed over');
      }
    } catch (error) {
      logger.error({ error, attempts: count }, 'hand-overs given up; the rescuer will find the attempts');
    }
    return handOvers.map(() => undefined);
  }
}
