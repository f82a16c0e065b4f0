import { Batcher } from '../platform/batcher.ts';
import type { Clock } from '../platform/clock.ts';
import { writeUntilDone } from '../platform/kept-write.ts';
import type { Logger } from '../platform/logger.ts';
import type { AttemptEnd } from '../store/attempt-store.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { JobContinuation } from './job-continuation.ts';

export type AttemptEnderOptions = {
  readonly store: Pick<Store, 'db' | 'attempts'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  readonly continuation: Pick<JobContinuation, 'look'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly instanceId: () => number;
};

/**
 * Writes the ends of attempts in batches, one statement each. While the
 * database is away an end is kept and tried again, so that a success is not
 * delivered a second time for want of a record; writing one twice changes
 * nothing. Ends of attempts that are not this instance's any more are refused
 * by the database and only noted.
 */
export class AttemptEnder {
  readonly #options: AttemptEnderOptions;
  readonly #batcher: Batcher<AttemptEnd, undefined>;
  readonly #stopping = new AbortController();

  constructor(options: AttemptEnderOptions) {
    this.#options = options;
    this.#batcher = new Batcher({ flush: (ends) => this.#flush(ends), maxItems: 1_000 });
  }

  /** Resolves when the end is written, refused, or given up because the instance stops. */
  async end(end: AttemptEnd): Promise<void> {
    await this.#batcher.add(end);
  }

  /** Ceases to try again; what cannot be written now is left to the rescuer. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#batcher.drain();
  }

  async #flush(ends: readonly AttemptEnd[]): Promise<undefined[]> {
    const { store, notifier, continuation, clock, logger, instanceId } = this.#options;
    try {
      const written = await writeUntilDone(() => store.attempts.end(store.db, instanceId(), ends), {
        clock,
        signal: this.#stopping.signal,
        onFailure: (error) =>
          logger.warn({ error, attempts: ends.length }, 'ends of attempts not written, trying again'),
      });
      if (written.length < ends.length) {
        logger.debug(
          { refused: ends.length - written.length },
          'late or repeated ends of attempts were refused',
        );
      }
      notifier.notify('feed');
      // A place within limits is free: any instance may have use for it.
      if (written.some(({ isLimited }) => isLimited)) notifier.notify('pending');
      continuation.look(written.filter(({ isFinal }) => isFinal).map(({ jobId }) => jobId));
    } catch (error) {
      logger.error({ error, attempts: ends.length }, 'ends of attempts given up; the rescuer will find them');
    }
    return ends.map(() => undefined);
  }
}
