import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LogEntry } from '../../src/domain/execution.ts';
import { type JobDefinition, jobDefaults } from '../../src/domain/job.ts';
import type { ScheduleProgress } from '../../src/domain/schedule/schedule.ts';
import type { AttemptEnd, ClaimedAttempt } from '../../src/store/attempt-store.ts';
import { type Database, run } from '../../src/store/database.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import type { Firing } from '../../src/store/timer-store.ts';
import { awaitThat } from '../support/await-that.ts';
import { triggerAudit } from '../support/caller.ts';
import { openDatabase } from '../support/open-database.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase();
let database: Database;
let store: Store;

beforeAll(() => {
  database = openDatabase(testDatabase.url, 8);
  store = createStore(database);
});

afterAll(() => database.close());

/** No test meets what another one left open or due. */
beforeEach(async () => {
  await rows('truncate carillon.execution, carillon.open_execution');
  await rows('update carillon.timer set next_fire_at = null');
});

const definition: JobDefinition = {
  description: '',
  labels: {},
  schedules: [],
  target: { kind: 'http', url: 'http://127.0.0.1:9/', method: 'POST', headers: {}, successCodes: [] },
  parameters: {},
  priority: 0,
  overlap: 'ALLOW',
  misfire: jobDefaults.misfire,
  retry: jobDefaults.retry,
  attemptTimeoutMs: jobDefaults.attemptTimeoutMs,
  maxRunning: jobDefaults.maxRunning,
};

let names = 0;

async function drawIds(count: number): Promise<readonly number[]> {
  const drawn = await rows<{ id: number }>('select carillon.next_id() as id from generate_series(1, $1)', [
    count,
  ]);
  return drawn.map((row) => row.id);
}

async function addJob(
  nextFireMs: number | null = null,
  progress: readonly ScheduleProgress[] = [],
): Promise<number> {
  const [id] = await drawIds(1);
  const key = { namespace: 'default', group: 'default', name: `job ${names++}` };
  await store.transaction((tx) => store.jobs.insert(tx, id!, key, definition, { nextFireMs, progress }));
  return id!;
}

const addInstance = (ttlMs = 60_000): Promise<number> =>
  store.instances.register(store.db, { name: 'test', roles: 'dispatcher', version: '0' }, ttlMs);

/** Triggers executions of a job, one for each priority; returns their ids, oldest first. */
async function trigger(jobId: number, priorities: readonly number[]): Promise<readonly number[]> {
  const ids = await drawIds(priorities.length);
  await store.transaction((tx) =>
    store.triggers.insertTriggered(
      tx,
      ids.map((id, i) => ({
        id,
        jobId,
        cause: 'API',
        state: 'PENDING',
        message: '',
        priority: priorities[i]!,
        queueTimeoutMs: null,
        parameters: null,
        buffered: false,
        placement: null,
        audit: triggerAudit,
      })),
    ),
  );
  return ids;
}

/** Triggers one execution and claims it. */
async function begin(instanceId: number): Promise<ClaimedAttempt> {
  const [id] = await trigger(await addJob(), [1_000]);
  const claimed = await store.attempts.claim(store.db, instanceId, 1);
  expect(claimed.map((attempt) => attempt.executionId)).toEqual([id]);
  return claimed[0]!;
}

const endOf = (attempt: ClaimedAttempt, more: Partial<AttemptEnd>): AttemptEnd => ({
  executionId: attempt.executionId,
  attempt: attempt.attempt,
  outcome: 'SUCCEEDED',
  message: '',
  ...more,
});

const rows = <Row>(text: string, parameters: readonly unknown[] = []): Promise<Row[]> =>
  run<Row>(store.db, text, parameters);

