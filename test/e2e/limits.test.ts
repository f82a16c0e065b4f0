/** Limits as users set them, over two instances: max_running of a job, a queue and a namespace, and start rates. */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { Worker } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { connectPg, type InstanceProcess, useInstance } from '../support/instance-process.ts';
import { type JobDraft, manualJob } from '../support/job-drafts.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { type Hit, useRecordingCallee } from '../support/recording-callee.ts';

/** What the instance ran that is killed is given back so much later. */
const env = { CARILLON_ENGINE_LEASE_RENEW_MS: 500, CARILLON_ENGINE_INSTANCE_TTL_MS: 3_000 };

/** The most hits that were under way at one moment, by the callee's record. */
function mostAtOnce(hits: readonly Hit[]): number {
  const changes = hits.flatMap(({ arrivedAtMs, answeredAtMs, abortedAtMs }) => [
    { atMs: arrivedAtMs, by: 1 },
    { atMs: answeredAtMs ?? abortedAtMs ?? Number.POSITIVE_INFINITY, by: -1 },
  ]);
  let [now, most] = [0, 0];
  for (const { by } of changes.toSorted((a, b) => a.atMs - b.atMs || a.by - b.by)) {
    now += by;
    most = Math.max(most, now);
  }
  return most;
}

describe('limits', () => {
  const database = useTestDatabase();
  const callee = useRecordingCallee();
  const firstInstance = useInstance(() => ({ databaseUrl: database.url, env }));
  const secondInstance = useInstance(() => ({ databaseUrl: database.url, env }));
  const running: Worker[] = [];
  let sql: pg.Client;

  beforeAll(async () => {
    sql = await connectPg(database.url);
  });
  afterAll(() => sql.end());
  afterEach(async () => {
    await Promise.all(running.splice(0).map((worker) => worker.stop()));
    expect(await auditLedger(database.url)).toEqual([]);
  });

  const keyOf = (name: string, namespace = '') =>
    ({ ref: { case: 'key', value: { name, namespace } } }) as const;

  async function triggerMany(
    instance: InstanceProcess,
    name: string,
    count: number,
    namespace = '',
  ): Promise<readonly bigint[]> {
    const requests = Array.from({ length: count }, () => ({ job: keyOf(name, namespace) }));
    const replies = await Promise.all(requests.map((request) => instance.jobs.trigger(request)));
    return replies.map(({ execution }) => execution!.id);
  }

  it('max_running of a job holds over both instances, and what waits says why', async () => {
    const [one, two] = [firstInstance(), secondInstance()];
    await one.jobs.add({ job: manualJob('narrow', callee.url('/held'), { maxRunning: 2 }) });
    const ids = [...(await triggerMany(one, 'narrow', 3)), ...(await triggerMany(two, 'narrow', 3))];
    await awaitThat('two run', () => callee.of('narrow').length === 2);
    const waits = await awaitThat('the others say why they wait', async () => {
      const all = await Promise.all(ids.map((executionId) => two.executions.get({ executionId })));
      const texts = all.flatMap(({ execution }) => execution!.waitingFor || []);
      return texts.length === 4 ? texts : undefined;
    });
    expect(new Set(waits)).toEqual(
      new Set(['a place within max_running of job "default/default/narrow": 2 of 2 run']),
    );
    await awaitThat('all have run', () => {
      callee.release();
      return callee.of('narrow').filter(({ answeredAtMs }) => answeredAtMs !== undefined).length === 6;
    });
    await awaitAllFinal(sql);
    expect(mostAtOnce(callee.of('narrow'))).toBe(2);
    expect(
      callee
        .of('narrow')
        .map(({ executionId }) => executionId)
        .toSorted(),
    ).toEqual(ids.map(Number).toSorted());
  });

  it('an edit of max_running holds at once for what waits', async () => {
    const one = firstInstance();
    await one.jobs.add({ job: manualJob('widened', callee.url('/held'), { maxRunning: 1 }) });
    await triggerMany(one, 'widened', 4);
    await awaitThat('one runs', () => callee.of('widened').length === 1);
    await one.jobs.update({ job: { key: { name: 'widened' }, maxRunning: 3 } });
    await awaitThat('three run', () => callee.of('widened').length === 3);
    await one.jobs.update({ job: { key: { name: 'widened' } }, updateMask: { paths: ['max_running'] } });
    await awaitThat('all run', () => callee.of('widened').length === 4);
    callee.release();
    await awaitAllFinal(sql);
  });

  it('max_running of a queue holds over the workers of both instances', async () => {
    const [one, two] = [firstInstance(), secondInstance()];
    const { queue } = await one.admin.putQueue({ queue: { name: 'tight', limits: { maxRunning: 3 } } });
    expect(queue).toMatchObject({ namespace: 'default', name: 'tight', limits: { maxRunning: 3 } });
    const job: JobDraft = {
      key: { name: 'tight' },
      target: { kind: { case: 'worker', value: { queue: 'tight' } } },
      overlap: OverlapPolicy.ALLOW,
    };
    await one.jobs.add({ job });
    let now = 0;
    let most = 0;
    let count = 0;
    for (const { grpc: address } of [one, two]) {
      const worker = new Worker({
        address,
        queue: 'tight',
        capacity: 10,
        handler: async () => {
          most = Math.max(most, ++now);
          await new Promise((resolve) => setTimeout(resolve, 5));
          now--;
          count++;
        },
      });
      running.push(worker);
      await worker.start();
    }
    await Promise.all([triggerMany(one, 'tight', 30), triggerMany(two, 'tight', 30)]);
    await awaitThat('all have run', () => count === 60);
    expect(most).toBe(3);
    await awaitAllFinal(sql);
    const { queues } = await two.admin.listQueues({});
    expect(queues.map(({ name }) => name)).toContain('tight');
  });

  it('a start rate of a namespace holds for any span of time, and max_running beside it', async () => {
    const [one, two] = [firstInstance(), secondInstance()];
    const namespace = 'rated';
    const startRate = { count: 5, period: durationFromMs(500) };
    await one.admin.createNamespace({ namespace: { name: namespace, limits: { maxRunning: 4, startRate } } });
    await one.jobs.add({ job: manualJob('', callee.url('/ok'), { key: { name: 'rated', namespace } }) });
    await Promise.all([triggerMany(one, 'rated', 10, namespace), triggerMany(two, 'rated', 10, namespace)]);
    await awaitThat('all have run', () => callee.of('rated').length === 20);
    await awaitAllFinal(sql);
    const { rows } = await sql.query<{ ms: number }>(
      `select (extract(epoch from e.started_at) * 1000)::float8 as ms from carillon.execution e
         join carillon.job j on j.id = e.job_id where j.name = 'rated' order by 1`,
    );
    rows.forEach(({ ms: from }, i) => {
      rows.slice(i).forEach(({ ms: until }, n) => {
        // A start is booked a moment after the clock that it carries.
        expect(n + 1).toBeLessThanOrEqual(5 + ((until - from) * 5) / 500 + 0.5);
      });
    });
  });

  it('namespaces are made by name once, listed, changed by mask, and made by whatever names them first', async () => {
    const [one, two] = [firstInstance(), secondInstance()];
    const made = await one.admin.createNamespace({ namespace: { name: 'b', description: 'of b' } });
    expect(made.namespace).toMatchObject({ name: 'b', description: 'of b', limits: { maxRunning: 0 } });
    const refusal = async (call: Promise<unknown>): Promise<Code> => {
      const error = await call.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(ConnectError);
      return (error as ConnectError).code;
    };
    expect(await refusal(two.admin.createNamespace({ namespace: { name: 'b' } }))).toBe(Code.AlreadyExists);
    expect(await refusal(two.admin.updateNamespace({ namespace: { name: 'c' } }))).toBe(Code.NotFound);
    const startRate = { count: 7 };
    const changed = await two.admin.updateNamespace({ namespace: { name: 'b', limits: { startRate } } });
    expect(changed.namespace).toMatchObject({
      description: 'of b',
      limits: { maxRunning: 0, startRate: { count: 7, period: durationFromMs(1_000) } },
    });
    const cleared = await one.admin.updateNamespace({
      namespace: { name: 'b' },
      updateMask: { paths: ['limits', 'description'] },
    });
    expect(cleared.namespace?.limits?.startRate).toBeUndefined();
    expect(cleared.namespace?.description).toBe('');
    await one.jobs.add({
      job: manualJob('', callee.url('/ok'), { key: { name: 'x', namespace: 'by-add' } }),
    });
    const { namespaces } = await two.admin.listNamespaces({ pageSize: 500 });
    const names = namespaces.map(({ name }) => name);
    expect(names).toEqual(names.toSorted());
    expect(names).toEqual(expect.arrayContaining(['b', 'by-add', 'default']));
    const { namespaces: first, nextPageToken } = await two.admin.listNamespaces({ pageSize: 1 });
    const { namespaces: second } = await two.admin.listNamespaces({ pageSize: 1, pageToken: nextPageToken });
    expect([...first, ...second].map(({ name }) => name)).toEqual(names.slice(0, 2));
  });

  // The last one: an instance is gone behind it.
  it('a crash of the instance that runs a job’s only one neither exceeds the limit nor wedges it (F1, I12, I21)', async () => {
    const [one, two] = [firstInstance(), secondInstance()];
    await one.jobs.add({ job: manualJob('single', callee.url('/slow?ms=300'), { maxRunning: 1 }) });
    await triggerMany(one, 'single', 8);
    await awaitThat('a third has begun', () => callee.of('single').length >= 3);
    one.kill('SIGKILL');
    await awaitThat(
      'all have succeeded',
      async () => {
        const { rows } = await sql.query<{ open: number }>(
          'select count(*)::integer as open from carillon.open_execution',
        );
        return rows[0]!.open === 0;
      },
      30_000,
    );
    expect(two.log).not.toContain('"level":"error"');
    expect(mostAtOnce(callee.of('single'))).toBe(1);
  });
});
