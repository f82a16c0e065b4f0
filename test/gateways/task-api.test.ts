import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { ExecutionCause, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { DomainError } from '../../src/domain/errors.ts';
import { executionIdFromUuid, uuidFromExecutionId } from '../../src/gateways/task-api/execution-uuid.ts';
import { startServers } from '../conformance/servers.ts';
import { awaitThat } from '../support/await-that.ts';
import { useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';
import { ask, type Fetched, send } from './json-fetch.ts';

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const isoForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

describe('the gateway task-api', () => {
  const database = useTestDatabase();
  const callee = useRecordingCallee();
  const instance = useInstance(() => ({ databaseUrl: database.url, env: { CARILLON_GATEWAYS: 'task-api' } }));

  const add = (name: string, path = '/ok', more: object = {}, key: object = {}) =>
    instance().jobs.add({
      job: {
        key: { name, ...key },
        attemptTimeout: durationFromMs(30_000),
        target: { kind: { case: 'http', value: { url: callee.url(path) } } },
        overlap: OverlapPolicy.ALLOW,
        ...more,
      },
    });
  const url = (path: string) => `${instance().http}/tasks/${path}`;
  const execute = async (name: string, how = 'manual', body: unknown = { params: {} }): Promise<string> => {
    const { status, json } = await send('POST', url(`${encodeURIComponent(name)}/execute/${how}`), body);
    expect([status, json.data.executionId]).toEqual([200, json.executionId]);
    return json.data.executionId;
  };
  const show = (uuid: string, query = ''): Promise<Fetched> => ask(url(`running/execution/${uuid}${query}`));
  const awaitEnd = (uuid: string) =>
    awaitThat('the execution ends', async () => {
      const { json } = await show(uuid);
      return json.status !== 'running' && json;
    });
  const cancel = (by: string, body?: unknown) =>
    body === undefined
      ? ask(url(`executions/cancel/${by}`), { method: 'DELETE' })
      : send('DELETE', url(`executions/cancel/${by}`), body);
  const executionOf = async (uuid: string) =>
    (await instance().executions.get({ executionId: executionIdFromUuid(uuid)! })).execution!;

  it('T-1 and T-2 execute by hand and by API, which the execution remembers, with the params as an object', async () => {
    await add('t1');
    const params = { a: 1, nested: { list: [true, null, 'x'] } };
    const byHand = await executionOf(await execute('t1', 'manual', { params }));
    const byApi = await executionOf(await execute('t1', 'api', { params }));
    expect([byHand.cause, byApi.cause]).toEqual([ExecutionCause.MANUAL, ExecutionCause.API]);
    expect(byHand.parameters?.object).toEqual(params);
    for (const body of ['', {}, { params: null }]) expect(await execute('t1', 'api', body)).toMatch(uuidForm);
  });

  it('T-3, T-4, T-5 and T-8 show an execution with its log, whose first line names the timeout', async () => {
    await add('t3', '/lines?count=2');
    const uuid = await execute('t3');
    expect(uuid).toMatch(uuidForm);
    const { logs, ...shown } = await awaitEnd(uuid);
    expect(shown).toEqual({
      executionId: uuid,
      taskName: 't3',
      status: 'completed',
      startedAt: expect.stringMatching(isoForm),
      finishedAt: expect.stringMatching(isoForm),
    });
    expect(logs).toEqual([
      { timestamp: shown.startedAt, level: 'info', message: '开始执行任务 (超时限制: 30000ms)' },
      { timestamp: expect.stringMatching(isoForm), level: 'info', message: 'line 1' },
      { timestamp: expect.stringMatching(isoForm), level: 'info', message: 'line 2' },
    ]);
    expect((await show(uuid.toUpperCase())).json.executionId).toBe(uuid);
  });

  it('T-4 and T-8 know four levels, and data where a line has some', async () => {
    const servers = await startServers({ gateways: ['task-api'] });
    const { operations } = servers;
    const job = { id: 7, key: { namespace: 'default', group: 'default', name: 'levels' } };
    operations.ledger.set(42, {
      ...job,
      id: 42,
      jobId: 7,
      jobKey: job.key,
      schedule: '',
      cause: 'API',
      fireAt: new Date(0),
      createdAt: new Date(0),
      startedAt: new Date(0),
      state: 'RUNNING',
      message: '',
      attempt: 1,
      priority: 0,
      term: 0,
      waitingFor: '',
      skippedCount: 0,
    });
    for (const level of ['DEBUG', 'INFO', 'WARN', 'ERROR'] as const) {
      const data = level === 'WARN' ? { percent: 50 } : undefined;
      operations.logs.push({
        executionId: 42,
        seq: 1,
        at: new Date(0),
        level,
        message: level,
        data,
        attempt: 1,
      });
    }
    const { json } = await ask(
      `http://${servers.http.address}/tasks/running/execution/${uuidFromExecutionId(42n)}`,
    );
    const timestamp = '1970-01-01T00:00:00.000Z';
    expect(json.logs).toEqual([
      // The job is gone, and its timeout with it.
      { timestamp, level: 'info', message: '开始执行任务' },
      { timestamp, level: 'debug', message: 'DEBUG' },
      { timestamp, level: 'info', message: 'INFO' },
      { timestamp, level: 'warn', message: 'WARN', data: { percent: 50 } },
      { timestamp, level: 'error', message: 'ERROR' },
    ]);
    operations.ledger.set(43, {
      ...operations.ledger.get(42)!,
      id: 43,
      startedAt: undefined,
      state: 'SKIPPED',
      message: 'why',
    });
    operations.logs.length = 0;
    const skipped = await ask(
      `http://${servers.http.address}/tasks/running/execution/${uuidFromExecutionId(43n)}`,
    );
    expect(skipped.json).toMatchObject({
      status: 'cancelled',
      startedAt: timestamp,
      logs: [{ timestamp, level: 'warn', message: '任务未执行: why' }],
    });
    await servers.stop();
  });

  it('T-6 and T-7 list the executions of a task, newest first, finished ones too, in four states', async () => {
    await add('t6', '/held', { retry: { maxAttempts: 1 } });
    const completed = await execute('t6');
    await callee.awaitHit('t6', ({ job }) => job === 't6');
    callee.release();
    await awaitEnd(completed);
    await instance().jobs.update({
      job: {
        key: { name: 't6' },
        target: { kind: { case: 'http', value: { url: callee.url('/ok'), successCodes: [299] } } },
      },
    });
    const failed = await execute('t6');
    await awaitEnd(failed);
    await instance().jobs.update({
      job: { key: { name: 't6' }, target: { kind: { case: 'http', value: { url: callee.url('/hang') } } } },
    });
    const cancelled = await execute('t6');
    await cancel('by-ids', { executionIds: [cancelled] });
    await awaitEnd(cancelled);
    const running = await execute('t6');
    const { json } = await ask(url('running/t6'));
    expect(
      json.map((each: { executionId: string; status: string }) => [each.executionId, each.status]),
    ).toEqual([
      [running, 'running'],
      [cancelled, 'cancelled'],
      [failed, 'failed'],
      [completed, 'completed'],
    ]);
    expect(Object.keys(json.at(-1))).toEqual(['executionId', 'status', 'startedAt', 'finishedAt', 'logs']);
    expect((await ask(url('running/t6?limit=2'))).json).toHaveLength(2);
    await cancel('by-ids', { executionIds: [running] });
  });

  it('T-9 cancels by ids: what it did, and what it does not know, are both no error', async () => {
    await add('t9', '/hang');
    const [a, b] = [await execute('t9'), await execute('t9')];
    const unknown = ['id3', '550e8400-e29b-41d4-a716-446655440000', uuidFromExecutionId(4_096n)];
    const { status, json } = await cancel('by-ids', { executionIds: [a, b, ...unknown] });
    expect([status, json.cancelled]).toEqual([200, [a, b]]);
    expect(json.notFound.toSorted()).toEqual(unknown.toSorted());
    await awaitEnd(a);
    await awaitEnd(b);
    const again = await cancel('by-ids', { executionIds: [a, 'id3'] });
    expect(again.json).toEqual({ cancelled: [], notFound: ['id3'], alreadyFinished: [a] });
    expect((await cancel('by-ids', { executionIds: [] })).json).toEqual({ cancelled: [], notFound: [] });
  });

  it('T-10 and T-12 cancel by task names, and what was canceled becomes so', async () => {
    await add('t10', '/hang');
    const [a, b] = [await execute('t10'), await execute('t10')];
    const { status, json } = await cancel('by-task-names', { taskNames: ['t10', 'feishu-sync', 't10'] });
    expect(status).toBe(200);
    expect(json).toEqual({ cancelled: expect.arrayContaining([a, b]), taskNotFound: ['feishu-sync'] });
    for (const uuid of [a, b]) expect((await awaitEnd(uuid)).status).toBe('cancelled');
    expect((await cancel('by-task-names', { taskNames: ['t10'] })).json).toEqual({
      cancelled: [],
      taskNotFound: [],
    });
  });

  it('T-11 cancels all of its group and tells how many', async () => {
    await add('t11', '/hang');
    await add('t11', '/hang', {}, { group: 'others' });
    await Promise.all([execute('t11'), execute('t11'), execute('t11')]);
    await send('POST', url('t11/execute/api'), {}, { 'carillon-group': 'others' });
    expect((await cancel('all')).json).toEqual({ count: 3 });
    const others = await ask(url('executions/cancel/all'), {
      method: 'DELETE',
      headers: { 'carillon-group': 'others' },
    });
    expect(others.json).toEqual({ count: 1 });
  });

  it('T-13 runs the documented scenarios: poll until the end, cancel what was listed, print the log', async () => {
    await add('user-space-sync', '/lines?count=1');
    const base = instance().http;
    const posted = await fetch(`${base}/tasks/user-space-sync/execute/manual`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ params: {} }),
    });
    const response = { data: (await posted.json()) as { executionId: string } };
    const { executionId } = response.data;
    const data = await awaitThat('the task is complete', async () => {
      const status = await fetch(`${base}/tasks/running/execution/${executionId}`);
      const json = (await status.json()) as { status: string; logs: { level: string; message: string }[] };
      return json.status !== 'running' && json;
    });
    expect(data.status).toBe('completed');
    expect(data.logs.map((log) => `[${log.level}] ${log.message}`)).toEqual([
      '[info] 开始执行任务 (超时限制: 30000ms)',
      '[info] line 1',
    ]);
    const executions = (await (await fetch(`${base}/tasks/running/user-space-sync`)).json()) as {
      executionId: string;
    }[];
    const ids = executions.map((e) => e.executionId);
    const canceled = await fetch(`${base}/tasks/executions/cancel/by-ids`, {
      method: 'DELETE',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ executionIds: ids }),
    });
    expect(await canceled.json()).toEqual({ cancelled: [], notFound: [], alreadyFinished: ids });
  });

  it('T-15 pages through a long log', async () => {
    await add('t15', '/lines?count=1200');
    const uuid = await execute('t15');
    await awaitEnd(uuid);
    const messages: string[] = [];
    let query = '?logLimit=700';
    for (;;) {
      const { json } = await show(uuid, query);
      messages.push(...json.logs.map((log: { message: string }) => log.message));
      if (json.nextLogAfter === undefined) break;
      query = `?logLimit=700&logAfter=${json.nextLogAfter}`;
    }
    const lines = Array.from({ length: 1_200 }, (_, i) => `line ${i + 1}`);
    expect(messages).toEqual(['开始执行任务 (超时限制: 30000ms)', ...lines]);
    expect((await show(uuid)).json.logs).toHaveLength(1_001);
    const [listed] = (await ask(url('running/t15?logLimit=3'))).json;
    expect([listed.logs.length, listed.nextLogAfter]).toEqual([4, 3]);
  });

  it('T-16 runs many at once up to the limit that is set, and counts as running what waits', async () => {
    await add('t16', '/held', { maxRunning: 2 });
    const uuids = await Promise.all(Array.from({ length: 5 }, () => execute('t16')));
    await awaitThat('two run', () => callee.of('t16').length === 2);
    const { executions } = await instance().executions.list({
      filter: { job: { ref: { case: 'key', value: { name: 't16' } } } },
    });
    expect(executions.filter(({ state }) => state === ExecutionState.RUNNING)).toHaveLength(2);
    const { json } = await ask(url('running/t16'));
    expect(new Set(json.map((each: { status: string }) => each.status))).toEqual(new Set(['running']));
    await awaitThat('all have run', () => {
      callee.release();
      return callee.of('t16').length === 5;
    });
    callee.release();
    for (const uuid of uuids) await awaitEnd(uuid);
  });

  it.each(['execution', 'execution/abc', 'executions', 'by-ids', '任务 100%', 'a?b#c', 'a.b'])(
    'reaches a task named %s',
    async (name) => {
      await add(name);
      const uuid = await execute(name);
      expect((await awaitEnd(uuid)).taskName).toBe(name);
      const listed = await ask(url(`running/${encodeURIComponent(name)}`));
      expect(listed.json.map((each: { executionId: string }) => each.executionId)).toEqual([uuid]);
    },
  );

  it('T-14 answers 404 for what is not there and 400 for what is wrong, and says what', async () => {
    const notFound = [
      await send('POST', url('nobody/execute/manual'), {}),
      await ask(url('running/nobody')),
      await show('id1'),
      await show(uuidFromExecutionId(4_096n)),
      await ask(url('running/execution/a/b')),
    ];
    expect(notFound.map(({ status, json }) => [status, json.statusCode, json.error])).toEqual([
      [404, 404, 'JOB_NOT_FOUND'],
      [404, 404, 'JOB_NOT_FOUND'],
      [404, 404, 'EXECUTION_NOT_FOUND'],
      [404, 404, 'EXECUTION_NOT_FOUND'],
      [404, 404, 'UNIMPLEMENTED'],
    ]);
    await add('t14');
    const proto = await send(
      'POST',
      url('t14/execute/api'),
      '{"params": {"__proto__": {"a": 1}, "constructor": 2}}',
    );
    expect(proto.status).toBe(200);
    const deep = `{"params": ${'{"a":'.repeat(40)}1${'}'.repeat(40)}}`;
    const wrong: [Promise<Fetched>, string][] = [
      [send('POST', url('t14/execute/manual'), { params: [1] }), 'params: must be an object'],
      [send('POST', url('t14/execute/manual'), { params: 'x' }), 'params: must be an object'],
      [send('POST', url('t14/execute/manual'), '[]'), 'the body: must be an object'],
      [send('POST', url('t14/execute/manual'), deep), 'parameters.object'],
      [send('POST', url('t14/execute/manual'), { params: { a: '\ud800' } }), 'parameters.object'],
      [send('POST', url(`${'x'.repeat(201)}/execute/manual`), {}), 'job.key.name'],
      [cancel('by-ids', {}), 'executionIds: must be set'],
      [cancel('by-ids', { executionIds: 'id1' }), 'executionIds: must be a list'],
      [cancel('by-ids', { executionIds: [1] }), 'executionIds[0]: must be text'],
      [cancel('by-task-names', { taskNames: [''] }), 'name'],
      [show(uuidFromExecutionId(1n), '?logLimit=5001'), 'logLimit: must be a whole number from 0 to 5000'],
      [ask(url('running/t14?limit=0')), 'limit: must be a whole number from 1 to 100'],
    ];
    for (const [asked, message] of wrong) {
      const { status, json } = await asked;
      expect([message, status, json.statusCode]).toEqual([message, 400, 400]);
      expect(json.message).toContain(message);
    }
  });

  it('T-14 answers 500 for a fault of the server', async () => {
    const servers = await startServers({ gateways: ['task-api'] });
    const base = `http://${servers.http.address}`;
    expect((await send('POST', `${base}/tasks/crash/execute/api`, {})).status).toBe(500);
    expect(
      (await send('POST', `${base}/tasks/refuse UNAVAILABLE/execute/api`, {})).headers.get('retry-after'),
    ).toBe('2');
    await servers.stop();
  });

  it('looks in the namespace and group of its headers, and presents the token', async () => {
    await add('elsewhere', '/ok', {}, { namespace: 'team', group: '组' });
    const headers = { 'carillon-namespace': 'team', 'carillon-group': Buffer.from('组').toString('latin1') };
    expect((await send('POST', url('elsewhere/execute/api'), {})).status).toBe(404);
    expect((await send('POST', url('elsewhere/execute/api'), {}, headers)).status).toBe(200);
    const servers = await startServers({
      gateways: ['task-api'],
      authentication: {
        name: 'authentication',
        open(call) {
          throw new DomainError('UNAUTHENTICATED', `no ${call.header('authorization')}`);
        },
      },
    });
    const refused = await ask(`http://${servers.http.address}/tasks/running/x`, {
      headers: { authorization: 'Bearer t' },
    });
    expect(refused.json).toEqual({ statusCode: 401, error: 'UNAUTHENTICATED', message: 'no Bearer t' });
    await servers.stop();
  });
});

describe('the UUID of an execution', () => {
  it.each([1n, 4_096n, 373_406_026_256_387n, BigInt(Number.MAX_SAFE_INTEGER)])(
    'of %d leads back to it',
    (id) => {
      const uuid = uuidFromExecutionId(id);
      expect(uuid).toMatch(uuidForm);
      expect(executionIdFromUuid(uuid)).toBe(id);
    },
  );

  it('sorts as the ids do', () => {
    const ids = [1n, 255n, 256n, 2n ** 40n, 2n ** 53n - 1n];
    expect(ids.map(uuidFromExecutionId).toSorted()).toEqual(ids.map(uuidFromExecutionId));
  });

  it.each([
    '00000000-0000-8000-8000-636172696c6c',
    'ffffffff-ffff-8ff0-8000-636172696c6c',
    '00000000-0001-8001-8000-636172696c6c',
    '00000000-0001-4000-8000-636172696c6c',
    '00000000-0001-8000-8000-000000000000',
    '550e8400-e29b-41d4-a716-446655440000',
    'id1',
    '',
  ])('is not %s', (text) => {
    expect(executionIdFromUuid(text)).toBeUndefined();
  });
});
