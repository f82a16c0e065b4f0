import { vi } from 'vitest';
import { patienceMs } from './await-that.ts';

/** Waits until assertions hold; throws what the last of them threw when they never do. */
export function awaitPassing<T>(assert: () => T | Promise<T>, interval = 10): Promise<T> {
  return vi.waitFor(assert, { timeout: patienceMs, interval });
}
