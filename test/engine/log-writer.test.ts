import { describe, expect, it } from 'vitest';
import { LogWriter } from '../../src/engine/log-writer.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { Notifier } from '../../src/store/notifier.ts';
import type { Store } from '../../src/store/store.ts';
import { ManualClock } from '../platform/manual-clock.ts';

/** A writer whose store takes nothing until the test says so. */
function heldWriter() {
  const gate = Promise.withResolvers<void>();
  const store = {
    logs: {
      append: async (_: unknown, __: number, entries: readonly { executionId: number }[]) => {
        await gate.promise;
        return new Set(entries.map(({ executionId }) => executionId));
      },
    },
  } as unknown as Pick<Store, 'db' | 'logs'>;
  const writer = new LogWriter({
    store,
    notifier: { notify: () => undefined } as unknown as Notifier,
    clock: new ManualClock(),
    logger: silentLogger,
    instanceId: () => 1,
  });
  return { writer, release: () => gate.resolve() };
}

const lines = (count: number, length: number) =>
  Array.from({ length: count }, () => ({ level: 'INFO', message: 'x'.repeat(length) }) as const);

const isSettled = (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([
    promise.then(() => true),
    new Promise<false>((resolve) => setImmediate(() => resolve(false))),
  ]);

describe('whoever writes log lines', () => {
  it('waits when an attempt has more than 1,000 of them unstored', async () => {
    const { writer, release } = heldWriter();
    const log = writer.open(1, 1, 0, () => undefined);
    expect(await isSettled(log.add(lines(1_000, 1)))).toBe(true);
    const waiting = log.add(lines(1, 1));
    expect(await isSettled(waiting)).toBe(false);
    release();
    await waiting;
  });

  it('waits when the unstored lines of all attempts together are large, few as they are for each (I20)', async () => {
    const { writer, release } = heldWriter();
    const logs = Array.from({ length: 20 }, (_, n) => writer.open(n + 1, 1, 0, () => undefined));
    const added = logs.map((log) => log.add(lines(20, 50_000)));
    const settled = await Promise.all(added.map(isSettled));
    // 16 MiB of them.
    expect(settled.filter((is) => is)).toHaveLength(16);
    release();
    await Promise.all(added);
    expect(await isSettled(logs[0]!.add(lines(20, 50_000)))).toBe(true);
  });
});
