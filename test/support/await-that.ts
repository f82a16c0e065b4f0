import { setTimeout as sleep } from 'node:timers/promises';

/** How long something is waited for: only what hangs takes so long, also where others have the cores. */
export const patienceMs = 30_000;

/**
 * Waits until a check gives something other than undefined or false, and
 * returns that. Looks every few milliseconds: for what other processes do and
 * nobody announces.
 *
 * @throws Error that names what was waited for when the limit is over, or what the check throws.
 */
export async function awaitThat<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = patienceMs,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms in vain: ${what}`);
    await sleep(10);
  }
}
