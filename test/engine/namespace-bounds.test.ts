import { describe, expect, it, onTestFinished } from 'vitest';
import { NamespaceBounds } from '../../src/engine/namespace-bounds.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { BoundedNamespace } from '../../src/store/namespace-store.ts';
import type { Store } from '../../src/store/store.ts';
import { ManualClock } from '../platform/manual-clock.ts';

/** Bounds over a table that the test changes; it is away where it is undefined. */
function boundsOf(table: { rows: readonly BoundedNamespace[] | undefined }) {
  const clock = new ManualClock();
  const warnings: string[] = [];
  const listBounded = async (): Promise<readonly BoundedNamespace[]> => {
    if (!table.rows) throw new Error('the database is away');
    return table.rows;
  };
  const bounds = new NamespaceBounds({
    store: { db: undefined, namespaces: { listBounded } } as unknown as Store,
    clock,
    logger: { ...silentLogger, warn: (_, message) => void warnings.push(message) },
    logBytesPerAttempt: 10_000,
  });
  onTestFinished(() => bounds.stop());
  return { bounds, clock, warnings };
}

describe('the bounds of namespaces', () => {
  it('are known when they have started; the bound of the instance holds in any case', async () => {
    const rows = [
      { name: 'low', logBytesPerAttempt: 2_000 },
      { name: 'high', logBytesPerAttempt: 20_000, maxStreams: 3 },
    ];
    const { bounds } = boundsOf({ rows });
    await bounds.start();
    expect(['low', 'high', 'other'].map((name) => bounds.logBytesOf(name))).toEqual([2_000, 10_000, 10_000]);
    expect(['low', 'high', 'other'].map((name) => bounds.maxStreamsOf(name))).toEqual([
      undefined,
      3,
      undefined,
    ]);
  });

  it('follow changes within a second, and a limit that is lifted is gone', async () => {
    const table = { rows: [{ name: 'a', maxStreams: 1 }] as BoundedNamespace[] };
    const { bounds, clock } = boundsOf(table);
    await bounds.start();
    await clock.advance(0);
    table.rows = [{ name: 'b', maxStreams: 2 }];
    await clock.advance(1_000);
    expect(bounds.maxStreamsOf('a')).toBeUndefined();
    expect(bounds.maxStreamsOf('b')).toBe(2);
  });

  it('stand as they were read last while the database is away, which is said once', async () => {
    const table: Parameters<typeof boundsOf>[0] = { rows: [{ name: 'a', maxStreams: 1 }] };
    const { bounds, clock, warnings } = boundsOf(table);
    await bounds.start();
    await clock.advance(0);
    table.rows = undefined;
    for (let n = 0; n < 3; n++) await clock.advance(1_000);
    expect(bounds.maxStreamsOf('a')).toBe(1);
    expect(warnings).toEqual(['limits of namespaces not read, the last ones stand']);
    table.rows = [{ name: 'a', maxStreams: 5 }];
    await clock.advance(1_000);
    await clock.advance(1_000);
    expect(bounds.maxStreamsOf('a')).toBe(5);
  });

  it('that cannot be read at the start keep the instance from starting', async () => {
    const { bounds } = boundsOf({ rows: undefined });
    await expect(bounds.start()).rejects.toThrow('the database is away');
  });
});
