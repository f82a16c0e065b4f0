/**
 * Workers come, go, leave, come back elsewhere, and are killed, all at random,
 * while executions flow, fail and take too long. The places that a worker
 * announced are never exceeded by its own account, no attempt is assigned
 * twice, and in the end every execution has succeeded once and every place is
 * free. Longer: CHAOS_SCALE=20. The same again: TEST_SEED, as far as two cores
 * let chance be repeated.
 */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { awaitThat } from '../support/await-that.ts';
import { Churn, ChurningWorker } from '../support/churning-worker.ts';
import { connectPg, useInstances } from '../support/instance-process.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { randomFrom, seedOf } from '../support/seeded-random.ts';
import { addQueueJob, readLedger, triggerMany, workerEnv } from '../support/worker-jobs.ts';

const scale = Number(process.env.CHAOS_SCALE ?? 1);
const graceMs = 800;

describe('workers that come and go at random', () => {
  const database = useTestDatabase();
  const instances = useInstances();
  const workers: ChurningWorker[] = [];
  let sql: pg.Client;

  beforeAll(async () => {
    sql = await connectPg(database.url);
  });
  afterAll(() => sql.end());
  afterEach(async () => {
    for (const worker of workers.splice(0)) worker.close();
    expect(await auditLedger(database.url)).toEqual([]);
  });

  it(
    'never hold more than they announced, are assigned no attempt twice, and leave nothing behind (F25, F27, I9, I11, I12)',
    async () => {
      const random = randomFrom(seedOf('churn'));
      const env = {
        ...workerEnv,
        CARILLON_WORKER_RECONNECT_GRACE_MS: graceMs,
        CARILLON_WORKER_CANCEL_GRACE_MS: graceMs,
      };
      const both = await instances.startTwo({ databaseUrl: database.url, env });
      const queue = 'churn';
      await addQueueJob(both[0], queue, { maxAttempts: 50, attemptTimeout: durationFromMs(400) });
      const churn = new Churn();
      const addresses = both.map(({ grpc }) => grpc);
      for (let n = 1; n <= 8; n++) {
        workers.push(
          new ChurningWorker({
            workerId: `w${n}`,
            queue,
            capacity: 1 + random.below(6),
            addresses,
            churn,
            random,
            maxAwayMs: graceMs * 0.6,
          }),
        );
      }
      const count = 400 * scale;
      for (let left = count; left > 0; left -= 20) {
        await triggerMany(random.pick(both), queue, Math.min(20, left));
        await awaitThat('few wait', async () => {
          const { rows } = await sql.query('select 1 from carillon.open_execution limit 200');
          return rows.length < 60;
        });
      }
      for (const worker of workers) worker.steady();
      await awaitAllFinal(sql, 30_000);
      console.log('churn:', churn.counts, 'attempts:', churn.assigned.size);
      expect(churn.violations).toEqual([]);
      const rows = await readLedger(sql, queue);
      expect(rows).toHaveLength(count);
      const isOnce = ({ state, attempts }: (typeof rows)[number]): boolean =>
        state === 'SUCCEEDED' && attempts.filter(({ outcome }) => outcome === 'SUCCEEDED').length === 1;
      expect(rows.filter((row) => !isOnce(row))).toEqual([]);

      // Every place is free, and no more than that.
      const places = workers.reduce((sum, { capacity }) => sum + capacity, 0);
      for (const worker of workers) worker.fate = 'holding';
      await addQueueJob(both[0], 'holding', { queue });
      await triggerMany(both[0], 'holding', places + 10);
      await awaitThat('every place is taken', () => workers.every((w) => w.heldCount === w.capacity));
      for (const worker of workers) worker.finish();
      await awaitAllFinal(sql);
      expect(churn.violations).toEqual([]);
    },
    30_000 + scale * 10_000,
  );
});
