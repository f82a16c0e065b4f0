import { describe, expect, it } from 'vitest';
import { FeedJobs } from '../../src/engine/feed-jobs.ts';
import type { LabeledJob } from '../../src/store/definitions.ts';
import type { FeedEvent } from '../../src/store/feed-store.ts';

type JobsStore = ConstructorParameters<typeof FeedJobs>[0];

const events = (...jobIds: number[]): FeedEvent[] =>
  jobIds.map((jobId) => ({ kind: 'state', jobId, executionId: jobId, state: 'PENDING', attempt: 0 }));

/** A store whose jobs carry one label, and which notes what was read; `during` runs while a read is under way. */
function storeOf(labels: Map<number, string>, during: () => void = () => undefined) {
  const reads: number[][] = [];
  const jobs = {
    listLabels: async (_: unknown, ids: readonly number[]) => {
      reads.push([...ids]);
      const rows = ids.flatMap((id) => {
        const team = labels.get(id);
        return team === undefined ? [] : [{ id, labels: { team } } as unknown as LabeledJob];
      });
      during();
      return rows;
    },
  };
  return { reads, store: { db: {}, jobs } as unknown as JobsStore };
}

const teamOf = (jobs: FeedJobs, id: number): string | undefined => jobs.find(id)?.labels.team;

describe('the jobs of the feed', () => {
  it('are read once, and again when they have expired', async () => {
    const labels = new Map([[1, 'a']]);
    const { store, reads } = storeOf(labels);
    const jobs = new FeedJobs(store);
    await jobs.load(events(1, 1, 9));
    await jobs.load(events(1));
    expect(reads).toEqual([[1, 9]]);
    expect([teamOf(jobs, 1), teamOf(jobs, 9)]).toEqual(['a', undefined]);
    labels.set(1, 'b');
    jobs.expire();
    await jobs.load(events(1));
    expect(teamOf(jobs, 1)).toBe('b');
  });

  it('stay known to a batch that was loaded before they expired', async () => {
    const { store } = storeOf(new Map([[1, 'a']]));
    const jobs = new FeedJobs(store);
    await jobs.load(events(1));
    jobs.expire();
    expect(teamOf(jobs, 1)).toBe('a');
  });

  it('are read again when they expired while they were read', async () => {
    const labels = new Map([
      [1, 'a'],
      [2, 'a'],
    ]);
    const { store, reads } = storeOf(labels, () => {
      if (reads.length === 2) jobs.expire();
    });
    const jobs = new FeedJobs(store);
    await jobs.load(events(1));
    await jobs.load(events(1, 2));
    expect([teamOf(jobs, 1), teamOf(jobs, 2)]).toEqual(['a', 'a']);
    labels.set(2, 'b');
    await jobs.load(events(1, 2));
    expect(reads).toEqual([[1], [2], [1, 2]]);
    expect(teamOf(jobs, 2)).toBe('b');
  });

  it('are forgotten beyond the bound, the oldest first, and never those of the batch', async () => {
    const { store, reads } = storeOf(new Map([1, 2, 3, 4].map((id) => [id, 'a'])));
    const jobs = new FeedJobs(store, 3);
    await jobs.load(events(1, 2, 3));
    await jobs.load(events(1, 4));
    expect([1, 2, 3, 4].map((id) => teamOf(jobs, id))).toEqual(['a', undefined, 'a', 'a']);
    await jobs.load(events(1, 2, 3, 4));
    expect(reads).toEqual([[1, 2, 3], [4], [2]]);
    expect([1, 2, 3, 4].map((id) => teamOf(jobs, id))).toEqual(['a', 'a', 'a', 'a']);
  });

  it('are forgotten when their labels take more bytes than the bound', async () => {
    const { store, reads } = storeOf(new Map([1, 2, 3].map((id) => [id, 'a'.repeat(4_000)])));
    const jobs = new FeedJobs(store, 100, 10_000);
    await jobs.load(events(1, 2));
    await jobs.load(events(3));
    expect([1, 2, 3].map((id) => jobs.find(id)?.id)).toEqual([undefined, 2, 3]);
    await jobs.load(events(1));
    expect(reads).toEqual([[1, 2], [3], [1]]);
  });
});
