import { timestampMs } from '@bufbuild/protobuf/wkt';
import { beforeAll, describe, expect, it } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { type Job, JobState } from '../../gen/carillon/v1/job_pb.js';
import { DomainError } from '../../src/domain/errors.ts';
import { startServers } from '../conformance/servers.ts';
import { awaitThat } from '../support/await-that.ts';
import { useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useDataCallee } from './data-callee.ts';
import { ask, type Fetched, send } from './json-fetch.ts';

const succeeded = { success: true, error: '', resultValue: null };
const refused = { success: false, error: expect.stringMatching(/./), resultValue: null };

describe('the gateway iuap', () => {
  const database = useTestDatabase();
  const callee = useDataCallee();
  const instance = useInstance(() => ({
    databaseUrl: database.url,
    env: { CARILLON_GATEWAYS: 'iuap', CARILLON_GATEWAY_TIME_ZONE: 'Asia/Shanghai' },
  }));
  const call = (path: string) => `${instance().http}/dispatchserver/${path}`;

  type Task = Record<string, unknown>;
  const http = (path: string, data = '{"tenant":"t1"}') => ({
    recallType: 'HTTP',
    option: { url: callee.url(path) },
    data,
  });
  const head = (jobCode: string, more: Task = {}) => ({
    jobCode,
    groupCode: 'g',
    priority: 5,
    endDate: '2099-12-31 23:59:59',
    ...more,
  });
  const cron = (jobCode: string, more: Task = {}) =>
    head(jobCode, { triggerType: 'CronTrigger', cronExpress: '0 0 3 1 1 ?', ...more });
  const simple = (jobCode: string, timeConfig: Task, more: Task = {}) =>
    head(jobCode, {
      triggerType: 'SimpleTrigger',
      startDate: Date.now(),
      timeConfig: { interval: 1, intervalType: 'SECOND', isForever: true, repeatCount: 0, ...timeConfig },
      ...more,
    });
  /** As the SDK sends it: a form, with JSON in two of its fields. */
  const add = (
    recall: unknown,
    task: unknown,
    replace: unknown = false,
    headers: Record<string, string> = {},
  ) =>
    ask(call('add.do'), {
      method: 'POST',
      headers,
      body: new URLSearchParams({
        recallConfig: JSON.stringify(recall),
        taskConfig: JSON.stringify(task),
        replace: String(replace),
      }),
    });
  const named = (action: string, jobName: string, groupName = 'g'): Promise<Fetched> =>
    ask(call(action), { method: 'POST', body: new URLSearchParams({ jobName, groupName }) });
  const refOf = (name: string) => ({ ref: { case: 'key' as const, value: { group: 'g', name } } });
  const getJob = async (name: string): Promise<Job> => (await instance().jobs.get({ job: refOf(name) })).job!;
  const firesOf = async (name: string, count = 4): Promise<number[]> => {
    const { fireTimes } = await instance().jobs.preview({ job: refOf(name), count });
    return fireTimes.map(({ fireTime }) => timestampMs(fireTime!));
  };

  it('I-1 adds a CronTrigger with HTTP, and the callee receives the data exactly at each fire', async () => {
    const data = '{"a": 1, "text": "中文 {{ parameters.text }} \\u0000"}';
    const { status, json } = await add(http('/i1', data), cron('i1', { cronExpress: '* * * * * ?' }));
    expect([status, json]).toEqual([200, succeeded]);
    await awaitThat('two fires', () => callee.of('/i1').length >= 2);
    for (const { text, type } of callee.of('/i1')) expect([text, type]).toEqual([data, 'application/json']);
    const [first, second] = callee.of('/i1').toSorted((a, b) => a.fireAtMs - b.fireAtMs);
    expect(second!.fireAtMs - first!.fireAtMs).toBe(1_000);
    await named('delete.do', 'i1');
    expect((await add(http('/plain', 'not json'), cron('plain'))).json).toEqual(succeeded);
    await named('trigger.do', 'plain');
    const plain = await awaitThat('the plain text', () => callee.of('/plain')[0]);
    expect([plain.text, plain.type]).toEqual(['not json', 'text/plain;charset=utf-8']);
  });

  it('I-2 adds a SimpleTrigger with SOCKET, and the callee finds the data in its line, once', async () => {
    const recall = {
      recallType: 'SOCKET',
      option: { host: '127.0.0.1', port: String(callee.port()) },
      data: '{"x":"值"}',
    };
    const once = { isForever: false, repeatCount: 1, intervalType: 'NULL' };
    expect((await add(recall, simple('i2', once))).json).toEqual(succeeded);
    const { text } = await awaitThat('the line', () => callee.of('')[0]);
    expect(JSON.parse(text).parameters.text).toBe('{"x":"值"}');
    await awaitThat('the execution ended', async () => {
      const { executions } = await instance().executions.list({ filter: { job: refOf('i2') } });
      return executions[0]?.state === ExecutionState.FAILED;
    });
    expect(callee.of('')).toHaveLength(1);
  });

  it('I-3 and I-4 refuse a task that is there, and overwrite it where that is asked for', async () => {
    expect((await add(http('/old'), cron('i3'))).json).toEqual(succeeded);
    const before = await getJob('i3');
    const { status, json } = await add(http('/new'), cron('i3', { priority: 9 }));
    expect([status, json]).toEqual([200, refused]);
    expect(await getJob('i3')).toEqual(before);
    expect((await add(http('/new'), cron('i3', { priority: 9 }), true)).json).toEqual(succeeded);
    const after = await getJob('i3');
    expect([after.id, after.priority]).toEqual([before.id, 9]);
    await named('trigger.do', 'i3');
    await awaitThat('the new callee is called', () => callee.of('/new').length === 1);
    expect(callee.of('/old')).toHaveLength(0);
  });

  it.each([
    [500, 'MILLISECOND', 500],
    [2, 'SECOND', 2_000],
    [1, 'MINUTE', 60_000],
    ['1', 'HOUR', 3_600_000],
  ])('I-5 fires every %s %s', async (interval, intervalType, ms) => {
    const name = `i5-${intervalType}`;
    const startDate = '2098-01-01T00:00:00Z';
    expect((await add(http('/i5'), simple(name, { interval, intervalType }, { startDate }))).json).toEqual(
      succeeded,
    );
    const start = Date.parse(startDate);
    expect(await firesOf(name)).toEqual([start, start + ms, start + 2 * ms, start + 3 * ms]);
  });

  it('I-5 takes the intervalType NULL for a single run only', async () => {
    const type = { intervalType: 'NULL', interval: null };
    for (const runs of [{ isForever: true }, { isForever: false, repeatCount: 2 }]) {
      const { status, json } = await add(http('/null'), simple('i5-null', { ...type, ...runs }));
      expect([status, json.success]).toEqual([400, false]);
      expect(json.error).toContain('taskConfig.timeConfig.intervalType: may be NULL only for a single run');
    }
    const once = { ...type, isForever: false, repeatCount: 1 };
    // Its start has passed long since: it runs at once.
    expect((await add(http('/null'), simple('i5-null', once, { startDate: 0 }))).json).toEqual(succeeded);
    await awaitThat('it is finished', async () => (await getJob('i5-null')).state === JobState.FINISHED);
    await awaitThat('it has run', () => callee.of('/null').length === 1);
  });

  it.each([
    ['a moment ago', 1_000, { isForever: true }, 1],
    ['a moment ago', 1_000, { isForever: false, repeatCount: 2 }, 1],
    ['long since', 90_000_000, { isForever: false, repeatCount: 2 }, 1],
    ['long since', 90_000_000, { isForever: true }, 0],
  ])('I-5 makes up at once for a start %s, %i ms, with %j: %i runs', async (_when, ms, runs, made) => {
    const name = `i5 ${ms} ${JSON.stringify(runs)}`;
    const startDate = Date.now() - ms;
    const hour = { interval: 1, intervalType: 'HOUR', ...runs };
    expect((await add(http(`/${made}`), simple(name, hour, { startDate }))).json).toEqual(succeeded);
    const begun = Date.now();
    const executions = await awaitThat('its first runs', async () => {
      const listed = await instance().executions.list({ filter: { job: refOf(name) } });
      return listed.executions.length >= made && listed.executions;
    });
    expect(executions).toHaveLength(made);
    const [next] = await firesOf(name, 1);
    if (made === 0) expect((next! - startDate) % 3_600_000).toBe(0);
    else expect(next! - timestampMs(executions[0]!.fireTime!)).toBe(3_600_000);
    expect(next).toBeLessThanOrEqual(begun + 3_600_000);
  });

  it('I-5 runs once where the end comes before the second run', async () => {
    const hour = { interval: 1, intervalType: 'HOUR' };
    const dates = { startDate: null, endDate: Date.now() + 1_800_000 };
    expect((await add(http('/short'), simple('short', hour, dates))).json).toEqual(succeeded);
    await awaitThat('it is finished', async () => (await getJob('short')).state === JobState.FINISHED);
    await awaitThat('it has run', () => callee.of('/short').length === 1);
  });

  it('I-6 and I-8 run for ever until the end date, and not behind it', async () => {
    await add(
      http('/for-ever'),
      simple('i6', { isForever: true, repeatCount: 3 }, { startDate: '2098-01-01 00:00:00' }),
    );
    const job = await getJob('i6');
    expect(job.schedules[0]?.repeatCount).toBe(0);
    expect(timestampMs(job.schedules[0]!.endTime!)).toBe(Date.parse('2099-12-31T23:59:59+08:00'));
    // The first second of 2098 in Shanghai.
    expect((await firesOf('i6', 1))[0]).toBe(Date.parse('2097-12-31T16:00:00Z'));

    const endDate = Date.now() + 2_000;
    await add(http('/i8'), simple('i8', { interval: 200, intervalType: 'MILLISECOND' }, { endDate }));
    await awaitThat('it is finished', async () => (await getJob('i8')).state === JobState.FINISHED);
    const { executions } = await instance().executions.list({ filter: { job: refOf('i8') } });
    expect(executions.length).toBeGreaterThan(0);
    for (const { fireTime } of executions) expect(timestampMs(fireTime!)).toBeLessThanOrEqual(endDate);
    expect((await named('trigger.do', 'i8')).json).toEqual(refused);
    expect((await add(http('/i8'), cron('i8 late', { endDate: '2001-01-01' }))).json).toEqual(refused);
  });

  it('I-7 runs exactly as often as repeatCount says', async () => {
    const three = { interval: 100, intervalType: 'MILLISECOND', isForever: 'false', repeatCount: '3' };
    await add(http('/i7'), simple('i7', three));
    await awaitThat('it is finished', async () => (await getJob('i7')).state === JobState.FINISHED);
    await awaitThat('three runs', () => callee.of('/i7').length === 3);
    const { executions } = await instance().executions.list({ filter: { job: refOf('i7') } });
    expect(executions).toHaveLength(3);
    expect(new Set(callee.of('/i7').map(({ fireAtMs }) => fireAtMs)).size).toBe(3);
  });

  it('I-9 does not fire before the start date', async () => {
    const startDate = Date.now() + 1_000;
    const twice = { interval: 100, intervalType: 'MILLISECOND', isForever: false, repeatCount: 2 };
    await add(http('/i9'), simple('i9', twice, { startDate }));
    await awaitThat('both runs', () => callee.of('/i9').length === 2);
    for (const { fireAtMs } of callee.of('/i9')) {
      expect(fireAtMs).toBeGreaterThanOrEqual(startDate);
      expect((fireAtMs - startDate) % 100).toBe(0);
    }
  });

  it('I-10 runs priority 9 before priority 1 where there is room for one', async () => {
    const namespace = 'one-slot';
    await instance().admin.createNamespace({ namespace: { name: namespace, limits: { maxRunning: 1 } } });
    const headers = { 'carillon-namespace': namespace };
    const once = { isForever: false, repeatCount: 1, intervalType: 'NULL' };
    await add(http('/hold'), simple('blocker', once), false, headers);
    await awaitThat('the slot is taken', () => callee.of('/hold').length === 1);
    for (const priority of [1, 9])
      await add(http(`/p${priority}`), simple(`p${priority}`, once, { priority }), false, headers);
    await awaitThat('both wait', async () => {
      const filter = { namespace, states: [ExecutionState.PENDING] };
      return (await instance().executions.list({ filter })).executions.length === 2;
    });
    callee.release();
    await awaitThat('both have run', () => callee.of('/p1').length + callee.of('/p9').length === 2);
    expect(callee.received.flatMap(({ path }) => (/^\/p/.test(path) ? [path] : [])).slice(-2)).toEqual([
      '/p9',
      '/p1',
    ]);
  });

  it('I-11 and I-12 fire nothing while a task is paused, and go on when it is resumed', async () => {
    await add(http('/i11'), cron('i11', { cronExpress: '* * * * * ?' }));
    expect((await named('pause.do', 'i11')).json).toEqual(succeeded);
    expect((await named('pause.do', 'i11')).json).toEqual(succeeded);
    const paused = await getJob('i11');
    expect([paused.state, paused.schedules.length]).toEqual([JobState.PAUSED, 1]);
    const filter = { job: refOf('i11'), states: [ExecutionState.SKIPPED] };
    await awaitThat('a fire was held back', async () => {
      return (await instance().executions.list({ filter })).executions.length > 0;
    });
    const before = callee.of('/i11').length;
    expect((await named('resumeTask.do', 'i11')).json).toEqual(succeeded);
    await awaitThat('it fires again', () => callee.of('/i11').length > before);
    // What was held back stays so.
    const held = (await instance().executions.list({ filter })).executions;
    const heldAt = new Set(held.map(({ fireTime }) => timestampMs(fireTime!)));
    expect(callee.of('/i11').filter(({ fireAtMs }) => heldAt.has(fireAtMs))).toEqual([]);
    await named('delete.do', 'i11');
  });

  it('I-13 deletes a task; a second time there is none', async () => {
    await add(http('/i13'), cron('i13'));
    expect((await named('delete.do', 'i13')).json).toEqual(succeeded);
    await expect(getJob('i13')).rejects.toThrow('not_found');
    const second = await named('delete.do', 'i13');
    expect([second.status, second.json]).toEqual([200, refused]);
    expect((await add(http('/i13'), cron('i13'))).json).toEqual(succeeded);
  });

  it.each(['trigger.do', '%20trigger.do', '+trigger.do'])(
    'I-14 runs a task at once by %s, paused or not',
    async (path) => {
      const name = `i14 ${path}`;
      await add(http(`/i14-${path}`), cron(name));
      await named('pause.do', name);
      const { json, status, headers } = await named(path, name);
      if (path.startsWith('+')) {
        // A plus sign is no blank in a path.
        expect([status, json]).toEqual([404, refused]);
        return;
      }
      expect(json).toEqual(succeeded);
      expect(headers.get('carillon-execution-id')).toMatch(/^\d+$/);
      await awaitThat('it has run', () => callee.of(`/i14-${path}`).length === 1);
    },
  );

  it.each(['pause.do', 'resumeTask.do', 'delete.do', 'trigger.do'])(
    'I-15 refuses %s for an unknown pair',
    async (path) => {
      await add(http('/i15'), cron('i15'), true);
      for (const [name, group] of [
        ['nobody', 'g'],
        ['i15', 'other'],
      ]) {
        const { status, json, headers } = await named(path, name!, group);
        expect([status, json, headers.get('carillon-reason')]).toEqual([200, refused, 'JOB_NOT_FOUND']);
      }
    },
  );

  describe('I-16 refuses', () => {
    const good = () => ({ recallConfig: http('/bad'), taskConfig: cron('bad'), replace: false });
    const goodSimple = () => ({ ...good(), taskConfig: simple('bad', {}) });
    const without = (from: Task, field: string): Task =>
      Object.fromEntries(Object.entries(from).filter(([name]) => name !== field));
    const inTask = (more: Task) => ({ ...good(), taskConfig: { ...cron('bad'), ...more } });
    const inRecall = (more: Task) => ({ ...good(), recallConfig: { ...http('/bad'), ...more } });
    const inTime = (more: Task) => ({ ...good(), taskConfig: simple('bad', more) });

    it.each<[string, () => unknown, string]>([
      ['no recallConfig', () => without(good(), 'recallConfig'), 'recallConfig: must be set'],
      ['no taskConfig', () => without(good(), 'taskConfig'), 'taskConfig: must be set'],
      ['no replace', () => without(good(), 'replace'), 'replace: must be set'],
      ['replace in other words', () => ({ ...good(), replace: 'yes' }), 'replace: must be true or false'],
      ['a list for taskConfig', () => ({ ...good(), taskConfig: [] }), 'taskConfig: must be an object'],
      ['taskConfig that is no JSON', () => ({ ...good(), taskConfig: '{' }), 'taskConfig must be JSON'],
      [
        'an unknown recallType',
        () => inRecall({ recallType: 'FTP' }),
        'recallConfig.recallType: must be HTTP or SOCKET',
      ],
      ['no option', () => inRecall({ option: undefined }), 'recallConfig.option: must be set'],
      ['no url', () => inRecall({ option: {} }), 'recallConfig.option.url: must be set'],
      ['a url that is none', () => inRecall({ option: { url: 'ftp://x' } }), 'http:// or https://'],
      [
        'no port',
        () => inRecall({ recallType: 'SOCKET', option: { host: 'h' } }),
        'recallConfig.option.port: must be set',
      ],
      ['no data', () => inRecall({ data: undefined }), 'recallConfig.data: must be set'],
      [
        'an unknown triggerType',
        () => inTask({ triggerType: 'Other' }),
        'taskConfig.triggerType: must be SimpleTrigger or',
      ],
      ['no jobCode', () => inTask({ jobCode: undefined }), 'taskConfig.jobCode: must be set'],
      ['a list for jobCode', () => inTask({ jobCode: ['a'] }), 'taskConfig.jobCode: must be text'],
      ['an empty jobCode', () => inTask({ jobCode: '' }), 'job.key.name'],
      ['no groupCode', () => inTask({ groupCode: undefined }), 'taskConfig.groupCode: must be set'],
      ['no priority', () => inTask({ priority: undefined }), 'taskConfig.priority: must be set'],
      [
        'a priority that is no number',
        () => inTask({ priority: 'high' }),
        'taskConfig.priority: must be a whole number',
      ],
      ['no endDate', () => inTask({ endDate: undefined }), 'taskConfig.endDate: must be set'],
      [
        'a date that does not exist',
        () => inTask({ endDate: '2026-02-30 00:00:00' }),
        'taskConfig.endDate: must be a date',
      ],
      ['a date in words', () => inTask({ endDate: 'tomorrow' }), 'taskConfig.endDate: must be a date'],
      ['no cronExpress', () => inTask({ cronExpress: undefined }), 'taskConfig.cronExpress: must be set'],
      ['a cronExpress of five fields', () => inTask({ cronExpress: '0 3 * * *' }), 'cron.expression'],
      [
        'no startDate',
        () => ({ ...goodSimple(), taskConfig: simple('bad', {}, { startDate: undefined }) }),
        'taskConfig.startDate: must be set',
      ],
      [
        'no timeConfig',
        () => ({ ...goodSimple(), taskConfig: simple('bad', {}, { timeConfig: undefined }) }),
        'taskConfig.timeConfig: must be set',
      ],
      [
        'an unknown intervalType',
        () => inTime({ intervalType: 'DAY' }),
        'intervalType: must be NULL or MILLISECOND',
      ],
      ['no interval', () => inTime({ interval: undefined }), 'taskConfig.timeConfig.interval: must be set'],
      [
        'an interval of 0',
        () => inTime({ interval: 0 }),
        'taskConfig.timeConfig.interval: must be a whole number from 1',
      ],
      [
        'no repeatCount',
        () => inTime({ isForever: false, repeatCount: undefined }),
        'timeConfig.repeatCount: must be set',
      ],
      [
        'a repeatCount of 0',
        () => inTime({ isForever: false, repeatCount: 0 }),
        'repeatCount: must be a whole number from 1',
      ],
      ['no isForever', () => inTime({ isForever: undefined }), 'timeConfig.isForever: must be set'],
      ['null', () => null, 'must be set'],
      ['a list', () => [], 'the body: must be an object'],
    ])('%s', async (_what, body, message) => {
      const { status, json } = await send('POST', call('add.do'), JSON.stringify(body()));
      expect([status, json]).toEqual([400, refused]);
      expect(json.error).toContain(message);
    });

    it('calls without a name, and other types of body', async () => {
      const calls: [Promise<Fetched>, number, string][] = [
        [send('POST', call('pause.do'), { jobName: 'a' }), 400, 'groupName: must be set'],
        [send('POST', call('pause.do'), { jobName: 1, groupName: 'g' }), 400, 'jobName: must be text'],
        [ask(call('delete.do?jobName=a&jobName=b'), { method: 'POST' }), 400, 'jobName must be given once'],
        [
          ask(call('delete.do'), { method: 'POST', body: 'x' }),
          415,
          'must be application/json or application/x-www',
        ],
        [ask(call('delete.do')), 405, 'the method must be POST'],
        [ask(call('other.do'), { method: 'POST' }), 404, 'there is nothing at this path'],
      ];
      for (const [asked, status, message] of calls) {
        const answer = await asked;
        expect([answer.status, answer.json]).toEqual([status, refused]);
        expect(answer.json.error).toContain(message);
      }
    });
  });

  it('takes JSON with texts or objects within, and parameters of the query', async () => {
    const body = {
      recallConfig: JSON.stringify({
        ...http('/json'),
        option: JSON.stringify({ url: callee.url('/json') }),
        data: { a: [1] },
      }),
      taskConfig: cron('json', { endDate: null }),
      replace: 'true',
    };
    expect((await send('POST', call('add.do'), body)).json).toEqual(succeeded);
    const triggered = await ask(call('trigger.do?jobName=json&groupName=g'), { method: 'POST' });
    expect(triggered.json).toEqual(succeeded);
    const hit = await awaitThat('it has run', () => callee.of('/json')[0]);
    expect(hit.text).toBe('{"a":[1]}');
    const job = await getJob('json');
    expect(job.schedules[0]?.endTime).toBeUndefined();
    expect(job.schedules[0]?.kind.value).toMatchObject({ timeZone: 'Asia/Shanghai' });
  });

  it.each([
    ['2098-06-01 12:00:00', '2098-06-01T04:00:00.000Z'],
    ['2098-06-01 12:00:00.5', '2098-06-01T04:00:00.500Z'],
    ['2098-06-01T12:00', '2098-06-01T04:00:00.000Z'],
    ['2098-06-01', '2098-05-31T16:00:00.000Z'],
    ['2098-06-01T12:00:00Z', '2098-06-01T12:00:00.000Z'],
    ['2098-06-01T12:00:00.250+0200', '2098-06-01T10:00:00.250Z'],
    [4_052_289_600_000, '2098-05-30T12:00:00.000Z'],
    ['4052289600000', '2098-05-30T12:00:00.000Z'],
  ])('reads the date %s', async (startDate, expected) => {
    await add(http('/date'), simple('dates', {}, { startDate }), true);
    expect(new Date((await firesOf('dates', 1))[0]!).toISOString()).toBe(expected);
  });
});

describe('the gateway iuap behind access control', () => {
  let answers: Fetched[];

  beforeAll(async () => {
    let isKnown = false;
    const servers = await startServers({
      gateways: ['iuap'],
      authentication: {
        name: 'authentication',
        open: () => {
          throw new DomainError(isKnown ? 'PERMISSION_DENIED' : 'UNAUTHENTICATED', 'refused by the test');
        },
      },
    });
    const url = `http://${servers.http.address}/dispatchserver/pause.do?jobName=a&groupName=b`;
    answers = [await ask(url, { method: 'POST' })];
    isKnown = true;
    answers.push(await ask(url, { method: 'POST' }));
    await servers.stop();
  });

  it('answers 401 and 403 in its shape', () => {
    expect(answers.map(({ status, json }) => [status, json])).toEqual([
      [401, { success: false, error: 'refused by the test', resultValue: null }],
      [403, { success: false, error: 'refused by the test', resultValue: null }],
    ]);
  });
});
