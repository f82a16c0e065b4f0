import { backoffMs } from './backoff.ts';
import type { Clock } from './clock.ts';

const backoff = { initialMs: 50, maxMs: 2_000, multiplier: 2 };

/**
 * Writes until that succeeds, with growing waits: for what must not be lost
 * while the database is away, and does no harm when it is written twice. Throws
 * the last failure when `signal` has aborted. `onFailure` is told the first one.
 */
export async function writeUntilDone<T>(
  write: () => Promise<T>,
  {
    clock,
    signal,
    onFailure,
  }: {
    readonly clock: Pick<Clock, 'sleep'>;
    readonly signal: AbortSignal;
    readonly onFailure: (error: unknown) => void;
  },
): Promise<T> {
  for (let n = 1; ; n++) {
    try {
      return await write();
    } catch (error) {
      if (signal.aborted) throw error;
      if (n === 1) onFailure(error);
      await clock.sleep(backoffMs(backoff, n, 0.5), signal);
    }
  }
}
