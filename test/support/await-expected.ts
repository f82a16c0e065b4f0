import { vi } from 'vitest';

/**
 * Waits until expectations hold. The limit is there for what hangs: that of vitest's own `waitFor` and `poll` is one
 * second, which goes by when a process does not get the processor.
 *
 * @throws what the expectations throw when the limit is over.
 */
export const awaitExpected = <T>(check: () => T | Promise<T>, limitMs = 20_000): Promise<T> =>
  vi.waitFor(check, { interval: 10, timeout: limitMs });
