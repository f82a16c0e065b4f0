/** Attempts at workers in a real database: who may claim them, and who may take them over (I11, I12). */
import { beforeAll, describe, expect, it } from 'vitest';
import { useStoredJobs } from '../engine/stored-jobs.ts';

const stored = useStoredJobs();
let queueId = 0;
let [one, two, dead] = [0, 0, 0];

beforeAll(async () => {
  const { store } = stored;
  [queueId] = (await store.queues.ensure(store.db, 'default', ['mail'])) as [number];
  const register = (name: string, leaseMs: number) =>
    store.instances.register(store.db, { name, roles: 'dispatcher', version: '0' }, leaseMs);
  [one, two, dead] = [
    await register('one', 3_600_000),
    await register('two', 3_600_000),
    await register('dead', 0),
  ];
});

/** Executions that wait in the queue, for a worker of their own when one is named. */
async function addWaiting(count: number, workerId?: string): Promise<number[]> {
  const jobId = await stored.addJob();
  const ids: number[] = [];
  for (let n = 0; n < count; n++) {
    ids.push(await stored.addExecution(jobId, { fireMs: n, state: 'PENDING' }));
  }
  await stored.rows(
    'update carillon.open_execution set queue_id = $1, placement = $2::jsonb where execution_id = any ($3::bigint[])',
    [queueId, workerId === undefined ? null : JSON.stringify({ workerId }), `{${ids.join(',')}}`],
  );
  return ids;
}

const places = (workerId: string, count: number): string[] => Array.from({ length: count }, () => workerId);
const sorted = (ids: readonly number[]): number[] => ids.toSorted((a, b) => a - b);
const holderOf = async (id: number) => {
  const [row] = await stored.rows<{ holder: number | null; attempt: number }>(
    'select instance_id as holder, attempt from carillon.open_execution where execution_id = $1',
    [id],
  );
  return row;
};

describe('claims for workers', () => {
  it('of one queue by two instances at once share its executions out', async () => {
    const { store } = stored;
    const waiting = await addWaiting(40);
    const claims = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        store.attempts.claimForQueue(store.db, n % 2 === 0 ? one : two, queueId, places(`w${n}`, 10)),
      ),
    );
    const rest = await store.attempts.claimForQueue(store.db, one, queueId, places('w', 40));
    const claimed = [...claims.flat(), ...rest].map(({ executionId, attempt }) => [executionId, attempt]);
    expect(claimed.toSorted((a, b) => a[0]! - b[0]!)).toEqual(sorted(waiting).map((id) => [id, 1]));
  });

  it('that name one execution, by two instances at once, give it to one of them', async () => {
    const { store } = stored;
    const [id] = await addWaiting(1, 'a');
    const claims = await Promise.all(
      [one, two, one, two].map((instance) =>
        store.attempts.claimPlaced(store.db, instance, [{ executionId: id!, workerId: 'a' }]),
      ),
    );
    expect(claims.flat()).toMatchObject([{ executionId: id, attempt: 1, workerId: 'a' }]);
  });

  it('by an instance whose lease is over get nothing', async () => {
    const { store } = stored;
    const [id] = await addWaiting(1);
    expect(await store.attempts.claimForQueue(store.db, dead, queueId, places('a', 1))).toEqual([]);
    expect(await store.attempts.claimPlaced(store.db, dead, [{ executionId: id!, workerId: 'a' }])).toEqual(
      [],
    );
    expect(await holderOf(id!)).toEqual({ holder: null, attempt: 0 });
    await store.attempts.claimForQueue(store.db, one, queueId, places('a', 1));
  });
});

describe('an attempt that its worker takes to another instance', () => {
  /** An attempt that instance one holds for worker a. */
  async function heldByOne(): Promise<number> {
    const { store } = stored;
    const [id] = await addWaiting(1, 'a');
    await store.attempts.claimPlaced(store.db, one, [{ executionId: id!, workerId: 'a' }]);
    return id!;
  }
  const adopt = (instance: number, executionId: number, workerId = 'a', attempt = 1, namespace = 'default') =>
    stored.store.attempts.adopt(stored.store.db, instance, namespace, workerId, [{ executionId, attempt }]);

  it('is held by that one under the number it has, and asking again changes nothing', async () => {
    const id = await heldByOne();
    expect(await adopt(two, id)).toEqual([id]);
    expect(await adopt(two, id)).toEqual([id]);
    expect(await holderOf(id)).toEqual({ holder: two, attempt: 1 });
  });

  it('is refused to another worker, under another number, from another namespace, to a dead instance', async () => {
    const id = await heldByOne();
    expect(await adopt(two, id, 'b')).toEqual([]);
    expect(await adopt(two, id, 'a', 2)).toEqual([]);
    expect(await adopt(two, id, 'a', 1, 'elsewhere')).toEqual([]);
    expect(await adopt(dead, id)).toEqual([]);
    expect(await holderOf(id)).toEqual({ holder: one, attempt: 1 });
  });

  it('is refused when it has been given back', async () => {
    const [id] = await addWaiting(1, 'a');
    expect(await adopt(two, id!, 'a', 0)).toEqual([]);
    expect(await holderOf(id!)).toEqual({ holder: null, attempt: 0 });
  });

  it('has one holder, also when two instances take it over at once, and its end is refused from the others', async () => {
    const { store } = stored;
    const id = await heldByOne();
    await Promise.all([adopt(one, id), adopt(two, id)]);
    const { holder } = (await holderOf(id))!;
    const end = { executionId: id, attempt: 1, outcome: 'SUCCEEDED', message: '' } as const;
    await store.attempts.end(store.db, holder === one ? two : one, [end]);
    expect(await holderOf(id)).toEqual({ holder, attempt: 1 });
    await store.attempts.end(store.db, holder!, [end]);
    expect(await holderOf(id)).toBeUndefined();
  });
});
