/** F1, F5: the leader is killed during a catch-up, during a backfill and while CANCEL_OTHER replaces runs. */
import { durationFromMs, timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MisfirePolicy, OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { awaitLeader, connectPg, type InstanceProcess, useInstances } from '../support/instance-process.ts';
import { everyMsJob, everySecondJob, manualJob, owedFireTimes, spanFrom } from '../support/job-drafts.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';

/** Batches of two jobs, so that a kill finds some jobs fired and others not. */
const env = {
  CARILLON_ENGINE_LEASE_RENEW_MS: 500,
  CARILLON_ENGINE_INSTANCE_TTL_MS: 2_000,
  CARILLON_ENGINE_FIRE_BATCH_SIZE: 2,
};

type Row = {
  readonly name: string;
  readonly id: number;
  readonly fireMs: number;
  readonly state: string;
  readonly reason: string | null;
  readonly cause: string;
};

describe('a leader that is killed', () => {
  const database = useTestDatabase();
  const callee = useRecordingCallee();
  const instances = useInstances();
  let sql: pg.Client;

  beforeAll(async () => {
    sql = await connectPg(database.url);
  });
  afterAll(() => sql.end());
  afterEach(async () => {
    expect(await auditLedger(database.url)).toEqual([]);
  });

  const ref = (name: string) => ({ ref: { case: 'key', value: { name } } }) as const;

  const startTwo = () => instances.startTwo({ databaseUrl: database.url, env });

  async function ledgerOf(prefix: string): Promise<readonly Row[]> {
    const { rows } = await sql.query<Row>(
      `select j.name, e.id::float8 as id, (extract(epoch from e.fire_at) * 1000)::float8 as "fireMs", e.state, e.reason,
              e.cause
         from carillon.execution e join carillon.job j on j.id = e.job_id
        where starts_with(j.name, $1) order by j.name, e.fire_at, e.id`,
      [prefix],
    );
    return rows;
  }

  const awaitFinished = (prefix: string): Promise<unknown> =>
    awaitThat(
      'no job fires any more',
      async () => {
        const { rowCount } = await sql.query(
          `select 1 from carillon.timer t join carillon.job j on j.id = t.job_id
            where t.next_fire_at is not null and starts_with(j.name, $1)`,
          [prefix],
        );
        return rowCount === 0;
      },
      20_000,
    );

  /** Kills the leader, and waits until the other one leads. */
  async function killLeader(both: readonly InstanceProcess[]): Promise<InstanceProcess> {
    const { leader, followers, term } = await awaitLeader(sql, both);
    leader.kill('SIGKILL');
    await awaitLeader(sql, followers, { afterTerm: term });
    return followers[0]!;
  }

  /** What was delivered is what the ledger says ran, each under one key. */
  function expectDelivered(rows: readonly Row[], hits = callee.hits): void {
    const ran = rows.filter((row) => row.state === 'SUCCEEDED').map((row) => row.id);
    const names = new Set(rows.map((row) => row.name));
    const own = hits.filter((hit) => names.has(hit.job));
    expect(new Set(own.map((hit) => hit.executionId))).toEqual(new Set(ran));
    expect(new Set(own.map((hit) => hit.key)).size).toBe(ran.length);
  }

  it('during a catch-up loses, doubles and adds nothing (I1, I2, I3)', async () => {
    const names = Array.from({ length: 30 }, (_, n) => `catch-${String(n).padStart(2, '0')}`);
    const first = await instances.start({ databaseUrl: database.url, env });
    const span = spanFrom(1_500, 8);
    const misfire = { policy: MisfirePolicy.RUN_ALL, grace: durationFromMs(1_000) };
    for (const name of names) {
      const more = { overlap: OverlapPolicy.BUFFER_ALL, misfire };
      await first.jobs.add({ job: everySecondJob(name, callee.url('/slow?ms=5'), span, more) });
    }
    await callee.awaitHit('the first fire time', (hit) => hit.job === names[0]);
    first.kill('SIGKILL');
    await first.ended;
    await awaitThat('fire times are missed', () => Date.now() > span.startMs + 5_500);
    const both = await startTwo();
    await awaitThat('the catch-up has begun', async () => {
      const { rows } = await sql.query(`select 1 from carillon.execution where cause = 'CATCH_UP' limit 1`);
      return rows.length > 0;
    });
    const { rows: owing } = await sql.query(
      `select 1 from carillon.timer where next_fire_at < clock_timestamp() - interval '1 second'`,
    );
    await killLeader(both);
    console.log(`killed during a catch-up: ${owing.length} of ${names.length} jobs still owed fire times`);
    await awaitFinished('catch-');
    await awaitAllFinal(sql);
    const rows = await ledgerOf('catch-');
    for (const name of names) {
      const own = rows.filter((row) => row.name === name);
      expect(
        own.map((row) => row.fireMs),
        name,
      ).toEqual(owedFireTimes(span, 1_000));
      expect(new Set(own.map((row) => row.state)), name).toEqual(new Set(['SUCCEEDED']));
    }
    expectDelivered(rows);
  });

  it('during a backfill runs the rest of it once, in order, one after the other (I2, I9, I16)', async () => {
    const both = await startTwo();
    const { leader, followers } = await awaitLeader(sql, both);
    await followers[0]!.jobs.add({
      job: manualJob('fill', callee.url('/slow?ms=20'), {
        schedules: [{ kind: { case: 'cron', value: { expression: '0 * * * *' } } }],
      }),
    });
    const startMs = Date.parse('2026-03-01T00:00:00Z');
    const request = {
      job: ref('fill'),
      startTime: timestampFromMs(startMs),
      endTime: timestampFromMs(startMs + 100 * 3_600_000),
      requestId: 'fill once',
    };
    // The reply may be lost with the instance; the same id asks again.
    const lost = leader.jobs.backfill(request).catch(() => undefined);
    await callee.awaitHit(
      'the fifth',
      (hit) => hit.job === 'fill' && hit.fireAtMs >= startMs + 4 * 3_600_000,
    );
    const other = await killLeader(both);
    await lost;
    const again = await other.jobs.backfill(request);
    expect(again).toMatchObject({ replayed: true, executionsCreated: 100n });
    await awaitAllFinal(sql, 30_000);
    const rows = await ledgerOf('fill');
    const hours = Array.from({ length: 100 }, (_, hour) => startMs + hour * 3_600_000);
    const backfilled = rows.filter((row) => row.cause === 'BACKFILL');
    expect(backfilled.map((row) => row.fireMs)).toEqual(hours);
    expect(again.fireTimes.map(timestampMs)).toEqual(hours);
    expectDelivered(rows);
    const firstHits = [
      ...new Map(
        callee
          .of('fill')
          .toReversed()
          .map((hit) => [hit.executionId, hit]),
      ).values(),
    ];
    expect(firstHits.map((hit) => hit.fireAtMs).toSorted((a, b) => a - b)).toEqual(hours);
    await expectOneAtATime('fill');
  });

  it('while CANCEL_OTHER replaces runs leaves one of them, and never two at once (I1, I16)', async () => {
    let running: readonly InstanceProcess[] = await startTwo();
    const span = spanFrom(500, 6);
    const job = everyMsJob('swap', callee.url('/hang'), span, 200);
    await running[0]!.jobs.add({
      job: { ...job, overlap: OverlapPolicy.CANCEL_OTHER, retry: { maxAttempts: 1 } },
    });
    for (const passedMs of [1_500, 3_500]) {
      await awaitThat('runs are replaced', () => Date.now() > span.startMs + passedMs);
      const left = await killLeader(running);
      running = [left, await instances.start({ databaseUrl: database.url, env })];
    }
    await awaitFinished('swap');
    const last = await callee.awaitHit(
      'the last run',
      (hit) => hit.job === 'swap' && hit.fireAtMs === span.endMs,
      20_000,
    );
    await awaitThat('only the last is open', async () => {
      const { rows } = await sql.query<{ id: number }>(
        'select execution_id::float8 as id from carillon.open_execution',
      );
      return rows.length === 1 && rows[0]!.id === last.executionId;
    });
    const rows = await ledgerOf('swap');
    expect(rows.map((row) => row.fireMs)).toEqual(owedFireTimes(span, 200));
    for (const row of rows.slice(0, -1)) {
      // Replaced, or lost with its instance; what was replaced before it began says so too.
      expect(['CANCELED', 'SKIPPED', 'FAILED'], JSON.stringify(row)).toContain(row.state);
      expect(['OVERLAP', 'WORKER_LOST', 'MISFIRE'], JSON.stringify(row)).toContain(row.reason);
    }
    expect(rows.at(-1)).toMatchObject({ state: 'RUNNING', cause: 'SCHEDULE' });
    await running[0]!.executions.cancel({
      executions: { case: 'byIds', value: { executionIds: [BigInt(last.executionId)] } },
    });
    await awaitAllFinal(sql);
    await expectOneAtATime('swap');
  });

  /** No attempt of a job began while an attempt of another execution of it ran. */
  async function expectOneAtATime(name: string): Promise<void> {
    const { rows } = await sql.query(
      `with own as (
         select a.* from carillon.attempt a
           join carillon.execution e on e.id = a.execution_id join carillon.job j on j.id = e.job_id where j.name = $1)
       select a.execution_id, b.execution_id as other, a.started_at, a.finished_at, b.started_at as other_started
         from own a join own b on b.execution_id <> a.execution_id
        where b.started_at > a.started_at and b.started_at < a.finished_at`,
      [name],
    );
    expect(rows).toEqual([]);
  }
});
