import { expect, it } from 'vitest';
import { HandOvers } from '../../../src/engine/reports/hand-overs.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import type { HandOver } from '../../../src/store/report-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { ManualClock, settle } from '../../platform/manual-clock.ts';

const handOver = (executionId: number): HandOver => ({
  executionId,
  attempt: 1,
  timeoutMs: 1_000,
  loggedBytes: 0,
});

/** Hand-overs to a database that fails so many times. */
function handOversOf(failures: number) {
  const clock = new ManualClock();
  const written: (readonly number[])[] = [];
  let left = failures;
  const store = {
    reports: {
      handOver: (_db: unknown, instanceId: number, handOvers: readonly HandOver[]) => {
        if (left-- > 0) return Promise.reject(new Error('away'));
        written.push([instanceId, ...handOvers.map(({ executionId }) => executionId)]);
        return Promise.resolve(handOvers.map(({ executionId }) => executionId));
      },
    },
  } as unknown as Store;
  const handOvers = new HandOvers({ store, clock, logger: silentLogger, instanceId: () => 9 });
  return { handOvers, clock, written };
}

it('attempts that are accepted in one moment are handed over in one statement', async () => {
  const { handOvers, written } = handOversOf(0);
  await Promise.all([1, 2, 3].map((id) => handOvers.add(handOver(id))));
  expect(written).toEqual([[9, 1, 2, 3]]);
});

it('a hand-over is kept while the database is away, and written when it is back (F6)', async () => {
  const { handOvers, clock, written } = handOversOf(3);
  const added = handOvers.add(handOver(1));
  await settle();
  for (let n = 0; n < 3; n++) {
    expect(written).toEqual([]);
    await clock.advance(2_000);
  }
  await added;
  expect(written).toEqual([[9, 1]]);
});

it('a hand-over is given up when the instance stops while the database is away', async () => {
  const { handOvers, written } = handOversOf(Number.POSITIVE_INFINITY);
  const added = handOvers.add(handOver(1));
  await settle();
  await handOvers.stop();
  await added;
  expect(written).toEqual([]);
});
