/** Callees that answer later: real instances, callees in this process, reports over JSON and over gRPC. */
import { durationFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Execution, ExecutionReason, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import { startSocketCallee } from '../engine/targets/socket/attempt.ts';
import { awaitThat } from '../support/await-that.ts';
import {
  awaitLeader,
  connectPg,
  type InstanceProcess,
  useInstance,
  useInstances,
} from '../support/instance-process.ts';
import { type JobDraft, manualJob } from '../support/job-drafts.ts';
import { auditLedger } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';

/** An instance that is killed is given up soon; one that has no time for a while is not. */
const env = {
  CARILLON_ENGINE_LEASE_RENEW_MS: 200,
  CARILLON_ENGINE_INSTANCE_TTL_MS: 3_000,
  CARILLON_ENGINE_SAFETY_INTERVAL_MS: 200,
};

describe('an attempt that its callee accepts', () => {
  const database = useTestDatabase();
  const callee = useRecordingCallee();
  /** One slot, and little time behind a cancel. */
  const instance = useInstance(() => ({
    databaseUrl: database.url,
    env: { ...env, CARILLON_ENGINE_MAX_RUNNING: 1, CARILLON_ENGINE_CALLEE_CANCEL_GRACE_MS: 2_000 },
  }));
  const instances = useInstances();
  let sql: pg.Client;
  let names = 0;

  beforeAll(async () => {
    sql = await connectPg(database.url);
  });
  afterAll(() => sql.end());
  afterEach(async () => {
    expect(await auditLedger(database.url)).toEqual([]);
  });

  const start = (more: Readonly<Record<string, string | number>> = {}): Promise<InstanceProcess> =>
    instances.start({ databaseUrl: database.url, env: { ...env, ...more } });

  /** Adds a job whose callee behaves as the path says, and triggers it. */
  async function trigger(carillon: InstanceProcess, path: string, more: JobDraft = {}): Promise<bigint> {
    const name = `job-${names++}`;
    await carillon.jobs.add({ job: manualJob(name, callee.url(path), more) });
    const { execution } = await carillon.jobs.trigger({ job: { ref: { case: 'key', value: { name } } } });
    return execution!.id;
  }

  const hitOf = (executionId: bigint, attempt = 1) =>
    callee.awaitHit(
      `attempt ${attempt} of ${executionId}`,
      (hit) => hit.executionId === Number(executionId) && hit.attempt === attempt,
    );

  const get = async (carillon: InstanceProcess, executionId: bigint): Promise<Execution> =>
    (await carillon.executions.get({ executionId })).execution!;

  const awaitFinal = (carillon: InstanceProcess, executionId: bigint): Promise<Execution> =>
    awaitThat('it is over', async () => {
      const execution = await get(carillon, executionId);
      return execution.finishTime ? execution : undefined;
    });

  /** Waits until its callee has the attempt; returns its token. */
  async function awaitHandOver(executionId: bigint, attempt = 1): Promise<string> {
    const { token } = await hitOf(executionId, attempt);
    await awaitThat('it is handed over', async () => {
      const { rows } = await sql.query(
        'select 1 from carillon.open_execution where execution_id = $1 and attempt = $2 and instance_id = 0',
        [executionId, attempt],
      );
      return rows.length > 0;
    });
    return token;
  }

  async function reasonOf(call: Promise<unknown>): Promise<readonly [Code, string | undefined]> {
    const error = ConnectError.from(
      await call.then(
        () => expect.unreachable(),
        (thrown: unknown) => thrown,
      ),
    );
    return [error.code, error.findDetails(ErrorInfoSchema)[0]?.reason];
  }

  /** Calls AttemptService as anything that speaks HTTP does. */
  async function post(carillon: InstanceProcess, method: string, body: object): Promise<object> {
    const answer = await fetch(`${carillon.http}/carillon.v1.AttemptService/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    return (await answer.json()) as object;
  }

  it('is RUNNING and takes no slot until the callee reports, over JSON', async () => {
    const carillon = instance();
    const ids: bigint[] = [];
    for (let n = 0; n < 3; n++) ids.push(await trigger(carillon, '/accept'));
    for (const [n, id] of ids.entries()) {
      const attempt_token = await awaitHandOver(id);
      expect(await get(carillon, id)).toMatchObject({
        state: ExecutionState.RUNNING,
        attempts: [{ attempt: 1, outcome: ExecutionState.RUNNING, instanceId: '' }],
      });
      const entries = [{ message: 'half done', level: 'LOG_LEVEL_WARN', data: { part: 0.5 } }];
      expect(await post(carillon, 'AppendLogs', { attempt_token, entries, offset: 0 })).toEqual({
        stored: 1,
        nextOffset: '1',
      });
      expect(await post(carillon, 'Heartbeat', { attempt_token })).toMatchObject({
        reportByTime: expect.any(String),
      });
      const end = { attempt_token, state: 'EXECUTION_STATE_SUCCEEDED', result: { rows: n } };
      expect(await post(carillon, 'Complete', end)).toEqual({});
      expect(await post(carillon, 'Complete', end)).toEqual({ alreadyEnded: true });
      expect(await get(carillon, id)).toMatchObject({ state: ExecutionState.SUCCEEDED, result: { rows: n } });
      const { entries: lines } = await carillon.executions.listLogs({ executionId: id });
      expect(lines).toMatchObject([{ seq: 1n, message: 'half done', data: { part: 0.5 }, attempt: 1 }]);
    }
    expect(carillon.log).not.toContain('cat_');
  });

  it('is followed by another one when its callee reports a failure, over gRPC', async () => {
    const carillon = instance();
    const id = await trigger(carillon, '/accept');
    const first = await awaitHandOver(id);
    await carillon.attempts.complete({ attemptToken: first, state: ExecutionState.FAILED, message: 'full' });
    const second = await awaitHandOver(id, 2);
    expect(second).not.toBe(first);
    const late = carillon.attempts.complete({ attemptToken: first, state: ExecutionState.SUCCEEDED });
    expect(await reasonOf(late)).toEqual([Code.FailedPrecondition, 'ATTEMPT_ENDED']);
    await carillon.attempts.complete({ attemptToken: second, state: ExecutionState.SUCCEEDED });
    const { state, attempts } = await get(carillon, id);
    expect(state).toBe(ExecutionState.SUCCEEDED);
    expect(attempts.map(({ outcome, message }) => [outcome, message])).toEqual([
      [ExecutionState.FAILED, 'full'],
      [ExecutionState.SUCCEEDED, ''],
    ]);
  });

  it('may be a line over TCP', async () => {
    const carillon = instance();
    const socketCallee = await startSocketCallee((socket) => socket.write('queued\n{"accepted":true}\n'));
    const value = { host: '127.0.0.1', port: socketCallee.port };
    const id = await trigger(carillon, '', { target: { kind: { case: 'socket', value } } });
    await awaitThat('the callee is called', () => socketCallee.received.length === 1);
    const { attempt_token: attemptToken } = JSON.parse(socketCallee.received[0]!) as {
      attempt_token: string;
    };
    await carillon.attempts.appendLogs({ attemptToken, entries: [{ message: 'done' }] });
    await carillon.attempts.complete({ attemptToken, state: ExecutionState.SUCCEEDED });
    const { entries } = await carillon.executions.listLogs({ executionId: id });
    expect(entries.map(({ seq, message }) => [seq, message])).toEqual([
      [1n, 'queued'],
      [2n, 'done'],
    ]);
    expect(await get(carillon, id)).toMatchObject({ state: ExecutionState.SUCCEEDED });
  });

  it('is over when its time is, and a report behind that is refused (I12)', async () => {
    const carillon = instance();
    const attemptTimeout = durationFromMs(2_000);
    const id = await trigger(carillon, '/accept', { attemptTimeout, retry: { maxAttempts: 1 } });
    const attemptToken = await awaitHandOver(id);
    const { reportByTime } = await carillon.attempts.heartbeat({ attemptToken });
    const execution = await awaitFinal(carillon, id);
    expect(execution).toMatchObject({
      state: ExecutionState.FAILED,
      reason: ExecutionReason.ATTEMPT_TIMEOUT,
      message: 'the attempt took longer than 2000 ms',
    });
    expect(timestampMs(execution.finishTime!)).toBeGreaterThanOrEqual(timestampMs(reportByTime!));
    const late = carillon.attempts.complete({ attemptToken, state: ExecutionState.SUCCEEDED });
    expect(await reasonOf(late)).toEqual([Code.FailedPrecondition, 'ATTEMPT_ENDED']);
  });

  it('is over when its callee is silent for too long', async () => {
    const carillon = instance();
    const url = callee.url('/accept');
    const value = { url, heartbeatTimeout: durationFromMs(1_000) };
    const target = { kind: { case: 'http', value } } as const;
    const id = await trigger(carillon, '/accept', { target, retry: { maxAttempts: 1 } });
    expect(await awaitFinal(carillon, id)).toMatchObject({
      state: ExecutionState.FAILED,
      reason: ExecutionReason.HEARTBEAT_TIMEOUT,
    });
  });

  it('hears of a cancel by a heartbeat, and ends CANCELED by its report or without one', async () => {
    const carillon = instance();
    const ids = [await trigger(carillon, '/accept'), await trigger(carillon, '/accept')] as const;
    const [attemptToken] = [await awaitHandOver(ids[0]), await awaitHandOver(ids[1])];
    expect(await carillon.attempts.heartbeat({ attemptToken })).toMatchObject({ cancelRequested: false });
    await carillon.executions.cancel({
      executions: { case: 'byIds', value: { executionIds: [...ids] } },
      reason: 'not needed',
    });
    expect(await carillon.attempts.heartbeat({ attemptToken })).toMatchObject({ cancelRequested: true });
    await carillon.attempts.complete({ attemptToken, state: ExecutionState.CANCELED });
    for (const id of ids) {
      expect(await awaitFinal(carillon, id)).toMatchObject({
        state: ExecutionState.CANCELED,
        reason: ExecutionReason.CANCEL_REQUESTED,
        message: 'not needed',
      });
    }
  });

  it('may be reported on before the 202 is there: the report stands (I16)', async () => {
    const carillon = instance();
    const id = await trigger(carillon, '/accept-held');
    const { token: attemptToken } = await hitOf(id);
    expect(await carillon.attempts.heartbeat({ attemptToken })).toMatchObject({ cancelRequested: false });
    await carillon.attempts.complete({ attemptToken, state: ExecutionState.SUCCEEDED });
    // There is one slot: what runs in it next begins when the 202 has been read and all of it is over.
    const next = await trigger(carillon, '/ok');
    expect(callee.hits.some((hit) => hit.executionId === Number(next))).toBe(false);
    callee.release();
    await awaitFinal(carillon, next);
    expect(await get(carillon, id)).toMatchObject({
      state: ExecutionState.SUCCEEDED,
      attempts: [{ attempt: 1, outcome: ExecutionState.SUCCEEDED }],
    });
    expect(callee.hits.filter((hit) => hit.executionId === Number(id))).toHaveLength(1);
  });

  it('is nobody’s whose token is not one', async () => {
    const carillon = instance();
    for (const attemptToken of ['', 'x', `cat_${'A'.repeat(60)}`]) {
      const call = carillon.attempts.complete({ attemptToken, state: ExecutionState.SUCCEEDED });
      expect(await reasonOf(call)).toEqual([Code.Unauthenticated, 'UNAUTHENTICATED']);
    }
  });

  // The last two: behind the first of them the instance of the others is gone.
  it('is rescued when its instance is killed before it could hand it over (F5)', async () => {
    const carillon = instance();
    await awaitLeader(sql, [carillon]);
    const id = await trigger(carillon, '/accept-held');
    const { token: attemptToken } = await hitOf(id);
    const watch = await connectPg(database.url);
    try {
      // The hand-over waits for this row until its session is gone.
      await sql.query('begin');
      await sql.query('select 1 from carillon.open_execution where execution_id = $1 for update', [id]);
      callee.release();
      const pid = await awaitThat('the hand-over waits for the row', async () => {
        const { rows } = await watch.query<{ pid: number }>(
          `select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '/* hand_over */%'
              and datname = current_database()`,
        );
        return rows[0]?.pid;
      });
      carillon.kill('SIGKILL');
      await carillon.ended;
      await watch.query('select pg_terminate_backend($1)', [pid]);
    } finally {
      await sql.query('rollback');
      await watch.end();
    }
    const other = await start();
    const second = await hitOf(id, 2);
    const late = other.attempts.complete({ attemptToken, state: ExecutionState.SUCCEEDED });
    expect(await reasonOf(late)).toEqual([Code.FailedPrecondition, 'ATTEMPT_ENDED']);
    callee.release();
    await other.attempts.complete({ attemptToken: second.token, state: ExecutionState.SUCCEEDED });
    expect((await get(other, id)).attempts).toMatchObject([
      { outcome: ExecutionState.FAILED, reason: ExecutionReason.WORKER_LOST },
      { outcome: ExecutionState.SUCCEEDED },
    ]);
  });

  it('outlives the instance that delivered it, killed or stopped; another one takes the report (F5, I12)', async () => {
    const other = await start({ CARILLON_ROLES: 'api,scheduler' });
    await awaitLeader(sql, [other]);
    const ids: bigint[] = [];
    const tokens: string[] = [];
    const deliver = async (): Promise<void> => {
      for (let n = 0; n < 3; n++) ids.push(await trigger(other, '/accept'));
      for (const id of ids.slice(-3)) tokens.push(await awaitHandOver(id));
    };
    const killed = await start({ CARILLON_ROLES: 'api,dispatcher' });
    await deliver();
    killed.kill('SIGKILL');
    await killed.ended;
    const stopped = await start({ CARILLON_ROLES: 'api,dispatcher' });
    await deliver();
    expect(await stopped.stop()).toEqual({ code: 0, signal: null });
    await awaitThat('the killed instance was given up', async () => {
      const { rows } = await sql.query<{ name: string }>('select name from carillon.instance');
      return rows.every(({ name }) => name === other.name);
    });
    for (const [n, id] of ids.entries()) {
      expect(await get(other, id)).toMatchObject({ state: ExecutionState.RUNNING, attempt: 1 });
      await other.attempts.complete({ attemptToken: tokens[n], state: ExecutionState.SUCCEEDED });
      expect(await get(other, id)).toMatchObject({
        state: ExecutionState.SUCCEEDED,
        attempts: [{ attempt: 1 }],
      });
    }
    expect(callee.hits.filter((hit) => ids.includes(BigInt(hit.executionId)))).toHaveLength(6);
  });
});
