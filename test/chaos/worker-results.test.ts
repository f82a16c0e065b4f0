/**
 * What workers say more than once, too late, or in the moment in which somebody
 * cancels: the first word that is in time counts, and every word is
 * acknowledged, a result not before it is stored.
 */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { WorkerState } from '../../gen/carillon/v1/worker_service_pb.js';
import { Worker } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { connectPg, useInstance } from '../support/instance-process.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { type Hello, nameOf, RawWorkerStream, type Ref } from '../support/raw-worker-stream.ts';
import { randomFrom, seedOf } from '../support/seeded-random.ts';
import { addQueueJob, countAttempts, readLedger, triggerMany } from '../support/worker-jobs.ts';

/** How many executions are canceled in the moment of their end; CHAOS_SCALE=100 is a long form. */
const scale = Number(process.env.CHAOS_SCALE ?? 1);
const racers = 200 * scale;

/** Times that no test uses up: streams break when a test breaks them, and not before. */
const env = {
  CARILLON_ENGINE_INSTANCE_TTL_MS: 15_000,
  CARILLON_WORKER_HEARTBEAT_MS: 1_000,
  CARILLON_WORKER_RECONNECT_GRACE_MS: 15_000,
  CARILLON_WORKER_CANCEL_GRACE_MS: 15_000,
};

