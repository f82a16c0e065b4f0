/**
 * Many workers at once: they connect in the same moment while executions wait,
 * lose their streams in the same moment, and come back in the same moment.
 * Longer: CHAOS_SCALE=5 for 1,000 workers.
 */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WorkerState } from '../../gen/carillon/v1/worker_service_pb.js';
import { Worker } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { connectPg, type InstanceProcess, useInstances } from '../support/instance-process.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { addQueueJob, readLedger, triggerMany, workerEnv } from '../support/worker-jobs.ts';

const scale = Number(process.env.CHAOS_SCALE ?? 1);
const workerCount = 200 * scale;
const capacity = 5;
const executionCount = 2_000 * scale;

/** All of them come back within it, on two cores that others share. */
const graceMs = 10_000 * scale;

describe('many workers', () => {
  const database = useTestDatabase();
  const instances = useInstances();
  const workers: Worker[] = [];
  const proxies: TcpProxy[] = [];
  let sql: pg.Client;

  beforeAll(async () => {
    sql = await connectPg(database.url);
  });
  afterAll(() => sql.end());
  afterEach(async () => {
    for (const worker of workers) void worker.stop();
    await Promise.all(workers.splice(0).map((worker) => worker.stop()));
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
    expect(await auditLedger(database.url)).toEqual([]);
  });

  /** Counts the workers that the instances list, by their state. */
  async function countListed(
    { workers: service }: InstanceProcess,
    queue: string,
  ): Promise<Map<WorkerState, number>> {
    const counts = new Map<WorkerState, number>();
    let pageToken = '';
    do {
      const page = await service.list({ filter: { queue }, pageSize: 500, pageToken });
      for (const { state } of page.workers) counts.set(state, (counts.get(state) ?? 0) + 1);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return counts;
  }

  const awaitListed = (instance: InstanceProcess, queue: string, state: WorkerState): Promise<unknown> =>
    awaitThat(
      `all are ${WorkerState[state]}`,
      async () => (await countListed(instance, queue)).get(state) === workerCount,
      15_000 * scale,
    );

  it.each([1, 2])(
    'of %i instances connect at once, run each execution once with fair shares, and keep what they hold when all lose their streams at once (F27, I9, I11)',
    async (instanceCount) => {
      const env = { ...workerEnv, CARILLON_WORKER_RECONNECT_GRACE_MS: graceMs };
      const started = await Promise.all(
        Array.from({ length: instanceCount }, () => instances.start({ databaseUrl: database.url, env })),
      );
      const [instance] = started as [InstanceProcess];
      const addresses: string[] = [];
      for (const { grpc } of started) {
        const proxy = await TcpProxy.start({ port: Number(grpc.split(':').at(-1)) });
        proxies.push(proxy);
        addresses.push(`127.0.0.1:${proxy.port}`);
      }
      const queue = `many-${instanceCount}`;
      await addQueueJob(instance, queue);
      await triggerMany(instance, queue, executionCount);

      const calls = new Map<string, number>();
      const shares = new Map<string, number>();
      let gate = Promise.withResolvers<void>();
      let held = 0;
      for (let n = 0; n < workerCount; n++) {
        const worker = new Worker({
          address: addresses,
          queue,
          workerId: `${queue}-${n}`,
          capacity,
          graceMs: 0,
          handler: async ({ executionId, attempt }) => {
            const name = `${executionId}/${attempt}`;
            calls.set(name, (calls.get(name) ?? 0) + 1);
            shares.set(worker.workerId, (shares.get(worker.workerId) ?? 0) + 1);
            held++;
            await gate.promise;
            held--;
          },
        });
        workers.push(worker);
      }
      await Promise.all(workers.map((worker) => worker.start()));
      await awaitListed(instance, queue, WorkerState.CONNECTED);
      await awaitThat('every place is taken', () => held === workerCount * capacity, 15_000 * scale);
      gate.resolve();
      await awaitAllFinal(sql, 20_000 * scale);
      expect(countOutcomes(await readLedger(sql, queue))).toEqual({ 'SUCCEEDED 1': executionCount });
      expect([...calls.values()]).toEqual(Array(executionCount).fill(1));
      // Each has filled its places once; what was left went to whoever was free.
      const most = Math.max(...shares.values());
      console.log(
        `${workerCount} workers at ${instanceCount} instances: ${Math.min(...shares.values())} to ${most} each`,
      );
      expect(shares.size).toBe(workerCount);
      expect(most).toBeLessThanOrEqual((executionCount / workerCount) * 4);

      gate = Promise.withResolvers<void>();
      calls.clear();
      await triggerMany(instance, queue, workerCount * capacity);
      await awaitThat('every place is taken', () => held === workerCount * capacity, 15_000 * scale);
      for (const proxy of proxies) proxy.setMode({ kind: 'cut' });
      await awaitListed(instance, queue, WorkerState.DISCONNECTED);
      for (const proxy of proxies) proxy.setMode({ kind: 'pass' });
      await awaitListed(instance, queue, WorkerState.CONNECTED);
      gate.resolve();
      await awaitAllFinal(sql, 20_000 * scale);
      const rows = (await readLedger(sql, queue)).slice(executionCount);
      expect(countOutcomes(rows)).toEqual({ 'SUCCEEDED 1': workerCount * capacity });
      expect([...calls.values()]).toEqual(Array(workerCount * capacity).fill(1));
    },
    60_000 * scale,
  );
});

/** How executions ended, with their last attempts' numbers. */
function countOutcomes(rows: Awaited<ReturnType<typeof readLedger>>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state, attempt } of rows)
    counts[`${state} ${attempt}`] = (counts[`${state} ${attempt}`] ?? 0) + 1;
  return counts;
}