/** Resolves when a session of this database waits for a lock. */
const awaitWaiter = (): Promise<unknown> =>
  awaitThat('a session that waits for a lock', async () => {
    const waiting = await rows(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return waiting.length > 0;
  });

describe('firing', () => {
  const dueMs = Date.parse('2026-01-01T00:00:00Z');

  const firingOf = (jobId: number): Firing => ({
    jobId,
    oldNextFireMs: dueMs,
    newNextFireMs: dueMs + 60_000,
    lastFireMs: dueMs,
    progress: null,
    priority: 0,
    queueTimeoutMs: null,
    rows: [
      {
        fireMs: dueMs,
        schedule: 'main',
        cause: 'SCHEDULE',
        state: 'PENDING',
        message: '',
        skippedCount: 0,
        buffered: false,
        charged: [],
      },
    ],
  });

  const ledgerOf = (jobId: number) =>
    rows<{ term: number; state: string }>(
      'select term::int, state from carillon.execution where job_id = $1 order by id',
      [jobId],
    );

  it('writes one row for a fire time when two transactions fire the same job at once (I1)', async () => {
    const jobId = await addJob(dueMs);
    const gate = Promise.withResolvers<void>();
    const fired = Promise.withResolvers<void>();
    const first = store.transaction(async (tx) => {
      const result = await store.timers.fire(tx, [firingOf(jobId)], 1);
      fired.resolve();
      await gate.promise;
      return result;
    });
    await fired.promise;
    const second = store.transaction((tx) => store.timers.fire(tx, [firingOf(jobId)], 2));
    await awaitWaiter();
    gate.resolve();
    expect(await first).toEqual({ advanced: 1, pending: 1 });
    expect(await second).toEqual({ advanced: 0, pending: 0 });
    expect(await ledgerOf(jobId)).toEqual([{ term: 1, state: 'PENDING' }]);
  });

  it('fires in the second transaction when the first is rolled back (I2)', async () => {
    const jobId = await addJob(dueMs);
    const fired = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const first = store.transaction(async (tx) => {
      await store.timers.fire(tx, [firingOf(jobId)], 1);
      fired.resolve();
      await gate.promise;
      throw new Error('rolled back');
    });
    const failed = expect(first).rejects.toThrow('rolled back');
    await fired.promise;
    const second = store.transaction((tx) => store.timers.fire(tx, [firingOf(jobId)], 2));
    await awaitWaiter();
    gate.resolve();
    await failed;
    expect(await second).toEqual({ advanced: 1, pending: 1 });
    expect(await ledgerOf(jobId)).toEqual([{ term: 2, state: 'PENDING' }]);
  });

  it('leaves out due jobs that somebody else holds, and takes the earliest first', async () => {
    const late = await addJob(dueMs - 10_000);
    const later = await addJob(dueMs - 20_000);
    const latest = await addJob(dueMs - 30_000);
    const now = new Date(dueMs - 5_000);
    await store.transaction(async (tx) => {
      const held = await store.timers.lockDue(tx, 1, now);
      expect(held.map((timer) => timer.jobId)).toEqual([latest]);
      await store.transaction(async (other) => {
        const left = await store.timers.lockDue(other, 10, now);
        expect(left.map((timer) => timer.jobId)).toEqual([later, late]);
        expect(left.map((timer) => timer.nextFireMs)).toEqual([dueMs - 20_000, dueMs - 10_000]);
      });
    });
  });

  it('writes nothing for a job whose timer moved, and fires the others of the batch', async () => {
    const moved = await addJob(dueMs + 1);
    const due = await addJob(dueMs);
    const result = await store.transaction((tx) =>
      store.timers.fire(tx, [firingOf(moved), firingOf(due)], 3),
    );
    expect(result).toEqual({ advanced: 1, pending: 1 });
    expect(await ledgerOf(moved)).toEqual([]);
    expect(await ledgerOf(due)).toHaveLength(1);
  });

  it('opens what runs and not what is skipped, and keeps counts that are not given', async () => {
    const jobId = await addJob(dueMs, [{ runs: 2 }]);
    const skipped = {
      ...firingOf(jobId).rows[0]!,
      fireMs: dueMs - 1_000,
      state: 'SKIPPED',
      reason: 'MISFIRE',
      skippedCount: 7,
    } as const;
    const firing = { ...firingOf(jobId), rows: [skipped, ...firingOf(jobId).rows] };
    await store.transaction((tx) => store.timers.fire(tx, [firing], 1));
    expect(
      await rows(
        `select e.state, e.skipped_count::int as count, o.execution_id is not null as open
           from carillon.execution e left join carillon.open_execution o on o.execution_id = e.id
          where e.job_id = $1 order by e.id`,
        [jobId],
      ),
    ).toEqual([
      { state: 'SKIPPED', count: 7, open: false },
      { state: 'PENDING', count: 0, open: true },
    ]);
    expect(await rows('select progress from carillon.timer where job_id = $1', [jobId])).toEqual([
      { progress: [{ runs: 2 }] },
    ]);
  });
});

describe('claiming', () => {
  it('takes the highest priority first, then the oldest', async () => {
    const instanceId = await addInstance();
    const [a, b, c, d] = await trigger(await addJob(), [5_001, 5_009, 5_005, 5_009]);
    const claimed: number[] = [];
    for (let i = 0; i < 4; i++) {
      const [attempt] = await store.attempts.claim(store.db, instanceId, 1);
      claimed.push(attempt!.executionId);
    }
    expect(claimed).toEqual([b, d, c, a]);
  });

  it('gives nothing to two claimers at once', async () => {
    const [one, two] = [await addInstance(), await addInstance()];
    const ids = await trigger(
      await addJob(),
      Array.from({ length: 10 }, () => 6_000),
    );
    await store.transaction(async (tx) => {
      const first = await store.attempts.claim(tx, one, 4);
      // Does not wait for the transaction that holds the first four.
      const second = await store.attempts.claim(store.db, two, 100);
      const firstIds = first.map((attempt) => attempt.executionId).sort();
      const secondIds = second.map((attempt) => attempt.executionId);
      expect(firstIds).toEqual(ids.slice(0, 4));
      expect(secondIds.filter((id) => ids.includes(id)).sort()).toEqual(ids.slice(4));
    });
  });

  it('claims each execution once under many claimers', async () => {
    const instances = await Promise.all([addInstance(), addInstance(), addInstance()]);
    const ids = await trigger(
      await addJob(),
      Array.from({ length: 60 }, () => 7_000),
    );
    const batches = await Promise.all(
      Array.from({ length: 12 }, (_, i) => store.attempts.claim(store.db, instances[i % 3]!, 10)),
    );
    const claimed = batches.flat().map((attempt) => attempt.executionId);
    expect(new Set(claimed).size).toBe(claimed.length);
    const rest = await store.attempts.claim(store.db, instances[0]!, 100);
    const all = new Set([...claimed, ...rest.map((attempt) => attempt.executionId)]);
    expect(ids.every((id) => all.has(id))).toBe(true);
  });

  it('gives nothing to an instance whose lease has expired or that is unknown', async () => {
    await trigger(await addJob(), [8_000]);
    expect(await store.attempts.claim(store.db, await addInstance(-1), 1)).toEqual([]);
    expect(await store.attempts.claim(store.db, 1, 1)).toEqual([]);
  });

  it('lists claims whose reply was lost', async () => {
    const instanceId = await addInstance();
    const known = await begin(instanceId);
    const lost = await begin(instanceId);
    const held = await store.attempts.listHeld(store.db, instanceId, [known.executionId]);
    expect(held).toEqual([{ ...lost, heldMs: expect.any(Number) }]);
  });

  it('lists held attempts with the last line that is stored, also of a first attempt that was taken over', async () => {
    const instanceId = await addInstance();
    const attempt = await begin(instanceId);
    const line = {
      executionId: attempt.executionId,
      attempt: 1,
      at: new Date(),
      level: 'INFO',
      message: 'a',
    } as const;
    await store.logs.append(store.db, instanceId, [
      { ...line, seq: 1 },
      { ...line, seq: 2 },
    ]);
    expect(await store.attempts.listHeld(store.db, instanceId, [])).toMatchObject([{ lastSeq: 2 }]);
  });
});

describe('ending attempts', () => {
  it('ends the attempt that the instance holds, once', async () => {
    const instanceId = await addInstance();
    const attempt = await begin(instanceId);
    const end = endOf(attempt, { result: { answer: 42 } });
    expect(await store.attempts.end(store.db, instanceId, [end])).toEqual([
      { id: attempt.executionId, jobId: attempt.jobId, isFinal: true, isLimited: false },
    ]);
    expect(await store.attempts.end(store.db, instanceId, [end])).toEqual([]);
    const execution = await store.ledger.find(store.db, attempt.executionId);
    expect(execution).toMatchObject({ state: 'SUCCEEDED', attempt: 1, result: { answer: 42 } });
    expect(execution?.attempts).toHaveLength(1);
  });

  it('refuses the report of another instance and of another attempt', async () => {
    const [holder, other] = [await addInstance(), await addInstance()];
    const attempt = await begin(holder);
    expect(await store.attempts.end(store.db, other, [endOf(attempt, {})])).toEqual([]);
    expect(await store.attempts.end(store.db, holder, [endOf(attempt, { attempt: 2 })])).toEqual([]);
    expect(await store.ledger.find(store.db, attempt.executionId)).toMatchObject({ state: 'RUNNING' });
  });

  it('refuses a late report when the execution has gone to another attempt', async () => {
    const [lost, next] = [await addInstance(), await addInstance()];
    const first = await begin(lost);
    const loss = endOf(first, { outcome: 'FAILED', reason: 'WORKER_LOST', retryAfterMs: 0 });
    expect(await store.attempts.endOf(store.db, [lost], [loss])).toEqual([
      { id: first.executionId, jobId: first.jobId, isFinal: false, isLimited: false },
    ]);
    const [second] = await store.attempts.claim(store.db, next, 1);
    expect(second).toMatchObject({ executionId: first.executionId, attempt: 2 });
    expect(await store.attempts.end(store.db, lost, [endOf(first, {})])).toEqual([]);
    expect(await store.attempts.end(store.db, next, [endOf(second!, {})])).toEqual([
      { id: first.executionId, jobId: first.jobId, isFinal: true, isLimited: false },
    ]);
    const execution = await store.ledger.find(store.db, first.executionId);
    expect(execution?.attempts?.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
      [1, 'FAILED'],
      [2, 'SUCCEEDED'],
    ]);
  });

  it('lets an execution wait before its next attempt, unclaimed until it is due', async () => {
    const instanceId = await addInstance();
    const attempt = await begin(instanceId);
    const end = endOf(attempt, { outcome: 'FAILED', reason: 'TARGET_ERROR', retryAfterMs: 3_600_000 });
    await store.attempts.end(store.db, instanceId, [end]);
    expect(await store.ledger.find(store.db, attempt.executionId)).toMatchObject({
      state: 'PENDING',
      attempt: 1,
      waitingFor: expect.stringMatching(/^attempt 2 is due at /),
    });
    const claimed = await store.attempts.claim(store.db, instanceId, 1_000);
    expect(claimed.map(({ executionId }) => executionId)).not.toContain(attempt.executionId);
    await rows(
      `update carillon.open_execution set due_at = now() - interval '1 second' where execution_id = $1`,
      [attempt.executionId],
    );
    expect((await store.attempts.promoteDue(store.db)).promoted).toBe(1);
    const [again] = await store.attempts.claim(store.db, instanceId, 1);
    expect(again).toMatchObject({ executionId: attempt.executionId, attempt: 2 });
  });

  it.each([
    ['a failure', { outcome: 'FAILED', reason: 'TARGET_ERROR' }, 'CANCELED', 'CANCEL_REQUESTED'],
    [
      'a retry',
      { outcome: 'FAILED', reason: 'TARGET_ERROR', retryAfterMs: 0 },
      'CANCELED',
      'CANCEL_REQUESTED',
    ],
    ['nothing but itself', { outcome: 'CANCELED' }, 'CANCELED', 'CANCEL_REQUESTED'],
  ] as const)('lets a cancel win over %s', async (_, end, state, reason) => {
    const instanceId = await addInstance();
    const attempt = await begin(instanceId);
    const choice = { executionIds: [attempt.executionId] };
    const canceled = await store.transaction((tx) => store.cancels.cancel(tx, choice, 'enough'));
    expect(canceled).toEqual([{ id: attempt.executionId, jobId: attempt.jobId, marked: true }]);
    expect(await store.attempts.listCancelRequested(store.db, instanceId)).toEqual([attempt.executionId]);
    await store.attempts.end(store.db, instanceId, [endOf(attempt, end)]);
    expect(await store.ledger.find(store.db, attempt.executionId)).toMatchObject({
      state,
      reason,
      message: 'enough',
    });
  });

  it('lets a success stand although a cancel was asked for', async () => {
    const instanceId = await addInstance();
    const attempt = await begin(instanceId);
    const choice = { executionIds: [attempt.executionId] };
    await store.transaction((tx) => store.cancels.cancel(tx, choice, 'enough'));
    await store.attempts.end(store.db, instanceId, [endOf(attempt, { message: 'done' })]);
    expect(await store.ledger.find(store.db, attempt.executionId)).toMatchObject({
      state: 'SUCCEEDED',
      message: 'done',
    });
  });

  it('cancels an execution that nobody holds at once, and a final one not at all', async () => {
    const jobId = await addJob();
    const [id] = await trigger(jobId, [0]);
    const cancel = () =>
      store.transaction((tx) => store.cancels.cancel(tx, { executionIds: [id!] }, 'not needed'));
    expect(await cancel()).toEqual([{ id, jobId, marked: false }]);
    expect(await cancel()).toEqual([]);
    expect(await store.ledger.find(store.db, id!)).toMatchObject({
      state: 'CANCELED',
      reason: 'CANCEL_REQUESTED',
      message: 'not needed',
    });
  });
});

