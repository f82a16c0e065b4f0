/** What two instances on one database do for each other, and how one leaves in order. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Execution, ExecutionReason, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { awaitLeader, connectPg, type InstanceProcess, useInstances } from '../support/instance-process.ts';
import { everyMsJob, manualJob, owedFireTimes, spanFrom } from '../support/job-drafts.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';
import { StreamFollower } from '../support/stream-follower.ts';

/** Leases that nobody waits for the end of: leadership is handed over, or changes hands with a session that is gone. */
const env = {
  CARILLON_ENGINE_LEASE_RENEW_MS: 500,
  CARILLON_ENGINE_LEASE_TTL_MS: 20_000,
  CARILLON_ENGINE_INSTANCE_TTL_MS: 20_000,
};

/** For one that is to be lost, and the one that gives its attempts to others so much later. */
const shortLived = { CARILLON_ENGINE_INSTANCE_TTL_MS: 2_500 };

/** An instance that only answers calls: nothing that it is asked for runs in it. */
const apiOnly = { ...env, CARILLON_ROLES: 'api' };

describe('two instances', () => {
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

  const start = (more: Readonly<Record<string, string | number>> = {}): Promise<InstanceProcess> =>
    instances.start({ databaseUrl: database.url, env: { ...env, ...more } });

  const startApi = (): Promise<InstanceProcess> =>
    instances.start({ databaseUrl: database.url, env: apiOnly });

  /** Adds a manual job through an instance and triggers it there. */
  async function trigger(instance: InstanceProcess, name: string, path: string): Promise<bigint> {
    await instance.jobs.add({ job: manualJob(name, callee.url(path)) });
    const { execution } = await instance.jobs.trigger({ job: { ref: { case: 'key', value: { name } } } });
    return execution!.id;
  }

  const awaitFinal = (instance: InstanceProcess, executionId: bigint, limitMs?: number): Promise<Execution> =>
    awaitThat(
      `execution ${executionId} is final`,
      async () => {
        const { execution } = await instance.executions.get({ executionId });
        return execution?.finishTime ? execution : undefined;
      },
      limitMs,
    );

  it('run the attempts of one that was killed: after its lease, as attempt 2 under the same key, and the execution succeeds (F5, I10, I12)', async () => {
    const runner = await start(shortLived);
    await awaitLeader(sql, [runner]);
    const ids: bigint[] = [];
    for (let n = 1; n <= 5; n++) ids.push(await trigger(runner, `lost-${n}`, '/held'));
    await awaitThat(
      'all five run',
      () => callee.hits.filter((hit) => hit.job.startsWith('lost-')).length === 5,
    );
    const other = await start(shortLived);
    runner.kill('SIGKILL');
    const killedAtMs = Date.now();
    await awaitThat('all five run again', () => callee.hits.filter((hit) => hit.attempt === 2).length === 5);
    const againMs = Date.now() - killedAtMs;
    callee.release();
    for (const id of ids) {
      const execution = await awaitFinal(other, id);
      expect(execution.state).toBe(ExecutionState.SUCCEEDED);
      expect(
        execution.attempts.map(({ attempt, outcome, reason }) => ({ attempt, outcome, reason })),
      ).toEqual([
        { attempt: 1, outcome: ExecutionState.FAILED, reason: ExecutionReason.WORKER_LOST },
        { attempt: 2, outcome: ExecutionState.SUCCEEDED, reason: ExecutionReason.UNSPECIFIED },
      ]);
      const hits = callee.hits.filter((hit) => hit.executionId === Number(id));
      expect(hits.map((hit) => hit.attempt)).toEqual([1, 2]);
      expect(new Set(hits.map((hit) => hit.key)).size).toBe(1);
    }
    console.log(`attempts of a killed instance began again after ${againMs} ms (its lease is 2500 ms)`);
  });

  it('cancel for each other: a cancel through B aborts the request of A at the callee and ends CANCELED', async () => {
    const runner = await start();
    const api = await startApi();
    const executionId = await trigger(api, 'canceled', '/hang');
    const hit = await callee.awaitHit('the run', ({ job }) => job === 'canceled');
    const reply = await api.executions.cancel({
      executions: { case: 'byIds', value: { executionIds: [executionId] } },
      reason: 'not needed any more',
    });
    expect(reply.canceled).toEqual([executionId]);
    const execution = await awaitFinal(api, executionId);
    expect(execution.state).toBe(ExecutionState.CANCELED);
    expect(execution.reason).toBe(ExecutionReason.CANCEL_REQUESTED);
    expect(execution.message).toBe('not needed any more');
    await awaitThat('the callee saw its connection closed', () => hit.abortedAtMs !== undefined);
    expect(callee.of('canceled')).toHaveLength(1);
    expect(runner.log).not.toContain('"level":"error"');
  });

  it('show each other’s lines live: a job stream on B shows what A runs, before it is over (I19)', async () => {
    const runner = await start();
    const api = await instances.start({
      databaseUrl: database.url,
      env: { ...apiOnly, CARILLON_STREAM_HEARTBEAT_MS: 100 },
    });
    await api.jobs.add({ job: manualJob('live', callee.url('/lines-held?count=20&ms=5')) });
    const job = { ref: { case: 'key', value: { name: 'live' } } } as const;
    const follower = new StreamFollower({ source: { case: 'job', value: job } });
    const following = follower.follow(api, () => follower.finished().length === 2);
    // The stream is there before anything runs: what it shows of both is live.
    await awaitThat('the stream has begun', () => follower.received > 0);
    for (let n = 1; n <= 2; n++) {
      await runner.jobs.trigger({ job });
    }
    const linesOf = (executionId: number) =>
      follower.shown.filter((item) => item.kind === 'line' && item.executionId === executionId);
    await awaitThat('lines of both are shown', () => {
      const hits = callee.of('live');
      return hits.length === 2 && hits.every((hit) => linesOf(hit.executionId).length > 0);
    });
    const hits = callee.of('live');
    expect(hits.filter((hit) => hit.answeredAtMs !== undefined)).toEqual([]);
    callee.release();
    await following;
    expect(callee.of('live')).toHaveLength(2);
    for (const hit of hits) {
      expect(linesOf(hit.executionId).map((line) => line.kind === 'line' && line.message)).toEqual(
        Array.from({ length: 20 }, (_, i) => `line ${i + 1}`),
      );
      const states = follower.shown.filter(
        (item) => item.kind === 'state' && item.executionId === hit.executionId,
      );
      expect(states.map((item) => item.kind === 'state' && item.state)).toEqual([
        ExecutionState.PENDING,
        ExecutionState.RUNNING,
        ExecutionState.SUCCEEDED,
      ]);
    }
  });

  it('an instance that is asked to stop lets a short attempt end, stores its result, hands leadership over and exits with 0 (F31)', async () => {
    const leaving = await start();
    const { term } = await awaitLeader(sql, [leaving]);
    // Before there is another instance, which could take it.
    const executionId = await trigger(leaving, 'short', '/held');
    await callee.awaitHit('the run', ({ job }) => job === 'short');
    const other = await start();
    const api = await startApi();
    const span = spanFrom(1_000, 2);
    await api.jobs.add({ job: everyMsJob('handover', callee.url('/ok'), span, 50) });
    await callee.awaitHit('a fire time', ({ job }) => job === 'handover');
    leaving.kill('SIGTERM');
    callee.release();
    await awaitLeader(sql, [other], { afterTerm: term });
    expect(await leaving.ended).toEqual({ code: 0, signal: null });
    const { execution } = await api.executions.get({ executionId });
    expect(execution!.state).toBe(ExecutionState.SUCCEEDED);
    expect(execution!.attempt).toBe(1);
    const { rows } = await sql.query('select name from carillon.instance where name = $1', [leaving.name]);
    expect(rows).toEqual([]);
    await callee.awaitHit(
      'the last fire time',
      (hit) => hit.job === 'handover' && hit.fireAtMs === span.endMs,
    );
    await awaitAllFinal(sql);
    const { rows: fires } = await sql.query<{
      fire_ms: number;
      gap_ms: number;
      attempt: number;
      term: string;
    }>(
      `select (extract(epoch from e.fire_at) * 1000)::float8 as fire_ms, e.attempt, e.term,
              (extract(epoch from e.created_at - lag(e.created_at) over (order by e.created_at)) * 1000)::float8 as gap_ms
         from carillon.execution e join carillon.job j on j.id = e.job_id where j.name = 'handover' order by e.fire_at`,
    );
    expect(fires.map((fire) => fire.fire_ms)).toEqual(owedFireTimes(span, 50));
    // Nothing is given back on the way: the one that leaves ends what it began.
    expect(new Set(fires.map((fire) => fire.attempt))).toEqual(new Set([1]));
    expect(new Set(fires.map((fire) => fire.term)).size).toBe(2);
    const gapMs = Math.max(...fires.map((fire) => fire.gap_ms ?? 0));
    console.log(`graceful stop: firing paused for ${gapMs.toFixed()} ms`);
    // Half of the lease: nobody has waited for its end.
    expect(gapMs).toBeLessThan(10_000);
  });

  it('an attempt that outlasts the grace is given back and run by the other at once, as attempt 2 (F31)', async () => {
    const leaving = await start({ CARILLON_ENGINE_SHUTDOWN_GRACE_MS: 300 });
    await awaitLeader(sql, [leaving]);
    const executionId = await trigger(leaving, 'long', '/held');
    const hit = await callee.awaitHit('the run', ({ job }) => job === 'long');
    const other = await start();
    leaving.kill('SIGTERM');
    expect(await leaving.ended).toEqual({ code: 0, signal: null });
    await callee.awaitHit('the second attempt', ({ job, attempt }) => job === 'long' && attempt === 2);
    await awaitThat('the first request was aborted', () => hit.abortedAtMs !== undefined);
    callee.release();
    const execution = await awaitFinal(other, executionId);
    expect(execution.state).toBe(ExecutionState.SUCCEEDED);
    expect(execution.attempts.map(({ reason }) => reason)).toEqual([
      ExecutionReason.WORKER_LOST,
      ExecutionReason.UNSPECIFIED,
    ]);
    await awaitAllFinal(sql);
  });

  it('a second SIGTERM ends an instance at once; its attempt goes to the other after the lease (F31)', async () => {
    const leaving = await start({ ...shortLived, CARILLON_ENGINE_SHUTDOWN_GRACE_MS: 60_000 });
    await awaitLeader(sql, [leaving]);
    const executionId = await trigger(leaving, 'impatient', '/held');
    await callee.awaitHit('the run', ({ job }) => job === 'impatient');
    const other = await start(shortLived);
    leaving.kill('SIGTERM');
    await awaitThat('it waits for the attempt', () => leaving.log.includes('waiting for attempts to end'));
    leaving.kill('SIGTERM');
    expect(await leaving.ended).toEqual({ code: 1, signal: null });
    await callee.awaitHit('the second attempt', ({ job, attempt }) => job === 'impatient' && attempt === 2);
    callee.release();
    expect((await awaitFinal(other, executionId)).state).toBe(ExecutionState.SUCCEEDED);
  });
});
