import type { Clock } from '../../platform/clock.ts';
import { aborted, failed } from './http/failure.ts';
import type { DeliveryContext, DeliveryResult } from './target.ts';

/** The end of an attempt that the client cuts off because it closes. */
const isStopping = failed('this instance is stopping', true);

/**
 * The attempts that a client has under way. It ends each at the signal of its
 * context, without waiting for the callee or for the log, and all of them when
 * the client closes.
 */
export class AttemptsInFlight {
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #giveUps = new Set<(result: DeliveryResult) => void>();
  #isClosed = false;
  #onIdle: (() => void) | undefined;

  /** `graceMs` is how long `close` waits. */
  constructor(clock: Clock, graceMs: number) {
    this.#clock = clock;
    this.#graceMs = graceMs;
  }

  /** Runs one attempt; the signal tells the exchange that nobody waits for it any more. */
  async run(
    context: DeliveryContext,
    exchange: (signal: AbortSignal) => Promise<DeliveryResult>,
  ): Promise<DeliveryResult> {
    if (context.signal.aborted) return aborted;
    if (this.#isClosed) return isStopping;
    const cut = new AbortController();
    const givenUp = Promise.withResolvers<DeliveryResult>();
    const giveUp = (result: DeliveryResult): void => {
      givenUp.resolve(result);
      cut.abort();
    };
    const onAbort = (): void => giveUp(aborted);
    context.signal.addEventListener('abort', onAbort);
    this.#giveUps.add(giveUp);
    try {
      return await Promise.race([exchange(cut.signal), givenUp.promise]);
    } finally {
      context.signal.removeEventListener('abort', onAbort);
      this.#giveUps.delete(giveUp);
      if (this.#giveUps.size === 0) this.#onIdle?.();
    }
  }

  /** Refuses new attempts, waits the grace for those under way, then cuts them off. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#giveUps.size === 0) return;
    const called = new AbortController();
    const idle = new Promise<void>((resolve) => (this.#onIdle = resolve));
    await Promise.race([idle, this.#clock.sleep(this.#graceMs, called.signal)]);
    called.abort();
    for (const giveUp of this.#giveUps) giveUp(isStopping);
  }
}
