import { describe, expect, it } from 'vitest';
import { Loop } from '../../src/platform/loop.ts';
import { ManualClock, settle } from './manual-clock.ts';

/** A loop that counts its ticks; each does what `body` says and waits 1,000 ms. */
function loopOf(body: (tick: number, signal: AbortSignal) => Promise<number> | number = () => 1_000) {
  const clock = new ManualClock();
  const seen = { ticks: 0, errors: [] as { error: unknown; failures: number }[] };
  const loop = new Loop({
    clock,
    tick: async (signal) => body(++seen.ticks, signal),
    onError: (error, failures) => seen.errors.push({ error, failures }),
    failedWaitMs: 200,
  });
  return { clock, seen, loop };
}

describe('a loop', () => {
  it('ticks when it starts and waits as long as the tick said', async () => {
    const { clock, seen, loop } = loopOf();
    await loop.start();
    await settle();
    expect(seen.ticks).toBe(1);
    await clock.advance(999);
    expect(seen.ticks).toBe(1);
    await clock.advance(1);
    expect(seen.ticks).toBe(2);
    await loop.stop();
  });

  it('goes on at once when the tick says 0', async () => {
    const { seen, loop } = loopOf((tick) => (tick < 4 ? 0 : 1_000));
    await loop.start();
    await settle();
    expect(seen.ticks).toBe(4);
    await loop.stop();
  });

  it('ends its wait when it is woken', async () => {
    const { clock, seen, loop } = loopOf();
    await loop.start();
    await settle();
    loop.wake();
    loop.wake();
    await settle();
    expect(seen.ticks).toBe(2);
    expect(clock.waiting).toBe(1);
    await loop.stop();
  });

  it('loses no wake that arrives during a tick', async () => {
    const gate = Promise.withResolvers<void>();
    const { seen, loop } = loopOf(async (tick) => {
      if (tick === 1) await gate.promise;
      return 1_000;
    });
    await loop.start();
    loop.wake();
    gate.resolve();
    await settle();
    expect(seen.ticks).toBe(2);
    await loop.stop();
  });

  it('goes on after a tick that threw, behind a wait that no wake cuts short, and counts failures in a row', async () => {
    const { clock, seen, loop } = loopOf((tick) => {
      if (tick !== 3) throw new Error(`tick ${tick}`);
      return 0;
    });
    await loop.start();
    await settle();
    loop.wake();
    await clock.advance(199);
    expect(seen.ticks).toBe(1);
    await clock.advance(1);
    expect(seen.ticks).toBe(2);
    await clock.advance(200);
    expect(seen.ticks).toBe(4);
    expect(seen.errors.map(({ failures }) => failures)).toEqual([1, 2, 1]);
    await loop.stop();
  });

  it('stops: waits for the tick under way, aborts its signal, ticks no more', async () => {
    const gate = Promise.withResolvers<void>();
    let aborted = false;
    const { seen, loop } = loopOf(async (_, signal) => {
      signal.addEventListener('abort', () => {
        aborted = true;
      });
      await gate.promise;
      return 0;
    });
    await loop.start();
    let stopped = false;
    const stopping = loop.stop().then(() => {
      stopped = true;
    });
    await settle();
    expect({ aborted, stopped }).toEqual({ aborted: true, stopped: false });
    gate.resolve();
    await stopping;
    expect(seen.ticks).toBe(1);
  });

  it('says nothing of a tick that fails because the loop stops', async () => {
    const { seen, loop } = loopOf(
      (_, signal) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(new Error('aborted'))),
        ),
    );
    await loop.start();
    await loop.stop();
    expect(seen.errors).toEqual([]);
  });

  it.each([
    ['before it starts', 0, [], 'stop start'],
    ['twice', 1, [], 'start stop stop'],
    ['in its wait behind a failed tick', 1, [1], 'start stop'],
    ['after two starts, of which the second changes nothing', 1, [], 'start start stop'],
  ])('stops %s', async (what, ticks, failures, calls) => {
    const { clock, seen, loop } = loopOf(() => {
      if (what.includes('failed')) throw new Error('failed');
      return 1_000;
    });
    for (const call of calls.split(' ')) {
      await (call === 'start' ? loop.start() : loop.stop());
      await settle();
    }
    expect(seen.ticks).toBe(ticks);
    expect(seen.errors.map((error) => error.failures)).toEqual(failures);
    expect(clock.waiting).toBe(0);
  });

  it('survives starts, wakes and stops in any order', async () => {
    for (let n = 0; n < 200; n++) {
      const { loop } = loopOf((tick) => (tick % 2 ? 0 : 1));
      const calls = [loop.start(), loop.stop(), loop.start(), loop.stop()];
      loop.wake();
      await Promise.all(calls);
    }
  });
});
