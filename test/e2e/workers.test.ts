/** Workers as users run them: the library in this process, instances in theirs, a proxy where a link is to break. */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Execution, ExecutionReason, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import type { AttemptContext, WorkerOptions } from '../../src/worker/index.ts';
import { Worker } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { connectPg, type InstanceProcess, useInstance, useInstances } from '../support/instance-process.ts';
import type { JobDraft } from '../support/job-drafts.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

/** Graces that nothing here uses up. The state of workers is noted with each heartbeat. */
const env = {
  CARILLON_ENGINE_INSTANCE_TTL_MS: 15_000,
  CARILLON_WORKER_RECONNECT_GRACE_MS: 15_000,
  CARILLON_WORKER_CANCEL_GRACE_MS: 15_000,
  CARILLON_WORKER_HEARTBEAT_MS: 1_000,
};

describe('workers', () => {
  const database = useTestDatabase();
  const instance = useInstance(() => ({ databaseUrl: database.url, env }));
  const instances = useInstances();
  const running: Worker[] = [];
  const proxies: TcpProxy[] = [];
  let sql: pg.Client;
  let names = 0;

  beforeAll(async () => {
    sql = await connectPg(database.url);
  });
  afterAll(() => sql.end());
  afterEach(async () => {
    await Promise.all(running.splice(0).map((worker) => worker.stop()));
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
    expect(await auditLedger(database.url)).toEqual([]);
  });

  async function work(options: Omit<WorkerOptions, 'queue'> & { readonly queue: string }): Promise<Worker> {
    const worker = new Worker({ graceMs: 500, ...options });
    running.push(worker);
    await worker.start();
    return worker;
  }

  /** A queue of its own, and a job that waits in it. */
  async function addJob(instance: InstanceProcess, labels: Record<string, string> = {}, more: JobDraft = {}) {
    const name = `queue-${names++}`;
    await instance.jobs.add({
      job: {
        key: { name },
        target: { kind: { case: 'worker', value: { queue: name, labels } } },
        overlap: OverlapPolicy.ALLOW,
        retry: { maxAttempts: 3, initialBackoff: durationFromMs(50), maxBackoff: durationFromMs(50) },
        ...more,
      },
    });
    return name;
  }

  async function trigger(instance: InstanceProcess, name: string, more: object = {}): Promise<bigint> {
    const { execution } = await instance.jobs.trigger({
      job: { ref: { case: 'key', value: { name } } },
      ...more,
    });
    return execution!.id;
  }

  const get = async (instance: InstanceProcess, executionId: bigint): Promise<Execution> =>
    (await instance.executions.get({ executionId })).execution!;

  const awaitFinal = (instance: InstanceProcess, id: bigint, limitMs?: number): Promise<Execution> =>
    awaitThat(
      `execution ${id} is final`,
      async () => {
        const execution = await get(instance, id);
        return execution.finishTime ? execution : undefined;
      },
      limitMs,
    );

  /** A handler that holds every attempt until it is let go. */
  function holding() {
    const seen: AttemptContext[] = [];
    const gate = Promise.withResolvers<void>();
    const handler = async (context: AttemptContext) => {
      seen.push(context);
      await gate.promise;
      return { attempt: context.attempt };
    };
    return { seen, handler, release: () => gate.resolve() };
  }

  it('run what waits in their queue, with parameters, lines and a result; the ledger names them', async () => {
    const carillon = instance();
    const name = await addJob(carillon, {}, { parameters: { text: 'hello' } });
    await work({
      address: carillon.grpc,
      queue: name,
      workerId: 'one',
      handler: ({ parameters, log }) => {
        log.info('working', { on: parameters.text });
        return { said: parameters.text };
      },
    });
    const ids = await Promise.all(Array.from({ length: 20 }, () => trigger(carillon, name)));
    for (const id of ids) {
      const execution = await awaitFinal(carillon, id);
      expect(execution).toMatchObject({ state: ExecutionState.SUCCEEDED, workerId: 'one', attempt: 1 });
      expect(execution.result).toEqual({ said: 'hello' });
      expect(execution.attempts[0]!.workerId).toBe('one');
    }
    const { entries } = await carillon.executions.listLogs({ executionId: ids[0]! });
    expect(entries.map(({ message, data }) => [message, data])).toEqual([['working', { on: 'hello' }]]);
  });

  it('never get more than they announced, and the free ones get more', async () => {
    const carillon = instance();
    const name = await addJob(carillon);
    const most = new Map<string, number>();
    const gate = Promise.withResolvers<void>();
    const counting = (workerId: string) => {
      let now = 0;
      return async () => {
        most.set(workerId, Math.max(most.get(workerId) ?? 0, ++now));
        await gate.promise;
        await new Promise((resolve) => setTimeout(resolve, 5));
        now--;
      };
    };
    await work({
      address: carillon.grpc,
      queue: name,
      workerId: 'small',
      capacity: 2,
      handler: counting('small'),
    });
    await work({
      address: carillon.grpc,
      queue: name,
      workerId: 'large',
      capacity: 8,
      handler: counting('large'),
    });
    const ids = await Promise.all(Array.from({ length: 300 }, () => trigger(carillon, name)));
    // Both have all that they can take before any place is free again.
    await awaitThat('every place is taken', () => most.get('small') === 2 && most.get('large') === 8);
    gate.resolve();
    await awaitAllFinal(sql);
    const { rows } = await sql.query<{ workerId: string }>(
      'select worker_id as "workerId" from carillon.execution where id = any ($1::bigint[])',
      [ids],
    );
    const ran = Map.groupBy(rows, ({ workerId }) => workerId);
    expect(most).toEqual(
      new Map([
        ['small', 2],
        ['large', 8],
      ]),
    );
    expect(ran.get('large')!.length).toBeGreaterThan(ran.get('small')!.length);
  });

  it('are chosen by id and by labels; what nobody may take waits, says why, and ends with its queue_timeout', async () => {
    const carillon = instance();
    const name = await addJob(carillon, { region: 'eu' });
    const handler = () => undefined;
    await work({ address: carillon.grpc, queue: name, workerId: 'us', labels: { region: 'us' }, handler });
    const waiting = await trigger(carillon, name);
    await awaitThat('it says why', async () => (await get(carillon, waiting)).waitingFor.includes('us:'));
    expect((await get(carillon, waiting)).waitingFor).toBe(
      `a worker of queue "${name}" with region=eu; us: has region=us`,
    );
    const pinned = await trigger(carillon, name, { placement: { kind: { case: 'workerId', value: 'us' } } });
    expect(await awaitFinal(carillon, pinned)).toMatchObject({ workerId: 'us' });
    const queueTimeout = durationFromMs(300);
    await carillon.jobs.update({ job: { key: { name }, queueTimeout } });
    const late = await trigger(carillon, name);
    expect(await awaitFinal(carillon, late)).toMatchObject({ reason: ExecutionReason.QUEUE_TIMEOUT });
    await work({ address: carillon.grpc, queue: name, workerId: 'eu', labels: { region: 'eu' }, handler });
    expect(await awaitFinal(carillon, waiting)).toMatchObject({ workerId: 'eu' });
    const { workers } = await carillon.workers.list({ filter: { queue: name } });
    expect(workers.map(({ workerId, labels }) => [workerId, labels])).toEqual([
      ['eu', { region: 'eu' }],
      ['us', { region: 'us' }],
    ]);
  });

  it('are told of a cancel, and the execution is CANCELED when they have stopped', async () => {
    const carillon = instance();
    const name = await addJob(carillon);
    let aborted = false;
    await work({
      address: carillon.grpc,
      queue: name,
      handler: async ({ signal }) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        aborted = true;
        signal.throwIfAborted();
      },
    });
    const id = await trigger(carillon, name);
    await awaitThat('it runs', async () => (await get(carillon, id)).state === ExecutionState.RUNNING);
    await carillon.executions.cancel({ executions: { case: 'byIds', value: { executionIds: [id] } } });
    expect(await awaitFinal(carillon, id)).toMatchObject({ state: ExecutionState.CANCELED });
    expect(aborted).toBe(true);
  });

  it('keep their attempts over a broken stream when they are back in time (F22)', async () => {
    const carillon = instance();
    const name = await addJob(carillon);
    const proxy = await TcpProxy.start({ port: Number(carillon.grpc.split(':').at(-1)) });
    proxies.push(proxy);
    const { handler, seen, release } = holding();
    await work({ address: `127.0.0.1:${proxy.port}`, queue: name, workerId: 'back', handler });
    const id = await trigger(carillon, name);
    await awaitThat('it runs', () => seen.length === 1);
    proxy.setMode({ kind: 'cut' });
    await awaitThat('the stream is noticed to be broken', async () => {
      const { workers } = await carillon.workers.list({ filter: { queue: name } });
      return workers[0]?.state === 2;
    });
    release();
    proxy.setMode({ kind: 'pass' });
    const execution = await awaitFinal(carillon, id);
    expect(execution).toMatchObject({ state: ExecutionState.SUCCEEDED, attempt: 1 });
    expect(execution.result).toEqual({ attempt: 1 });
    expect(seen).toHaveLength(1);
  });

  it('lose their attempts past the grace time; a late result changes nothing (I12)', async () => {
    const carillon = await instances.start({
      databaseUrl: database.url,
      env: { ...env, CARILLON_WORKER_RECONNECT_GRACE_MS: 300 },
    });
    const name = await addJob(carillon);
    const proxy = await TcpProxy.start({ port: Number(carillon.grpc.split(':').at(-1)) });
    proxies.push(proxy);
    const late = holding();
    await work({ address: `127.0.0.1:${proxy.port}`, queue: name, workerId: 'late', handler: late.handler });
    const id = await trigger(carillon, name);
    await awaitThat('it runs', () => late.seen.length === 1);
    proxy.setMode({ kind: 'cut' });
    await awaitThat('it is given up', async () => (await get(carillon, id)).attempts.length === 1);
    await work({ address: carillon.grpc, queue: name, workerId: 'other', handler: () => ({ by: 'other' }) });
    const execution = await awaitFinal(carillon, id);
    late.release();
    proxy.setMode({ kind: 'pass' });
    expect(execution.attempts.map(({ reason, workerId }) => [reason, workerId])).toEqual([
      [ExecutionReason.WORKER_LOST, 'late'],
      [ExecutionReason.UNSPECIFIED, 'other'],
    ]);
    await awaitThat('the late one is back', async () => {
      const { workers } = await carillon.workers.list({ filter: { queue: name } });
      return workers.filter(({ state }) => state === 1).length === 2;
    });
    expect((await get(carillon, id)).result).toEqual({ by: 'other' });
  });

  it('take their attempts along to another instance when theirs is killed, and when it stops (F5)', async () => {
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const first = await instances.start({ databaseUrl: database.url, env });
      const second = instance();
      const name = await addJob(first);
      const { handler, seen, release } = holding();
      await work({ address: [first.grpc, second.grpc], queue: name, workerId: `mover-${signal}`, handler });
      const ids = [await trigger(second, name), await trigger(second, name)];
      await awaitThat('both run', () => seen.length === 2);
      first.kill(signal);
      await first.ended;
      await awaitThat('the other instance holds them', async () => {
        const { rows } = await sql.query(
          `select 1 from carillon.open_execution o join carillon.instance i on i.id = o.instance_id where i.name = $1`,
          [second.name],
        );
        return rows.length === 2;
      });
      release();
      for (const id of ids) {
        expect(await awaitFinal(second, id)).toMatchObject({ state: ExecutionState.SUCCEEDED, attempt: 1 });
      }
      expect(seen).toHaveLength(2);
    }
  });
});