describe('appending log lines', () => {
  const line = (attempt: ClaimedAttempt, seq: number, more: Partial<LogEntry> = {}): LogEntry => ({
    executionId: attempt.executionId,
    seq,
    at: new Date('2026-01-01T00:00:00.123Z'),
    level: 'INFO',
    message: `line ${seq}`,
    attempt: attempt.attempt,
    ...more,
  });

  const linesOf = (executionId: number) =>
    store.logs.list(store.db, {
      executionId,
      afterSeq: null,
      beforeSeq: null,
      minLevel: 'DEBUG',
      attempt: 0,
      newestFirst: false,
      limit: 100,
    });

  it('stores a batch once when its reply was lost and it comes again', async () => {
    const instanceId = await addInstance();
    const attempt = await begin(instanceId);
    const lines = [line(attempt, 1), line(attempt, 2, { level: 'ERROR', data: { n: 1 } })];
    const stored = new Set([attempt.executionId]);
    expect(await store.logs.append(store.db, instanceId, lines)).toEqual(stored);
    expect(await store.logs.append(store.db, instanceId, [...lines, line(attempt, 3)])).toEqual(stored);
    expect(await linesOf(attempt.executionId)).toEqual(
      [...lines, line(attempt, 3)].map((l) => ({ data: undefined, ...l })),
    );
  });

  it('refuses lines of an attempt that the instance does not hold, and stores the others', async () => {
    const [holder, other] = [await addInstance(), await addInstance()];
    const [mine, theirs] = [await begin(holder), await begin(other)];
    const lines = [line(mine, 1), line(theirs, 1), line({ ...mine, attempt: 2 }, 2)];
    expect(await store.logs.append(store.db, holder, lines)).toEqual(new Set([mine.executionId]));
    expect(await linesOf(mine.executionId)).toHaveLength(1);
    expect(await linesOf(theirs.executionId)).toHaveLength(0);
  });

  it('refuses lines of an attempt that was lost', async () => {
    const instanceId = await addInstance();
    const attempt = await begin(instanceId);
    await store.attempts.end(store.db, instanceId, [endOf(attempt, { outcome: 'FAILED', retryAfterMs: 0 })]);
    expect(await store.logs.append(store.db, instanceId, [line(attempt, 1)])).toEqual(new Set());
    await store.attempts.claim(store.db, instanceId, 1_000);
    expect(await store.logs.append(store.db, instanceId, [line(attempt, 1)])).toEqual(new Set());
    expect(await linesOf(attempt.executionId)).toEqual([]);
  });

  it('stores what JSON and text can hold and Postgres cannot, with a replacement character', async () => {
    const instanceId = await addInstance();
    const attempt = await begin(instanceId);
    const hostile = line(attempt, 1, { message: 'a\0b\ud800', data: { 'k\0': ['\udc00', '\\u0000'] } });
    await store.logs.append(store.db, instanceId, [hostile]);
    expect(await linesOf(attempt.executionId)).toMatchObject([
      { message: 'a\ufffdb\ufffd', data: { 'k\ufffd': ['\ufffd', '\\u0000'] } },
    ]);
  });

  it('goes on counting where the attempt before left off', async () => {
    const instanceId = await addInstance();
    const first = await begin(instanceId);
    await store.logs.append(store.db, instanceId, [line(first, 1), line(first, 2)]);
    await store.attempts.end(store.db, instanceId, [endOf(first, { outcome: 'FAILED', retryAfterMs: 0 })]);
    const claimed = await store.attempts.claim(store.db, instanceId, 1_000);
    expect(claimed.find(({ executionId }) => executionId === first.executionId)?.lastSeq).toBe(2);
  });
});

