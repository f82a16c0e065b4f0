import type { Clock } from './clock.ts';
import type { Service } from './service.ts';

export type LoopOptions = {
  readonly clock: Clock;
  /**
   * One pass. Resolves to how long to wait before the next one, in
   * milliseconds; 0 goes on at once. The signal aborts when the loop stops.
   */
  readonly tick: (signal: AbortSignal) => Promise<number>;
  /** Told of a tick that threw, and how many in a row did; the loop waits `failedWaitMs` and goes on. */
  readonly onError: (error: unknown, failures: number) => void;
  /** The wait after a failed tick, in milliseconds. Default 200. */
  readonly failedWaitMs?: number;
};

/**
 * A loop is a body and a wait: it runs its tick, waits as long as the tick said
 * or until it is woken, and runs again. A wake that arrives during a tick makes
 * the next wait end at once, so none is lost.
 */
export class Loop implements Service {
  readonly #options: LoopOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #woken = false;
  #endWait: (() => void) | undefined;

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    if (!this.#running && !this.#stopping.signal.aborted) this.#running = this.#run();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#endWait?.();
    await this.#running;
  }

  /** Ends the present wait, or the next one if a tick is under way. */
  wake(): void {
    this.#woken = true;
    this.#endWait?.();
  }

  async #run(): Promise<void> {
    const { tick, onError, failedWaitMs = 200 } = this.#options;
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      this.#woken = false;
      let waitMs: number;
      try {
        waitMs = await tick(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        onError(error, ++failures);
        // A failing tick must not be hammered by whoever wakes it.
        await this.#options.clock.sleep(failedWaitMs, signal);
        continue;
      }
      if (waitMs > 0 && !this.#woken && !signal.aborted) await this.#wait(waitMs);
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.setTimer(ms, () => this.#endWait?.());
      this.#endWait = () => {
        cancel();
        this.#endWait = undefined;
        resolve();
      };
    });
  }
}
