import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExecutionCause, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { JobSchema, JobState, MisfirePolicy, OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import type { TargetSchema } from '../../gen/carillon/v1/target_pb.js';
import { DomainError, type ErrorReason } from '../../src/domain/errors.ts';
import { Zone } from '../../src/domain/schedule/zone.ts';
import { sysJobFromJob } from '../../src/gateways/ruoyi/sys-job.ts';
import type { Servers } from '../conformance/servers.ts';
import { startServers } from '../conformance/servers.ts';
import { awaitThat } from '../support/await-that.ts';
import { useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';
import { ask, send } from './json-fetch.ts';

/** The document's request, with our job's id in the place of its example. */
const documented = (base: string, id: bigint | number): Promise<Awaited<ReturnType<typeof ask>>> =>
  ask(`${base}/monitor/job/run`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json', Authorization: 'Bearer eyJhbGciOiJIUzUxMiJ9...' },
    body: `{
    "jobId": ${id}
  }`,
  });

const unknownOrExpired = { code: 500, msg: '任务不存在或已过期！', data: null };

describe('the gateway ruoyi', () => {
  const database = useTestDatabase();
  const callee = useRecordingCallee();
  const instance = useInstance(() => ({ databaseUrl: database.url, env: { CARILLON_GATEWAYS: 'ruoyi' } }));

  const add = async (name: string, more: { path?: string; schedules?: object[]; group?: string } = {}) => {
    const { path = '/ok', schedules = [], group = '' } = more;
    const { job } = await instance().jobs.add({
      job: {
        key: { name, group },
        description: `remark of ${name}`,
        schedules,
        target: { kind: { case: 'http', value: { url: callee.url(path) } } },
      },
    });
    return job!;
  };
  const cron = (expression: string) => ({ kind: { case: 'cron' as const, value: { expression } } });
  const executionsOf = async (id: bigint) =>
    (await instance().executions.list({ filter: { job: { ref: { case: 'id', value: id } } } })).executions;

  it('is named in the banner', () => {
    expect(instance().banner).toContain('  gateways  ruoyi\n');
  });

  it('R-1 runs an enabled job and answers with the literal success', async () => {
    const job = await add('r1', { schedules: [cron('0 0 1 1 *')] });
    const { status, json, headers } = await documented(instance().http, job.id);
    expect([status, json]).toEqual([200, { code: 200, msg: '操作成功' }]);
    const hit = await callee.awaitHit('r1', ({ job: name }) => name === 'r1');
    expect(headers.get('carillon-execution-id')).toBe(String(hit.executionId));
    expect((await executionsOf(job.id))[0]?.cause).toBe(ExecutionCause.MANUAL);
  });

  it('R-2 answers 500 and the literal text for an unknown job, and tells programs which of the two it is', async () => {
    const { status, json, headers } = await documented(instance().http, 9999);
    expect([status, json]).toEqual([500, unknownOrExpired]);
    expect(headers.get('carillon-reason')).toBe('JOB_NOT_FOUND');
  });

  it('R-3 answers the same for an expired job, with another reason', async () => {
    const atTime = { seconds: BigInt(Math.floor(Date.now() / 1000)), nanos: 0 };
    const job = await add('r3', { schedules: [{ kind: { case: 'once', value: { atTime } } }] });
    await callee.awaitHit('r3', ({ job: name }) => name === 'r3');
    const { status, json, headers } = await documented(instance().http, job.id);
    expect([status, json]).toEqual([500, unknownOrExpired]);
    expect(headers.get('carillon-reason')).toBe('JOB_FINISHED');
  });

  it('R-6 runs a paused job, which stays paused', async () => {
    const job = await add('r6', { schedules: [cron('0 0 1 1 *')] });
    await instance().jobs.pause({ jobs: { case: 'job', value: { ref: { case: 'id', value: job.id } } } });
    expect((await documented(instance().http, job.id)).json).toEqual({ code: 200, msg: '操作成功' });
    await callee.awaitHit('r6', ({ job: name }) => name === 'r6');
    const { json } = await ask(`${instance().http}/monitor/job/${job.id}`);
    expect(json.data.status).toBe('1');
  });

  it('R-7, R-9 and R-10 run outside of the cron times, leave the plan alone and make one execution with its result', async () => {
    const job = await add('r9', { path: '/lines?count=1', schedules: [cron('0 0 1 1 *')] });
    await documented(instance().http, job.id);
    await callee.awaitHit('r9', ({ job: name }) => name === 'r9');
    const execution = await awaitThat('the execution ends', async () => {
      const [only, ...more] = await executionsOf(job.id);
      expect(more).toEqual([]);
      return only?.state === ExecutionState.SUCCEEDED && only;
    });
    expect(execution.result).toEqual({ lines: 1 });
    const after = await instance().jobs.get({ job: { ref: { case: 'id', value: job.id } } });
    expect(after.job?.nextFireTime).toEqual(job.nextFireTime);
  });

  it('R-8 returns while the job still runs, and lets a second run wait for its turn', async () => {
    const job = await add('r8', { path: '/held' });
    expect((await documented(instance().http, job.id)).status).toBe(200);
    await callee.awaitHit('r8', ({ job: name }) => name === 'r8');
    expect((await documented(instance().http, job.id)).status).toBe(200);
    const states = (await executionsOf(job.id)).map(({ state }) => state);
    expect(states).toEqual([ExecutionState.PENDING, ExecutionState.RUNNING]);
    await awaitThat('both have run', async () => {
      callee.release();
      return (await executionsOf(job.id)).every(({ state }) => state === ExecutionState.SUCCEEDED);
    });
  });

  it('R-13 lists jobs by name, group and status in pages, shows one, and changes its status', async () => {
    const { http } = instance();
    for (const name of ['page-1', 'page-2', 'page-3'])
      await add(name, { group: '系统', schedules: [cron('30 8 * * *')] });
    const list = (query: string) => ask(`${http}/monitor/job/list?${query}`);
    const first = await list(`pageNum=1&pageSize=2&jobGroup=${encodeURIComponent('系统')}`);
    expect(first.json).toMatchObject({ total: 3, code: 200, msg: '查询成功' });
    expect(first.json.rows.map((row: { jobName: string }) => row.jobName)).toEqual(['page-1', 'page-2']);
    expect((await list('pageNum=2&pageSize=2&jobName=age-&status=')).json.rows).toHaveLength(1);
    const [row] = (await list('jobName=age-2')).json.rows;
    expect(row).toMatchObject({
      jobName: 'page-2',
      jobGroup: '系统',
      invokeTarget: `POST ${callee.url('/ok')}`,
      cronExpression: '30 8 * * *',
      misfirePolicy: '2',
      concurrent: '1',
      status: '0',
      remark: 'remark of page-2',
    });
    expect(row.createTime).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    expect(row.nextValidTime).toMatch(/ 08:30:00$/);
    expect((await ask(`${http}/monitor/job/${row.jobId}`)).json).toEqual({
      code: 200,
      msg: '操作成功',
      data: row,
    });

    const change = (status: unknown) =>
      send('PUT', `${http}/monitor/job/changeStatus`, { jobId: row.jobId, status });
    expect((await change('1')).json).toEqual({ code: 200, msg: '操作成功' });
    const paused = await list(`status=1&jobGroup=${encodeURIComponent('系统')}`);
    expect(paused.json.rows.map((each: { jobName: string }) => each.jobName)).toEqual(['page-2']);
    expect((await change(0)).json).toEqual({ code: 200, msg: '操作成功' });
    expect((await list(`status=0&jobGroup=${encodeURIComponent('系统')}`)).json.total).toBe(3);
    expect((await ask(`${http}/monitor/job/9999`)).json).toEqual(unknownOrExpired);
  });

  it('finds a job by the documented body alone, and by its group, which RuoYi calls DEFAULT by default', async () => {
    const { http } = instance();
    const job = await add('grouped', { group: 'SYSTEM' });
    const inDefault = await add('ungrouped');
    const run = (body: object) => send('PUT', `${http}/monitor/job/run`, body);
    expect((await documented(http, job.id)).status).toBe(200);
    expect((await run({ jobId: Number(job.id), jobGroup: 'SYSTEM' })).status).toBe(200);
    expect((await run({ jobId: String(job.id), jobGroup: 'DEFAULT' })).json).toEqual(unknownOrExpired);
    expect((await run({ jobId: String(inDefault.id), jobGroup: 'DEFAULT' })).status).toBe(200);
    expect((await ask(`${http}/monitor/job/list?jobGroup=DEFAULT&jobName=ungrouped`)).json.total).toBe(1);
    const elsewhere = await send(
      'PUT',
      `${http}/monitor/job/run`,
      { jobId: Number(job.id) },
      { 'carillon-namespace': 'x' },
    );
    expect(elsewhere.json).toEqual(unknownOrExpired);
  });
});

describe('a job as RuoYi shows it', () => {
  const zone = Zone.find('Asia/Shanghai')!;
  const shown = (job: MessageInitShape<typeof JobSchema>) => sysJobFromJob(create(JobSchema, job), zone);

  it.each<[MessageInitShape<typeof TargetSchema>['kind'], string]>([
    [{ case: 'http', value: { method: 'PUT', url: 'https://a.example/x' } }, 'PUT https://a.example/x'],
    [{ case: 'grpc', value: { address: 'a:1', method: 'p.S/M' } }, 'grpc://a:1/p.S/M'],
    [{ case: 'socket', value: { host: 'a', port: 9 } }, 'tcp://a:9'],
    [{ case: 'worker', value: { queue: 'mail' } }, 'queue://mail'],
  ])('is delivered to %j', (kind, invokeTarget) => {
    expect(shown({ target: { kind } }).invokeTarget).toBe(invokeTarget);
  });

  it('has times of the zone, no expression without a cron schedule, and a status also when it is finished', () => {
    const every = durationFromMs(60_000);
    const job = {
      id: 7n,
      key: { group: 'default', name: 'n' },
      schedules: [{ kind: { case: 'interval' as const, value: { every } } }],
      overlap: OverlapPolicy.ALLOW,
      misfire: { policy: MisfirePolicy.SKIP },
      state: JobState.FINISHED,
      createTime: timestampFromMs(Date.parse('2026-01-13T16:30:05.999Z')),
    };
    expect(shown(job)).toMatchObject({
      jobId: 7,
      jobGroup: 'DEFAULT',
      cronExpression: '',
      misfirePolicy: '3',
      concurrent: '0',
      status: '0',
      createTime: '2026-01-14 00:30:05',
      nextValidTime: null,
    });
  });
});

describe('the gateway ruoyi behind access control', () => {
  let servers: Servers;
  let reason: ErrorReason | undefined;
  const seen: (string | undefined)[] = [];

  beforeAll(async () => {
    servers = await startServers({
      gateways: ['ruoyi'],
      authentication: {
        name: 'authentication',
        open(call) {
          seen.push(call.header('authorization'));
          if (reason) throw new DomainError(reason, 'refused by the test');
        },
      },
    });
  });
  afterAll(() => servers.stop());
  const run = (body: unknown, headers?: Record<string, string>) =>
    send('PUT', `http://${servers.http.address}/monitor/job/run`, body, headers);

  it('R-4 answers 403 and the literal text where the caller may not change the status of jobs', async () => {
    reason = 'PERMISSION_DENIED';
    const { status, json, headers } = await run({ jobId: 1 });
    expect([status, json]).toEqual([403, { code: 403, msg: '没有权限访问', data: null }]);
    expect(headers.get('carillon-reason')).toBe('PERMISSION_DENIED');
  });

  it('R-5 answers 401 as RuoYi does where nobody has logged in', async () => {
    reason = 'UNAUTHENTICATED';
    const { status, json } = await run({ jobId: 1 });
    expect([status, json]).toEqual([
      401,
      { code: 401, msg: '请求访问：/monitor/job/run，认证失败，无法访问系统资源', data: null },
    ]);
  });

  it('presents the token of the Authorization header, with and without its scheme', async () => {
    reason = undefined;
    seen.length = 0;
    for (const authorization of ['Bearer abc', 'abc']) await run({ jobId: 1 }, { authorization });
    await run({ jobId: 1 });
    expect(seen).toEqual(['Bearer abc', 'Bearer abc', undefined]);
  });

  it.each([
    ['an empty object', {}, 'jobId: must be set'],
    ['no body', '', 'jobId: must be set'],
    ['null for the id', { jobId: null }, 'jobId: must be a whole number from 1 to 9007199254740991'],
    ['a word for the id', { jobId: 'one' }, 'jobId: must be a whole number'],
    ['a list of ids', { jobId: [1] }, 'jobId: must be a whole number'],
    ['a fraction', { jobId: 1.5 }, 'jobId: must be a whole number'],
    ['zero', { jobId: 0 }, 'jobId: must be a whole number'],
    ['an id beyond 2^53', '{"jobId": 9007199254740993}', 'jobId: must be a whole number'],
    ['an id beyond 2^53 as text', { jobId: '9223372036854775807' }, 'jobId: must be a whole number'],
    ['a list', [1], 'the body: must be an object'],
    ['an object for the group', { jobId: 1, jobGroup: {} }, 'jobGroup: must be text'],
  ])('R-12 refuses %s with 400', async (_what, body, message) => {
    reason = undefined;
    const { status, json } = await run(body);
    expect([status, json.code, json.data]).toEqual([400, 400, null]);
    expect(json.msg).toContain(message);
  });

  it.each([
    ['/monitor/job/list?pageNum=0', 'pageNum: must be a whole number from 1'],
    ['/monitor/job/list?pageNum=1001&pageSize=10', 'pageNum × pageSize must be at most 10000'],
    ['/monitor/job/list?status=2', 'status: must be 0 or 1'],
    ['/monitor/job/list?jobName=a&jobName=b', 'jobName must be given once'],
    ['/monitor/job/one', 'jobId: must be a whole number'],
  ])('refuses GET %s', async (path, message) => {
    const { status, json } = await ask(`http://${servers.http.address}${path}`);
    expect(status).toBe(400);
    expect(json.msg).toContain(message);
  });
});