describe('request ids', () => {
  const use = (requestId: string, digest: string, subjectId: number) => ({
    namespace: 'default',
    method: 'Trigger',
    requestId,
    digest,
    subjectId,
  });

  const note = (...uses: ReturnType<typeof use>[]) => store.transaction((tx) => store.requests.use(tx, uses));

  it('are noted by the first use and replayed by the next', async () => {
    expect(await note(use('a', 'x', 1))).toEqual([undefined]);
    expect(await note(use('a', 'x', 2), use('b', 'x', 3))).toEqual([
      { digest: 'x', subjectId: 1 },
      undefined,
    ]);
    expect(await store.requests.find(store.db, 'default', 'Trigger', 'a')).toEqual({
      digest: 'x',
      subjectId: 1,
    });
  });

  it('show the digest of the first use to a request that differs', async () => {
    await note(use('c', 'x', 1));
    expect(await note(use('c', 'y', 2))).toEqual([{ digest: 'x', subjectId: 1 }]);
  });

  it('count within their namespace and method', async () => {
    await note(use('d', 'x', 1));
    expect(await note({ ...use('d', 'y', 2), namespace: 'other' })).toEqual([undefined]);
    expect(await note({ ...use('d', 'y', 3), method: 'Add' })).toEqual([undefined]);
  });

  it.each([
    ['commits', 'x', [{ digest: 'x', subjectId: 1 }]],
    ['is rolled back', 'y', [undefined]],
  ] as const)('wait for a use at the same moment, which %s', async (what, _, replay) => {
    const id = `concurrent ${what}`;
    const gate = Promise.withResolvers<void>();
    const noted = Promise.withResolvers<void>();
    const first = store
      .transaction(async (tx) => {
        await store.requests.use(tx, [use(id, 'x', 1)]);
        noted.resolve();
        await gate.promise;
        if (what === 'is rolled back') throw new Error(what);
      })
      .catch((error: unknown) => error);
    await noted.promise;
    const second = note(use(id, 'y', 2));
    await awaitWaiter();
    gate.resolve();
    await first;
    expect(await second).toEqual(replay);
  });

  it('are free again after a day', async () => {
    await note(use('e', 'x', 1), use('f', 'x', 1));
    await rows(
      `update carillon.request set created_at = now() - interval '25 hours' where request_id in ('e', 'f')`,
    );
    expect(await store.requests.find(store.db, 'default', 'Trigger', 'e')).toBeUndefined();
    expect(await note(use('e', 'y', 2))).toEqual([undefined]);
    await store.requests.clean(store.db);
    expect(await rows(`select request_id from carillon.request where request_id in ('e', 'f')`)).toEqual([
      { request_id: 'e' },
    ]);
  });
});
