/** F1, F2: the leader is killed in the middle of firing, or stopped until its lease is over. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { awaitLeader, connectPg, type InstanceProcess, useInstances } from '../support/instance-process.ts';
import {
  everyMsJob,
  everySecondJob,
  type JobDraft,
  manualJob,
  owedFireTimes,
  type Span,
  spanFrom,
} from '../support/job-drafts.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';

/** Attempts of an instance that is gone are given to the other one soon. */
const env = { CARILLON_ENGINE_LEASE_RENEW_MS: 500, CARILLON_ENGINE_INSTANCE_TTL_MS: 3_000 };

/** A lease that nobody waits for the end of where a leader that is killed is replaced at once. */
const longLeaseMs = 20_000;

/** Attempts at once of an instance that was stopped and of the other. */
const maxRunning = 8;

describe('a leader', () => {
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

  /** Adds jobs that fire in a span, with the distance of their fire times. */
  async function addJobs(
    instance: InstanceProcess,
    prefix: string,
    span: Span,
  ): Promise<Map<string, number>> {
    const ok = callee.url('/ok');
    const drafts: [JobDraft, number][] = [
      [everySecondJob(`${prefix}-a`, ok, span), 1_000],
      [everySecondJob(`${prefix}-b`, ok, span), 1_000],
      [everySecondJob(`${prefix}-c`, callee.url('/slow?ms=300'), span), 1_000],
      [everySecondJob(`${prefix}-skip`, ok, span, { overlap: OverlapPolicy.SKIP }), 1_000],
      [everyMsJob(`${prefix}-often`, ok, span, 100), 100],
    ];
    await Promise.all(drafts.map(([job]) => instance.jobs.add({ job })));
    return new Map(drafts.map(([job, everyMs]) => [job.key!.name!, everyMs]));
  }

  /** Compares ledger and hits of each job with the fire times that it owes. */
  async function expectOwed(everyMsByJob: ReadonlyMap<string, number>, span: Span): Promise<void> {
    for (const [name, everyMs] of everyMsByJob) {
      const { rows } = await sql.query<{ id: string; fire_ms: number; state: string; cause: string }>(
        `select e.id, (extract(epoch from e.fire_at) * 1000)::float8 as fire_ms, e.state, e.cause
           from carillon.execution e join carillon.job j on j.id = e.job_id where j.name = $1 order by e.fire_at`,
        [name],
      );
      const owed = owedFireTimes(span, everyMs);
      // I1, I2, I3: each owed fire time once, and no other.
      expect(
        rows.map((row) => row.fire_ms),
        name,
      ).toEqual(owed);
      const hits = callee.of(name);
      for (const row of rows) {
        const own = hits.filter((hit) => hit.executionId === Number(row.id));
        if (row.state === 'SKIPPED') {
          expect(own, `${name}: a skipped fire time is not delivered`).toEqual([]);
          continue;
        }
        // I9, I10, I11: delivered, under one key, each attempt number once, not before its time (I14).
        expect(row.state, name).toBe('SUCCEEDED');
        expect(own.length, `${name} at ${new Date(row.fire_ms).toISOString()} is delivered`).toBeGreaterThan(
          0,
        );
        expect(new Set(own.map((hit) => hit.key)).size).toBe(1);
        expect(new Set(own.map((hit) => hit.attempt)).size).toBe(own.length);
        expect(own.every((hit) => hit.fireAtMs === row.fire_ms && hit.arrivedAtMs >= row.fire_ms)).toBe(true);
      }
      expect(new Set(hits.map((hit) => hit.key)).size).toBe(
        rows.filter((row) => row.state !== 'SKIPPED').length,
      );
    }
  }

  /** The longest time without a firing transaction of a job that fires every 100 ms. */
  async function findGapMs(name: string): Promise<number> {
    const { rows } = await sql.query<{ gap: number }>(
      `select max(gap)::float8 as gap from (
         select extract(epoch from e.created_at - lag(e.created_at) over (order by e.created_at)) * 1000 as gap
           from carillon.execution e join carillon.job j on j.id = e.job_id where j.name = $1) g`,
      [name],
    );
    return rows[0]!.gap;
  }

  /** Waits until a job has fired at or behind an instant. */
  const awaitFiredAt = (name: string, atMs: number): Promise<unknown> =>
    callee.awaitHit(`${name} fires`, (hit) => hit.job === name && hit.fireAtMs >= atMs);

  it('that is killed while jobs fire is replaced long before its lease ends, and each fire time has one row and is delivered (F1, I1, I2, I9, I10)', async () => {
    const both = await instances.startTwo({
      databaseUrl: database.url,
      env: { ...env, CARILLON_ENGINE_LEASE_TTL_MS: longLeaseMs },
    });
    const { leader, followers, term } = await awaitLeader(sql, both);
    const span = spanFrom(1_500, 5);
    const jobs = await addJobs(followers[0]!, 'killed', span);
    await awaitFiredAt('killed-often', span.startMs + 2_000);
    const killedAtMs = performance.now();
    leader.kill('SIGKILL');
    await awaitLeader(sql, followers, { afterTerm: term, limitMs: longLeaseMs / 2 });
    const takenOverMs = performance.now() - killedAtMs;
    await awaitFiredAt('killed-often', span.endMs);
    await awaitThat('no job fires any more', async () => {
      const { rows } = await sql.query('select 1 from carillon.timer where next_fire_at is not null');
      return rows.length === 0;
    });
    await awaitAllFinal(sql);
    await expectOwed(jobs, span);
    const gapMs = await findGapMs('killed-often');
    console.log(
      `killed leader: next term after ${takenOverMs.toFixed()} ms, firing paused for ${gapMs.toFixed()} ms`,
    );
    expect(gapMs).toBeLessThan(longLeaseMs / 2);
  });

  it('that is stopped beyond its lease is replaced, writes nothing under its old term when it wakes, and goes on as a follower that runs attempts (F2, I7, I8)', async () => {
    const both = await instances.startTwo({
      databaseUrl: database.url,
      env: { ...env, CARILLON_ENGINE_MAX_RUNNING: maxRunning },
    });
    const { leader: zombie, followers, term } = await awaitLeader(sql, both);
    const other = followers[0]!;
    const span = spanFrom(1_500, 8);
    const jobs = await addJobs(other, 'stopped', span);
    await awaitFiredAt('stopped-often', span.startMs + 1_000);
    zombie.kill('SIGSTOP');
    const stoppedAtMs = performance.now();
    const next = await awaitLeader(sql, [other], { afterTerm: term });
    const takenOverMs = performance.now() - stoppedAtMs;
    expect(takenOverMs).toBeLessThan(7_000);
    const { rows } = await sql.query<{ now: Date }>('select clock_timestamp() as now');
    await awaitFiredAt('stopped-often', span.startMs + 1_000 + Math.ceil(takenOverMs / 100) * 100);
    zombie.kill('SIGCONT');
    await awaitFiredAt('stopped-often', span.endMs);
    await awaitAllFinal(sql);
    await expectOwed(jobs, span);
    const late = await sql.query(
      `select id from carillon.execution where term = $1 and created_at > $2 and cause in ('SCHEDULE', 'CATCH_UP')`,
      [term, rows[0]!.now],
    );
    expect(late.rows).toEqual([]);
    const { rows: lease } = await sql.query<{ term: string }>('select term from carillon.leader_lease');
    expect(Number(lease[0]!.term)).toBe(next.term);
    // More than one instance has slots for: all of them run at once only when both take their part.
    await other.jobs.add({ job: manualJob('both', callee.url('/held')) });
    for (let n = 0; n < maxRunning + 2; n++) {
      await other.jobs.trigger({ job: { ref: { case: 'key', value: { name: 'both' } } } });
    }
    await awaitThat('both run attempts', () => callee.of('both').length === maxRunning + 2);
    callee.release();
    await awaitAllFinal(sql);
    const gapMs = await findGapMs('stopped-often');
    console.log(
      `stopped leader: next term after ${takenOverMs.toFixed()} ms, firing paused for ${gapMs.toFixed()} ms`,
    );
    // A follower that waits for its turn is not in trouble.
    expect(other.log.slice(0, other.log.indexOf('"msg":"leader"'))).not.toContain('"level":"warn"');
    // It leads again when its turn comes.
    await other.stop();
    const again = await awaitLeader(sql, [zombie], { afterTerm: next.term });
    expect(again.term).toBeGreaterThan(next.term);
  });
});
