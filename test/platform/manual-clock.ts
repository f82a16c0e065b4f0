import type { Clock } from '../../src/platform/clock.ts';

/** A clock that goes on only when a test says so. */
export class ManualClock implements Clock {
  #ms = 0;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];

  now(): Date {
    return new Date(this.#ms);
  }

  monotonicMs(): number {
    return this.#ms;
  }

  /** How many timers wait. */
  get waiting(): number {
    return this.#timers.length;
  }

  setTimer(ms: number, callback: () => void): () => void {
    const timer = { atMs: this.#ms + ms, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const cancel = this.setTimer(ms, resolve);
      signal?.addEventListener('abort', () => {
        cancel();
        resolve();
      });
    });
  }

  /** Goes on by `ms`, calls the timers that are due in their order, and lets what they woke run. */
  async advance(ms: number): Promise<void> {
    this.#ms += ms;
    const due = this.#timers.filter((timer) => timer.atMs <= this.#ms).sort((a, b) => a.atMs - b.atMs);
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.#ms);
    for (const { callback } of due) callback();
    await settle();
  }
}

/** Lets everything run that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