describe('a result', () => {
  const database = useTestDatabase();
  const carillon = useInstance(() => ({ databaseUrl: database.url, env }));
  /** Gives attempts back as soon as their stream is gone. */
  const hasty = useInstance(() => ({
    databaseUrl: database.url,
    env: { ...env, CARILLON_WORKER_RECONNECT_GRACE_MS: 300 },
  }));
  const streams: RawWorkerStream[] = [];
  let sql: pg.Client;
  /** A session that keeps ends from being stored. */
  let lock: pg.Client;

  beforeAll(async () => {
    sql = await connectPg(database.url);
    lock = await connectPg(database.url);
  });
  afterAll(() => Promise.all([sql.end(), lock.end()]));
  afterEach(async () => {
    await lock.query('rollback');
    for (const stream of streams.splice(0)) stream.break();
    expect(await auditLedger(database.url)).toEqual([]);
  });

  async function connect(hello: Hello, address = carillon().grpc): Promise<RawWorkerStream> {
    const stream = await RawWorkerStream.connect(address, hello);
    streams.push(stream);
    const beat = setInterval(() => stream.heartbeat(), 200);
    stream.onEnd = () => clearInterval(beat);
    return stream;
  }

  /** A worker with so many attempts. */
  async function assigned(queue: string, count: number, address?: string): Promise<RawWorkerStream> {
    await addQueueJob(carillon(), queue);
    const stream = await connect({ workerId: queue, queues: [queue] }, address);
    await triggerMany(carillon(), queue, count);
    await stream.awaitAssigned(count);
    return stream;
  }

  const namesOf = (refs: readonly Ref[]): string[] => refs.map(nameOf).toSorted();

  it('that is sent again before its ack and behind it counts once, and is acknowledged each time', async () => {
    const queue = 'repeated';
    const stream = await assigned(queue, 3);
    const refs = stream.assigned;
    await stream.report([...refs, ...refs], { result: { word: 'first' } });
    await stream.report(refs, { state: ExecutionState.FAILED, message: 'second' });
    await stream.awaitAcked(9);
    await stream.report(refs, { result: { word: 'third' } });
    await stream.awaitAcked(12);
    expect(namesOf(stream.acked)).toEqual(namesOf(Array(4).fill(refs).flat() as Ref[]));
    const rows = await readLedger(sql, queue);
    expect(countAttempts(rows)).toEqual({ [`1 SUCCEEDED ${queue}`]: 3 });
    expect(rows.map(({ result }) => result)).toEqual(Array(3).fill({ word: 'first' }));
  });

  it('is acknowledged when it is stored, however often it was sent until then, also on a later stream', async () => {
    const queue = 'stored';
    const stream = await assigned(queue, 2);
    const [first, second] = [stream.assigned[0]!, stream.assigned[1]!];
    const unknown = { executionId: first.executionId, attempt: 9 };
    await lock.query('begin');
    await lock.query('select 1 from carillon.open_execution where execution_id = $1 for update', [
      first.executionId,
    ]);
    await stream.report([first, first], { result: { word: 'first' } });
    await stream.report([first], { result: { word: 'second' } });
    // What is nobody's is acknowledged at once: acks that were given before it would have come before it.
    await stream.report([unknown]);
    await stream.awaitAcked(1);
    expect(namesOf(stream.acked)).toEqual([nameOf(unknown)]);
    stream.break();
    // The end is on its way: the attempt is not lost, nor given to the worker again.
    const again = await connect({ workerId: queue, queues: [queue], capacity: 2, running: [first, second] });
    expect(again.rejected).toEqual([]);
    await again.report([first, second, unknown]);
    await again.awaitAcked(1);
    expect(namesOf(again.acked)).toEqual([nameOf(unknown)]);
    await lock.query('commit');
    await awaitThat('both are acknowledged', () => new Set(namesOf(again.acked)).size === 3);
    const rows = await readLedger(sql, queue);
    expect(countAttempts(rows)).toEqual({ [`1 SUCCEEDED ${queue}`]: 2 });
    const results = new Map(rows.map(({ id, result }) => [id, result]));
    expect(results.get(Number(first.executionId))).toEqual({ word: 'first' });
    expect(results.get(Number(second.executionId))).toBeNull();
    // No place has stayed taken.
    await triggerMany(carillon(), queue, 2);
    await again.awaitAssigned(2);
    await again.report(again.assigned);
    await awaitAllFinal(sql);
  });

  it('that is sent again behind a reconnect counts once, whether or not its attempt was named', async () => {
    const queue = 'reconnected';
    const stream = await assigned(queue, 2);
    const refs = [...stream.assigned];
    await stream.report(refs, { result: { word: 'first' } });
    await stream.awaitAcked(2);
    stream.break();
    const named = await connect({ workerId: queue, queues: [queue], running: refs });
    expect(namesOf(named.rejected)).toEqual(namesOf(refs));
    await named.report(refs, { result: { word: 'second' } });
    await named.awaitAcked(2);
    named.break();
    const silent = await connect({ workerId: queue, queues: [queue] });
    await silent.report(refs, { state: ExecutionState.FAILED });
    await silent.awaitAcked(2);
    const rows = await readLedger(sql, queue);
    expect(countAttempts(rows)).toEqual({ [`1 SUCCEEDED ${queue}`]: 2 });
    expect(rows.map(({ result }) => result)).toEqual(Array(2).fill({ word: 'first' }));
  });

  it('that comes past the grace time is acknowledged and refused: others run the attempt, with a number of their own (F25, I12)', async () => {
    const queue = 'late';
    const { grpc } = hasty();
    const stream = await assigned(queue, 3, grpc);
    const refs = [...stream.assigned];
    stream.break();
    await awaitThat('they are given back', async () =>
      (await readLedger(sql, queue)).every(({ attempts }) => attempts.length === 1),
    );
    const other = await connect({ workerId: 'other', queues: [queue] }, grpc);
    await other.awaitAssigned(3);
    const late = await connect({ workerId: queue, queues: [queue], running: refs }, grpc);
    expect(namesOf(late.rejected)).toEqual(namesOf(refs));
    await late.report(refs, { result: { by: 'late' } });
    // Nor may it speak for the other one's attempts.
    await late.report(other.assigned, { result: { by: 'late' } });
    await late.awaitAcked(6);
    expect((await readLedger(sql, queue)).map(({ state }) => state)).toEqual(Array(3).fill('RUNNING'));
    await other.report(other.assigned, { result: { by: 'other' } });
    await other.awaitAcked(3);
    const rows = await readLedger(sql, queue);
    expect(countAttempts(rows)).toEqual({
      [`1 FAILED WORKER_LOST ${queue}`]: 3,
      '2 SUCCEEDED other': 3,
    });
    expect(rows.map(({ result }) => result)).toEqual(Array(3).fill({ by: 'other' }));
  });

  it('of an attempt before does not end the attempt that the same worker runs now (F26, I12)', async () => {
    const queue = 'before';
    const stream = await assigned(queue, 2);
    const refs = [...stream.assigned];
    stream.break();
    // It has forgotten them: they are lost when it does not name them.
    const again = await connect({ workerId: queue, queues: [queue] });
    await again.awaitAssigned(2);
    expect(again.assigned.map(({ attempt }) => attempt)).toEqual([2, 2]);
    await again.report(refs, { result: { of: 1 } });
    await again.awaitAcked(2);
    expect((await readLedger(sql, queue)).map(({ state }) => state)).toEqual(['RUNNING', 'RUNNING']);
    await again.report(again.assigned, { result: { of: 2 } });
    await again.awaitAcked(4);
    const rows = await readLedger(sql, queue);
    expect(countAttempts(rows)).toEqual({
      [`1 FAILED WORKER_LOST ${queue}`]: 2,
      [`2 SUCCEEDED ${queue}`]: 2,
    });
    expect(rows.map(({ result }) => result)).toEqual(Array(2).fill({ of: 2 }));
  });

  it('that answers the end of its time at another instance is a timeout, and the attempt is repeated (I15)', async () => {
    const queue = 'timed-out';
    await addQueueJob(carillon(), queue, { attemptTimeout: durationFromMs(500) });
    const stream = await connect({ workerId: queue, queues: [queue] });
    await triggerMany(carillon(), queue, 3);
    await awaitThat('it is told that their time is over', () => stream.canceled.length === 3);
    const refs = [...stream.canceled];
    stream.break();
    const moved = await connect({ workerId: queue, queues: [queue], running: refs }, hasty().grpc);
    expect(moved.rejected).toEqual([]);
    moved.onMessage = (message) => {
      if (message.case === 'assignments') void moved.report(message.value.assignments);
    };
    await moved.report(refs, { state: ExecutionState.CANCELED });
    await awaitAllFinal(sql);
    expect(countAttempts(await readLedger(sql, queue))).toEqual({
      [`1 FAILED ATTEMPT_TIMEOUT ${queue}`]: 3,
      [`2 SUCCEEDED ${queue}`]: 3,
    });
  });

  it(
    'that meets a cancel leaves each execution SUCCEEDED or CANCELED, as its attempt says, and no place taken',
    async () => {
      const queue = 'racing';
      const random = randomFrom(seedOf('cancel race'));
      const capacity = 20;
      await addQueueJob(carillon(), queue);
      const cancels: Promise<unknown>[] = [];
      const cancel = (executionId: number): Promise<unknown> => {
        const executionIds = [BigInt(executionId)];
        const asked = carillon().executions.cancel({
          executions: { case: 'byIds', value: { executionIds } },
        });
        cancels.push(asked);
        return asked;
      };
      const turns = async (count: number): Promise<void> => {
        for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve));
      };
      let isRace = true;
      const held = Promise.withResolvers<void>();
      const worker = new Worker({
        address: carillon().grpc,
        queue,
        workerId: 'racer',
        capacity,
        graceMs: 0,
        handler: async ({ executionId, signal }) => {
          if (!isRace) return held.promise;
          const asked = cancel(executionId);
          switch (random.below(4)) {
            case 0:
              // It ends before anybody hears of the cancel.
              return;
            case 1:
              await turns(random.below(200));
              return;
            case 2:
              await asked;
              return;
            default:
              await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
              signal.throwIfAborted();
          }
        },
      });
      await worker.start();
      try {
        await triggerMany(carillon(), queue, racers);
        await awaitAllFinal(sql, 40_000 * scale);
        await Promise.all(cancels);
        const rows = await readLedger(sql, queue);
        for (const { state, attempt, attempts } of rows) {
          expect(['SUCCEEDED', 'CANCELED']).toContain(state);
          expect([attempt, ...attempts.map(({ outcome }) => outcome)]).toEqual([1, state]);
        }
        const counts = countAttempts(rows);
        console.log(`${racers} races:`, counts);
        expect(Object.keys(counts).toSorted()).toEqual([
          '1 CANCELED CANCEL_REQUESTED racer',
          '1 SUCCEEDED racer',
        ]);
        await awaitThat('it runs nothing', async () => {
          const { workers } = await carillon().workers.list({ filter: { queue } });
          return workers[0]!.state === WorkerState.CONNECTED && workers[0]!.running === 0;
        });
        // All its places can be taken at once.
        isRace = false;
        await triggerMany(carillon(), queue, capacity);
        await awaitThat('every place is taken', () => worker.running === capacity);
        held.resolve();
        await awaitAllFinal(sql);
      } finally {
        await worker.stop();
      }
    },
    120_000 * scale,
  );
});
