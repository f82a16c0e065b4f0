/**
 * F27: the link between workers and their instance is cut (both sides know at
 * once), halted (nobody knows; the instance hears no heartbeats), or goes one
 * way only (the instance hears its worker, which hears nothing), and is mended
 * within the grace time or past it.
 */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WorkerState } from '../../gen/carillon/v1/worker_service_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { connectPg, useInstance } from '../support/instance-process.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { addQueueJob, countAttempts, readLedger, triggerMany, workerEnv } from '../support/worker-jobs.ts';
import { useWorkerProcesses, type WorkerProcess } from '../support/worker-process.ts';

/** A worker behind a proxy of its own, with the queue that it serves. */
type Linked = { readonly queue: string; readonly proxy: TcpProxy; readonly worker: WorkerProcess };

/** How many attempts each worker holds when its link breaks. */
const held = 20;

describe('a worker whose link', () => {
  const database = useTestDatabase();
  const carillon = useInstance(() => ({ databaseUrl: database.url, env: workerEnv }));
  const startWorker = useWorkerProcesses();
  const proxies: TcpProxy[] = [];
  let sql: pg.Client;

  beforeAll(async () => {
    sql = await connectPg(database.url);
  });
  afterAll(() => sql.end());
  afterEach(async () => {
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
    expect(await auditLedger(database.url)).toEqual([]);
  });

  /** Starts a worker with a few more places than it has attempts. */
  async function link(queue: string): Promise<Linked> {
    await addQueueJob(carillon(), queue);
    await triggerMany(carillon(), queue, held);
    const proxy = await TcpProxy.start({ port: Number(carillon().grpc.split(':').at(-1)) });
    proxies.push(proxy);
    const address = `127.0.0.1:${proxy.port}`;
    const worker = await startWorker({ address, queue, workerId: queue, capacity: held + 5 });
    await worker.awaitCalls(held);
    return { queue, proxy, worker };
  }

  const awaitState = (workerId: string, state: WorkerState): Promise<unknown> =>
    awaitThat(`${workerId} is ${WorkerState[state]}`, async () => {
      const { workers } = await carillon().workers.list({ filter: { queue: workerId } });
      return workers.some((worker) => worker.workerId === workerId && worker.state === state);
    });

  /** What the handler of a worker was called with, which is every attempt once. */
  function callsOf({ worker, queue }: Linked): string[] {
    const calls = worker.calls.map(({ executionId, attempt }) => `${executionId}/${attempt}`);
    expect(new Set(calls).size, `${queue} is assigned no attempt twice`).toBe(calls.length);
    return calls;
  }

  it.each(['cut', 'halt'] as const)(
    'is %s and back within the grace time keeps its attempts and numbers, and its results arrive once (F27, I11)',
    async (kind) => {
      const linked = await link(`back-${kind}`);
      const { queue, proxy, worker } = linked;
      proxy.setMode({ kind });
      await awaitState(queue, WorkerState.DISCONNECTED);
      // Results come up while they cannot be sent.
      worker.release();
      await awaitThat('its handlers have ended', () => worker.endedCount === held);
      proxy.setMode({ kind: 'pass' });
      await awaitAllFinal(sql);
      expect(countAttempts(await readLedger(sql, queue))).toEqual({ [`1 SUCCEEDED ${queue}`]: held });
      expect(callsOf(linked)).toHaveLength(held);
    },
  );

  it('goes one way only has its results stored once, and what it was assigned unheard is given back under another number (F27, I11)', async () => {
    const linked = await link('one-way');
    const { queue, proxy, worker } = linked;
    proxy.setMode({ kind: 'one-way' });
    await triggerMany(carillon(), queue, 5);
    worker.release();
    await awaitThat('its results are stored, and it has what it does not know of', async () => {
      const states = (await readLedger(sql, queue)).map(({ state }) => state);
      const count = (wanted: string): number => states.filter((state) => state === wanted).length;
      return count('SUCCEEDED') === held && count('RUNNING') === 5;
    });
    expect(worker.calls).toHaveLength(held);
    // It has heard of no ack, and names and sends all of them again.
    proxy.setMode({ kind: 'cut' });
    proxy.setMode({ kind: 'pass' });
    await awaitAllFinal(sql);
    expect(countAttempts(await readLedger(sql, queue))).toEqual({
      [`1 SUCCEEDED ${queue}`]: held,
      [`1 FAILED WORKER_LOST ${queue}`]: 5,
      [`2 SUCCEEDED ${queue}`]: 5,
    });
    expect(callsOf(linked)).toHaveLength(held + 5);
  });

  it('is cut when a cancel is asked for is told of it when it is back', async () => {
    const linked = await link('canceled');
    const { queue, proxy, worker } = linked;
    proxy.setMode({ kind: 'cut' });
    await awaitState(queue, WorkerState.DISCONNECTED);
    const executionIds = worker.calls.slice(0, 5).map(({ executionId }) => BigInt(executionId));
    await carillon().executions.cancel({ executions: { case: 'byIds', value: { executionIds } } });
    proxy.setMode({ kind: 'pass' });
    await awaitThat('it is told', () => worker.aborted.length === 5);
    expect(worker.aborted.toSorted()).toEqual(executionIds.map((id) => `${id}/1`).toSorted());
    worker.release();
    await awaitAllFinal(sql);
    expect(countAttempts(await readLedger(sql, queue))).toEqual({
      [`1 CANCELED CANCEL_REQUESTED ${queue}`]: 5,
      [`1 SUCCEEDED ${queue}`]: held - 5,
    });
    expect(callsOf(linked)).toHaveLength(held);
  });

  it('is broken past the grace time has its attempts run elsewhere, and what it says of them later changes nothing (F27, I12)', async () => {
    const kinds = ['cut', 'halt'] as const;
    const all = await Promise.all(kinds.map((kind) => link(`past-${kind}`)));
    all.forEach(({ proxy }, n) => {
      proxy.setMode({ kind: kinds[n]! });
    });
    const others = await Promise.all(
      all.map(({ queue }) =>
        startWorker({ address: carillon().grpc, queue, workerId: `${queue}-other`, capacity: held }),
      ),
    );
    for (const other of others) await other.awaitCalls(held);
    // One has results to tell when it is back, the other still runs all that it had.
    const [ended, running] = [all[0]!.worker, all[1]!.worker];
    ended.release();
    await awaitThat('its handlers have ended', () => ended.endedCount === held);
    for (const { proxy } of all) proxy.setMode({ kind: 'pass' });
    for (const { queue } of all) await awaitState(queue, WorkerState.CONNECTED);
    await awaitThat('what is not its own any more is stopped', () => running.aborted.length === held);
    expect(ended.aborted).toEqual([]);
    running.release();
    for (const other of others) other.release();
    await awaitAllFinal(sql);
    for (const linked of all) {
      const { queue } = linked;
      const rows = await readLedger(sql, queue);
      expect(countAttempts(rows)).toEqual({
        [`1 FAILED WORKER_LOST ${queue}`]: held,
        [`2 SUCCEEDED ${queue}-other`]: held,
      });
      expect(rows.every(({ result }) => result!.by === `${queue}-other`)).toBe(true);
      expect(callsOf(linked)).toHaveLength(held);
      // Its places are free again: it takes as much as it can hold.
      await triggerMany(carillon(), queue, held * 2 + 5);
    }
    await awaitAllFinal(sql);
    for (const { worker } of all) expect(worker.calls.length).toBeGreaterThan(held);
  });
});
