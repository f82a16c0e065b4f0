/**
 * The process's clocks: one place that reads time and sets timers, so that
 * tests can drive both by hand. What fires, expires or is recorded is judged
 * by the database's clock; this one measures spans and wakes loops.
 */
export type Clock = {
  /** The wall clock. For display and for payloads, never for deciding what is due. */
  now(): Date;
  /** Milliseconds on a clock that never jumps, with fractions. */
  monotonicMs(): number;
  /** Calls back once after `ms`, at the earliest in the next turn. Returns how to call it off. */
  setTimer(ms: number, callback: () => void): () => void;
  /** Resolves after `ms`, or at once when the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
};

/** The longest span that one Node timer can take; longer waits are cut to it and the waiter looks again. */
export const maxTimerMs = 2_147_483_647;

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  setTimer(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), maxTimerMs));
    return () => clearTimeout(timer);
  },
  sleep(ms, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(Math.max(ms, 0), maxTimerMs));
      signal?.addEventListener('abort', done, { once: true });
    });
  },
};
