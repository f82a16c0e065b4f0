/** F5, F25, F26: processes of workers are killed or frozen with all that they run, and instances under their workers. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WorkerState } from '../../gen/carillon/v1/worker_service_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { connectPg, useInstance, useInstances } from '../support/instance-process.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import {
  addQueueJob,
  countAttempts,
  readClockMs,
  readLedger,
  triggerMany,
  workerEnv,
  workerTimes,
} from '../support/worker-jobs.ts';
import { type HandlerCall, useWorkerProcesses } from '../support/worker-process.ts';

const keysOf = (calls: readonly HandlerCall[]) => new Map(calls.map((call) => [call.executionId, call.key]));

describe('executions', () => {
  const database = useTestDatabase();
  const instances = useInstances();
  const carillon = useInstance(() => ({ databaseUrl: database.url, env: workerEnv }));
  const startWorker = useWorkerProcesses();
  let sql: pg.Client;

  beforeAll(async () => {
    sql = await connectPg(database.url);
  });
  afterAll(() => sql.end());
  afterEach(async () => {
    expect(await auditLedger(database.url)).toEqual([]);
  });

  it('of a worker that is killed with 100 of them are given back after the grace time, never before, and run elsewhere under the same keys (F25, I9, I10, I12)', async () => {
    const queue = 'killed';
    await addQueueJob(carillon(), queue);
    await triggerMany(carillon(), queue, 100);
    const common = { address: carillon().grpc, queue, capacity: 100 };
    const victim = await startWorker({ ...common, workerId: 'victim' });
    await victim.awaitCalls(100);
    // It has free places all the time, and may take them as soon as they are given back.
    const other = await startWorker({ ...common, workerId: 'other', takesMs: 5 });
    const beforeMs = await readClockMs(sql);
    victim.kill('SIGKILL');
    await awaitAllFinal(sql);
    const rows = await readLedger(sql, queue);
    expect(rows.map(({ state }) => state)).toEqual(Array(100).fill('SUCCEEDED'));
    expect(countAttempts(rows)).toEqual({ '1 FAILED WORKER_LOST victim': 100, '2 SUCCEEDED other': 100 });
    for (const { attempts, result } of rows) {
      expect(attempts[0]!.finishedMs - beforeMs).toBeGreaterThanOrEqual(workerTimes.graceMs);
      expect(result).toEqual({ by: 'other', attempt: 2 });
    }
    expect(other.calls).toHaveLength(100);
    expect(other.calls.every(({ attempt }) => attempt === 2)).toBe(true);
    expect(keysOf(other.calls)).toEqual(keysOf(victim.calls));
    expect(new Set(keysOf(other.calls).values()).size).toBe(100);
  });

  it('of a worker that is frozen beyond the grace time are not its own when it wakes, and those of others go on (F26, I12)', async () => {
    const queue = 'frozen';
    await addQueueJob(carillon(), queue);
    await triggerMany(carillon(), queue, 30);
    const frozen = await startWorker({ address: carillon().grpc, queue, workerId: 'frozen', capacity: 30 });
    await frozen.awaitCalls(30);
    await triggerMany(carillon(), queue, 10);
    const bystander = await startWorker({
      address: carillon().grpc,
      queue,
      workerId: 'bystander',
      capacity: 10,
    });
    await bystander.awaitCalls(10);
    frozen.kill('SIGSTOP');
    const other = await startWorker({ address: carillon().grpc, queue, workerId: 'other', capacity: 30 });
    await other.awaitCalls(30);
    // It finds them let go when it wakes: what it says of them comes while others run them.
    frozen.release();
    frozen.kill('SIGCONT');
    await awaitThat('its handlers have ended', () => frozen.endedCount === 30);
    await awaitThat('it is back', async () => {
      const { workers } = await carillon().workers.list({ filter: { queue } });
      const listed = workers.find(({ workerId }) => workerId === 'frozen');
      return listed?.state === WorkerState.CONNECTED && listed.running === 0;
    });
    expect((await readLedger(sql, queue)).filter(({ state }) => state !== 'RUNNING')).toEqual([]);
    other.release();
    bystander.release();
    await awaitAllFinal(sql);
    const rows = await readLedger(sql, queue);
    expect(countAttempts(rows)).toEqual({
      '1 FAILED WORKER_LOST frozen': 30,
      '2 SUCCEEDED other': 30,
      '1 SUCCEEDED bystander': 10,
    });
    expect(rows.map(({ result }) => result!.by).toSorted()).toEqual([
      ...Array(10).fill('bystander'),
      ...Array(30).fill('other'),
    ]);
    // What comes next finds all its places free again.
    await triggerMany(carillon(), queue, 70);
    await awaitAllFinal(sql);
    expect((await readLedger(sql, queue)).every(({ state }) => state === 'SUCCEEDED')).toBe(true);
  });

  it('go on under their number when their instance is killed and their workers go to the other one, and every one ends once (F5, I11, I12)', async () => {
    const [first, second] = await instances.startTwo({ databaseUrl: database.url, env: workerEnv });
    const queue = 'moved';
    await addQueueJob(first, queue);
    await triggerMany(second, queue, 40);
    const address = [first.grpc, second.grpc];
    const capacity = 10;
    const movers = await Promise.all(
      ['a', 'b', 'c', 'd'].map((workerId) => startWorker({ address, queue, workerId, capacity })),
    );
    for (const mover of movers) await mover.awaitCalls(capacity);
    // All places are taken, so that nothing is on its way from the instance that is killed.
    await triggerMany(second, queue, 20);
    // Each has chosen an instance by chance: the one with most of them goes.
    const { workers: before } = await second.workers.list({ filter: { queue } });
    const onFirst = before.filter(({ instance }) => instance === first.name).length;
    const [victim, survivor] = onFirst >= before.length / 2 ? [first, second] : [second, first];
    victim.kill('SIGKILL');
    // Results come up while their instance is gone.
    for (const mover of movers) mover.release();
    await awaitAllFinal(sql);
    const rows = await readLedger(sql, queue);
    expect(rows.map(({ state, attempt }) => `${state} ${attempt}`)).toEqual(Array(60).fill('SUCCEEDED 1'));
    const calls = movers.flatMap((mover) => mover.calls);
    expect(calls.map(({ executionId }) => executionId).toSorted((a, b) => a - b)).toEqual(
      rows.map(({ id }) => id),
    );
    const { workers } = await survivor.workers.list({ filter: { queue } });
    expect(workers.map(({ instance }) => instance)).toEqual(movers.map(() => survivor.name));
  });
});
