/**
 * F28: workers that say as much as they can, and hear nothing. What they say is
 * bounded where it is kept, or is not read; they do not grow the instance, and
 * other workers go on. Longer: CHAOS_SCALE=10.
 */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Worker } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { connectPg, useInstance } from '../support/instance-process.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { watchPeakMiB } from '../support/process-memory.ts';
import { type Hello, RawWorkerStream } from '../support/raw-worker-stream.ts';
import {
  addQueueJob,
  countAttempts,
  readLedger,
  triggerMany,
  workerEnv,
  workerTimes,
} from '../support/worker-jobs.ts';

const scale = Number(process.env.CHAOS_SCALE ?? 1);

/** What a flood may add to the memory of an instance, garbage included, in MiB. It sends several times as much. */
const maxGrowthMiB = 280;

/** Bytes of log kept of one attempt. */
const logBytes = 256 * 1_024;

describe('a worker', () => {
  const database = useTestDatabase();
  const carillon = useInstance(() => ({
    databaseUrl: database.url,
    env: { ...workerEnv, CARILLON_ENGINE_LOG_BYTES_PER_ATTEMPT: logBytes },
  }));
  const streams: RawWorkerStream[] = [];
  const workers: Worker[] = [];
  let sql: pg.Client;

  beforeAll(async () => {
    sql = await connectPg(database.url);
  });
  afterAll(() => sql.end());
  afterEach(async () => {
    for (const stream of streams.splice(0)) stream.break();
    await Promise.all(workers.splice(0).map((worker) => worker.stop()));
    expect(await auditLedger(database.url)).toEqual([]);
  });

  async function connect(hello: Hello): Promise<RawWorkerStream> {
    const stream = await RawWorkerStream.connect(carillon().grpc, hello);
    streams.push(stream);
    const beat = setInterval(() => stream.heartbeat(), workerTimes.heartbeatMs / 2);
    stream.onEnd = () => clearInterval(beat);
    return stream;
  }

  async function work(queue: string): Promise<Worker> {
    const worker = new Worker({
      address: carillon().grpc,
      queue,
      workerId: `${queue}-other`,
      graceMs: 0,
      handler: () => undefined,
    });
    workers.push(worker);
    await worker.start();
    return worker;
  }

  /** Runs executions of a queue of its own at a well-behaved worker, again and again, until `over`. */
  async function goOn(queue: string, over: Promise<unknown>): Promise<number> {
    await addQueueJob(carillon(), queue);
    await work(queue);
    let isOver = false;
    void over.finally(() => {
      isOver = true;
    });
    let count = 0;
    do {
      const ids = await triggerMany(carillon(), queue, 20);
      await awaitThat('the executions of others end', async () => {
        const rows = await readLedger(sql, queue);
        return rows.filter(({ state }) => state === 'SUCCEEDED').length === count + ids.length;
      });
      count += ids.length;
    } while (!isOver);
    return count;
  }

  it(
    'that floods the log and reads nothing is held to the log limit of its attempts, at bounded memory, and others go on (F28, I20)',
    async () => {
      const queue = 'logs';
      const attempts = 20;
      await addQueueJob(carillon(), queue);
      const stream = await connect({ workerId: queue, queues: [queue], capacity: attempts });
      await triggerMany(carillon(), queue, attempts);
      await stream.awaitAssigned(attempts);
      stream.pause();
      const message = 'x'.repeat(8_000);
      const entries = Array.from({ length: 400 }, (_, n) => {
        const { executionId, attempt } = stream.assigned[n % attempts]!;
        return { executionId, attempt, message };
      });
      const growth = await watchPeakMiB(carillon().pid);
      const flood = (async () => {
        for (let n = 0; n < 100 * scale && !stream.end; n++) await stream.log(entries);
      })();
      const others = await goOn('beside-logs', flood);
      await flood;
      const growthMiB = await growth();
      console.log(
        `${320 * scale} MB of lines: ${growthMiB.toFixed()} MiB more; ${others} executions of others`,
      );
      expect(stream.end).toBeUndefined();
      expect(growthMiB).toBeLessThan(maxGrowthMiB);
      await stream.report(stream.assigned);
      await awaitAllFinal(sql);
      expect(countAttempts(await readLedger(sql, queue))).toEqual({ [`1 SUCCEEDED ${queue}`]: attempts });
      const { rows } = await sql.query<{ bytes: number; last: string }>(
        `select sum(length(message))::float8 as bytes, (array_agg(message order by seq desc))[1] as last
         from carillon.log_entry group by execution_id`,
      );
      expect(rows).toHaveLength(attempts);
      for (const { bytes, last } of rows) {
        expect(bytes).toBeLessThanOrEqual(logBytes);
        expect(last).toBe('log limit reached');
      }
    },
    30_000 * scale,
  );

  it('that sends results without end and reads no ack is not read any more, and its stream ends; its attempts run elsewhere (F28, I20)', async () => {
    const queue = 'acks';
    await addQueueJob(carillon(), queue);
    const stream = await connect({ workerId: queue, queues: [queue], capacity: 5 });
    await triggerMany(carillon(), queue, 5);
    await stream.awaitAssigned(5);
    stream.pause();
    const refs = Array.from({ length: 10_000 }, (_, n) => ({ executionId: BigInt(n + 1), attempt: 1 }));
    const growth = await watchPeakMiB(carillon().pid);
    const flood = (async () => {
      while (!stream.end) await stream.report(refs);
    })();
    // It does not hear that its stream has ended: that waits behind what it does not read.
    const givenBack = awaitThat('its attempts are given back', async () =>
      (await readLedger(sql, queue)).every(({ attempts }) => attempts.length === 1),
    );
    const others = await goOn('beside-acks', givenBack);
    await givenBack;
    const growthMiB = await growth();
    stream.break();
    await flood;
    console.log(`a flood of results: ${growthMiB.toFixed()} MiB more; ${others} executions of others`);
    expect(growthMiB).toBeLessThan(maxGrowthMiB);
    await work(queue);
    await awaitAllFinal(sql);
    expect(countAttempts(await readLedger(sql, queue))).toEqual({
      [`1 FAILED WORKER_LOST ${queue}`]: 5,
      [`2 SUCCEEDED ${queue}-other`]: 5,
    });
  });

  it('that shuts its window has its attempts run elsewhere when their time is over (F28, I12)', async () => {
    const queue = 'shut';
    const parameters = { text: 'x'.repeat(500_000) };
    await addQueueJob(carillon(), queue, { attemptTimeout: durationFromMs(300), parameters });
    const stream = await connect({ workerId: queue, queues: [queue], capacity: 5 });
    stream.pause();
    await triggerMany(carillon(), queue, 10);
    await awaitThat('it has as much as it can hold', async () => {
      const rows = await readLedger(sql, queue);
      return rows.filter(({ state, workerId }) => state === 'RUNNING' && workerId === queue).length === 5;
    });
    await work(queue);
    await awaitAllFinal(sql);
    const rows = await readLedger(sql, queue);
    expect(rows.every(({ state, workerId }) => state === 'SUCCEEDED' && workerId === `${queue}-other`)).toBe(
      true,
    );
  });

  it('that takes many large parameters at once gets them in messages that it can take', async () => {
    const queue = 'large';
    const parameters = { text: 'x'.repeat(1_000_000) };
    await addQueueJob(carillon(), queue, { parameters });
    await triggerMany(carillon(), queue, 80);
    const worker = new Worker({
      address: carillon().grpc,
      queue,
      workerId: queue,
      capacity: 80,
      graceMs: 0,
      handler: ({ parameters: { text } }) => ({ length: text!.length }),
    });
    workers.push(worker);
    await worker.start();
    await awaitAllFinal(sql);
    const rows = await readLedger(sql, queue);
    expect(countAttempts(rows)).toEqual({ [`1 SUCCEEDED ${queue}`]: 80 });
    expect(rows.every(({ result }) => result!.length === 1_000_000)).toBe(true);
  });
});
