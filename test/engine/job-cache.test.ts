import { describe, expect, it } from 'vitest';
import { type JobDefinition, jobDefaults } from '../../src/domain/job.ts';
import { JobCache } from '../../src/engine/job-cache.ts';
import type { Db } from '../../src/store/database.ts';
import { cronSpec, scheduleOf } from '../domain/schedule/schedules.ts';

type JobsStore = ConstructorParameters<typeof JobCache>[0];

const db = {} as Db;

/** A store of equal jobs, which notes what was read. */
function storeOf(definition: Pick<JobDefinition, 'parameters' | 'schedules'>) {
  const reads: number[][] = [];
  const jobs = {
    listDefinitions: async (_: unknown, ids: readonly number[]) => {
      reads.push([...ids]);
      return ids.map((id) => ({ id, key: { ...jobDefaults, name: `job ${id}` }, generation: 1, definition }));
    },
  };
  return { reads, store: { jobs } as unknown as JobsStore };
}

const wanted = (...jobIds: number[]) => jobIds.map((jobId) => ({ jobId, generation: 1 }));

describe('the definitions of jobs', () => {
  it('are read once, and again when a newer generation is asked for', async () => {
    const { store, reads } = storeOf({ parameters: {}, schedules: [] });
    const cache = new JobCache(store);
    await cache.load(db, wanted(1, 2));
    await cache.load(db, [...wanted(1), { jobId: 2, generation: 2 }]);
    expect(reads).toEqual([[1, 2], [2]]);
  });

  it('are forgotten beyond the number, those used longest ago first', async () => {
    const { store, reads } = storeOf({ parameters: {}, schedules: [] });
    const cache = new JobCache(store, 2);
    await cache.load(db, wanted(1, 2));
    await cache.load(db, wanted(1));
    await cache.load(db, wanted(3));
    await cache.load(db, wanted(1, 2, 3));
    expect(reads).toEqual([[1, 2], [3], [2]]);
  });

  it.each<[what: string, definition: Pick<JobDefinition, 'parameters' | 'schedules'>]>([
    ['large parameters', { parameters: { text: 'x'.repeat(1_000_000) }, schedules: [] }],
    [
      'objects, which take more in memory than written',
      { parameters: { object: { a: Array.from({ length: 16_000 }, () => ({})) } }, schedules: [] },
    ],
    [
      'schedules, which take more compiled than written',
      { parameters: {}, schedules: Array.from({ length: 400 }, () => scheduleOf(cronSpec('0 3 * * *'))) },
    ],
  ])('are forgotten when they take more bytes than the bound: %s', async (_, definition) => {
    const { store, reads } = storeOf(definition);
    const cache = new JobCache(store, 20_000, 3_000_000);
    for (const id of [1, 2, 3, 4]) await cache.load(db, wanted(id));
    await cache.load(db, wanted(4));
    await cache.load(db, wanted(1));
    expect(reads).toEqual([[1], [2], [3], [4], [1]]);
  });

  it('are given to who asked also where one alone is over the bound', async () => {
    const { store } = storeOf({ parameters: { text: 'x'.repeat(10_000) }, schedules: [] });
    const found = await new JobCache(store, 20_000, 5_000).load(db, wanted(1, 2));
    expect([...found.keys()]).toEqual([1, 2]);
  });
});
