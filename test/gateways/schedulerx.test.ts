import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Execution, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { type Job, JobState } from '../../gen/carillon/v1/job_pb.js';
import { IntervalMode } from '../../gen/carillon/v1/schedule_pb.js';
import { DomainError } from '../../src/domain/errors.ts';
import { type Servers, startServers } from '../conformance/servers.ts';
import { awaitThat } from '../support/await-that.ts';
import { fakeNow } from '../support/fake-operations.ts';
import { useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { ask, type Fetched } from './json-fetch.ts';
import { useQueueWorkers } from './queue-worker.ts';

const namespace = 'adcfc35d-e2fe-4fe9-bbaa-20e90ffc****';
const group = 'testSchedulerx.defaultGroup';

/** The members of the documents' answers, as the elements of XML and the members of JSON. */
const elementsOf = (xml: string): Record<string, string> =>
  Object.fromEntries([...xml.matchAll(/<(\w+)>([^<]*)<\/\1>/g)].map(([, name, value]) => [name, value]));

describe('the gateway schedulerx', () => {
  const database = useTestDatabase();
  const instance = useInstance(() => ({
    databaseUrl: database.url,
    env: { CARILLON_GATEWAYS: 'schedulerx' },
  }));
  const workers = useQueueWorkers();

  beforeAll(async () => {
    const { grpc: address } = instance();
    await workers.start({ address, namespace, workerId: '10.0.0.1:1', labels: { label: 'gray' } });
    await workers.start({ address, namespace, workerId: '10.0.0.2:1', labels: { label: 'blue' } });
  });

  const add = async (name: string, more: object = {}): Promise<Job> => {
    const { job } = await instance().jobs.add({
      job: {
        key: { namespace, group, name },
        target: { kind: { case: 'worker', value: { queue: 'q' } } },
        ...more,
      },
    });
    return job!;
  };
  const execute = (job: Pick<Job, 'id'>, more: Record<string, string> = {}): Promise<Fetched> => {
    const query = new URLSearchParams({
      Action: 'ExecuteJob',
      JobId: String(job.id),
      Namespace: namespace,
      GroupId: group,
      RegionId: 'cn-hangzhou',
      Format: 'JSON',
      ...more,
    });
    return ask(`${instance().http}/?${query}`);
  };
  const executionsOf = async ({ id }: Job): Promise<Execution[]> =>
    (await instance().executions.list({ filter: { job: { ref: { case: 'id', value: id } } } })).executions;
  const dailyCron = { kind: { case: 'cron' as const, value: { expression: '0 0 1 1 *' } } };

  it('X-1 executes a job by the four ids, and answers with an id of the request and of the run', async () => {
    const job = await add('x1');
    const answers = [await execute(job), await execute(job)];
    for (const { status, json } of answers) {
      expect(status).toBe(200);
      expect(json).toEqual({
        Code: 200,
        RequestId: expect.stringMatching(/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/),
        Success: true,
        Data: { JobInstanceId: expect.any(Number) },
      });
      expect((await workers.awaitRun(json.Data.JobInstanceId)).cause).toBe('API');
    }
    expect(answers[0]!.json.RequestId).not.toBe(answers[1]!.json.RequestId);
    expect(answers[0]!.headers.get('x-request-id')).toBe(answers[0]!.json.RequestId);
  });

  it('X-2 tells of an unknown group in the documented words', async () => {
    const job = await add('x2');
    const { status, json } = await execute(job, { GroupId: 'nobody' });
    expect(status).toBe(200);
    expect(json).toMatchObject({
      Code: 404,
      Success: false,
      Message: `groupid not exist groupId: nobody namespace: ${namespace}`,
    });
    const elsewhere = await execute(job, { Namespace: 'other' });
    expect(elsewhere.json.Message).toBe(`groupid not exist groupId: ${group} namespace: other`);
    const unknown = await execute({ id: 92583n });
    expect(unknown.json).toMatchObject({
      Success: false,
      Message: `jobid not exist jobId: 92583 groupId: ${group} namespace: ${namespace}`,
    });
    expect(unknown.headers.get('carillon-reason')).toBe('JOB_NOT_FOUND');
  });

  it('X-3 hands InstanceParameters over exactly, and leaves the own parameters readable', async () => {
    const own = { text: 'own text', object: { a: 1 }, list: [{ name: 'n', value: 'v' }] };
    const job = await add('x3', { parameters: own });
    for (const given of ['test', ' ½ & <b> "q" + \n 中文 ', '']) {
      const { json } = await execute(job, { InstanceParameters: given });
      const { parameters } = await workers.awaitRun(json.Data.JobInstanceId);
      expect(parameters.text).toBe(given);
      expect(parameters.object).toEqual({ a: 1, jobParameters: 'own text' });
      expect(parameters.list).toMatchObject(own.list);
    }
    const without = await workers.awaitRun((await execute(job)).json.Data.JobInstanceId);
    expect(without.parameters.text).toBe('own text');
    const stored = await instance().jobs.get({ job: { ref: { case: 'id', value: job.id } } });
    expect(stored.job?.parameters?.text).toBe('own text');
  });

  it('X-4 executes jobs of every time type', async () => {
    const every = durationFromMs(86_400_000);
    const soon = timestampFromMs(Date.now());
    const schedules = {
      cron: [dailyCron],
      'fixed rate': [{ kind: { case: 'interval', value: { every } } }],
      delay: [{ kind: { case: 'interval', value: { every, mode: IntervalMode.FIXED_DELAY } } }],
      'one-shot': [{ kind: { case: 'once', value: { atTime: timestampFromMs(Date.now() + 86_400_000) } } }],
      'one-shot that is over': [{ kind: { case: 'once', value: { atTime: soon } } }],
      api: [],
    };
    for (const [name, list] of Object.entries(schedules)) {
      const job = await add(name, { schedules: list });
      if (name === 'one-shot that is over') {
        await awaitThat('it is finished', async () => {
          const { job: now } = await instance().jobs.get({ job: { ref: { case: 'id', value: job.id } } });
          return now?.state === JobState.FINISHED;
        });
        const refused = await execute(job, { CheckJobStatus: 'true' });
        expect([refused.status, refused.json.Success, refused.json.Code]).toEqual([200, false, 409]);
      }
      const { json } = await execute(job);
      expect(json.Success, name).toBe(true);
      await workers.awaitRun(json.Data.JobInstanceId);
    }
  });

  it('X-5 and X-6 let calls within one second succeed with ids of their own, while a repeated call is one', async () => {
    const job = await add('x5', { schedules: [dailyCron] });
    const [first, second] = await Promise.all([execute(job), execute(job)]);
    expect([first.json.Success, second.json.Success]).toEqual([true, true]);
    const ids = [first.json.Data.JobInstanceId, second.json.Data.JobInstanceId];
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) await workers.awaitRun(id);

    const [one, again] = await Promise.all([
      execute(job, { ClientToken: 'token-1' }),
      execute(job, { ClientToken: 'token-1' }),
    ]);
    expect(again.json).toMatchObject({ Success: true, Data: one.json.Data });
    expect(again.json.RequestId).not.toBe(one.json.RequestId);
    const other = await execute(job, { ClientToken: 'token-1', InstanceParameters: 'other' });
    expect([other.status, other.json.Success, other.json.Code]).toEqual([200, false, 409]);
    expect(await executionsOf(job)).toHaveLength(3);
  });

  it('X-7 refuses a disabled job where its status is to be checked, and runs it otherwise', async () => {
    const job = await add('x7', { schedules: [dailyCron], startPaused: true });
    const { status, json, headers } = await execute(job, { CheckJobStatus: 'true' });
    expect([status, json.Success, json.Code]).toEqual([200, false, 409]);
    expect(headers.get('carillon-reason')).toBe('JOB_PAUSED');
    expect(await executionsOf(job)).toEqual([]);
    for (const more of [{ CheckJobStatus: 'false' }, {}] as Record<string, string>[]) {
      await workers.awaitRun((await execute(job, more)).json.Data.JobInstanceId);
    }
  });

  it.each([
    [{ DesignateType: '1', Worker: '10.0.0.2:1' }, '10.0.0.2:1'],
    [{ DesignateType: '1', Worker: '10.0.0.1:1', Label: 'blue' }, '10.0.0.1:1'],
    [{ DesignateType: '2', Label: 'gray' }, '10.0.0.1:1'],
    [{ DesignateType: '2', Label: 'blue', Worker: '10.0.0.1:1' }, '10.0.0.2:1'],
  ])('X-8 gives %j to the worker %s', async (more, worker) => {
    const job = await add(`x8 ${JSON.stringify(more)}`);
    const ids: number[] = [];
    for (let n = 0; n < 3; n++)
      ids.push((await execute(job, more as Record<string, string>)).json.Data.JobInstanceId);
    for (const id of ids) expect((await workers.awaitRun(id)).worker).toBe(worker);
  });

  it('X-8 lets a run for an unknown worker wait, and says why', async () => {
    const job = await add('x8 unknown');
    const { json } = await execute(job, { DesignateType: '1', Worker: '10.9.9.9:1' });
    expect(json.Success).toBe(true);
    const waiting = await awaitThat('it waits for the worker', async () => {
      const { execution } = await instance().executions.get({ executionId: BigInt(json.Data.JobInstanceId) });
      return execution?.waitingFor.includes('10.9.9.9:1') && execution;
    });
    expect(waiting.state).toBe(ExecutionState.PENDING);
  });

  it('X-9 answers with the same fields in XML and in JSON', async () => {
    const job = await add('x9');
    const json = await execute(job);
    const xml = await execute(job, { Format: 'xml' });
    expect(json.headers.get('content-type')).toBe('application/json');
    expect(xml.headers.get('content-type')).toBe('application/xml');
    const id = xml.headers.get('carillon-execution-id');
    expect(xml.text).toBe(
      `<ExecuteJobResponse><Code>200</Code><RequestId>${xml.headers.get('x-request-id')}</RequestId>` +
        `<Success>true</Success><Data><JobInstanceId>${id}</JobInstanceId></Data></ExecuteJobResponse>`,
    );
    const { Data, ...members } = json.json;
    expect(Object.keys(elementsOf(xml.text))).toEqual([...Object.keys(members), ...Object.keys(Data)]);
  });
});

describe('the gateway schedulerx, whatever is behind it', () => {
  let servers: Servers;
  let base: string;
  const tokens: (string | undefined)[] = [];

  beforeAll(async () => {
    servers = await startServers({
      gateways: ['schedulerx'],
      authentication: {
        name: 'authentication',
        open(call) {
          tokens.push(call.header('authorization'));
          if (call.header('authorization') === 'Bearer bad')
            throw new DomainError('UNAUTHENTICATED', 'no such token');
        },
      },
    });
    base = `http://${servers.http.address}`;
    // The ids of the document's example.
    const { operations } = servers;
    await operations.jobs.add(
      {
        key: { namespace, group, name: 'example' },
        draft: {
          description: '',
          labels: {},
          schedules: [],
          target: { kind: 'worker', queue: 'q', labels: {} },
          parameters: {},
          priority: 0,
          overlap: 'SKIP',
          misfire: { policy: 'RUN_LAST', graceMs: 0, maxCatchUp: 1, catchUpWindowMs: 1 },
          retry: { maxAttempts: 1, initialBackoffMs: 0, maxBackoffMs: 0, multiplier: 1, jitter: 0 },
          attemptTimeoutMs: 1_000,
          maxRunning: 0,
        },
        startPaused: false,
        replace: false,
        requestId: '',
        requestDigest: '',
      },
      { actor: 'test' } as never,
    );
    const [job] = operations.stored.values();
    operations.stored.set(92583, { ...job!, id: 92583, createdAt: fakeNow });
  });
  afterAll(() => servers.stop());

  const example = `Action=ExecuteJob
&JobId=92583
&InstanceParameters=test
&Namespace=adcfc35d-e2fe-4fe9-bbaa-20e90ffc****
&NamespaceSource=schedulerx
&GroupId=testSchedulerx.defaultGroup
&RegionId=cn-hangzhou
&CheckJobStatus=true
&DesignateType=1
&Worker=test
&Label=test
&AccessKeyId=testid&Signature=x%2Fy%3D&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&SignatureNonce=1&Timestamp=2019-04-30T12%3A00%3A00Z&Version=2019-04-30`.replaceAll(
    '\n',
    '',
  );

  it('answers the documented request, signed as it would be, by GET and POST', async () => {
    const post = (type: string, body: string, query = '') =>
      ask(`${base}/${query}`, { method: 'POST', body, headers: { 'content-type': type } });
    const form = 'application/x-www-form-urlencoded';
    const answers = [
      await ask(`${base}/?${example}`),
      await ask(`${base}/?${example}`, { method: 'POST' }),
      await post(form, example),
      await post(`${form}; charset=UTF-8`, 'JobId=92583', `?${example.replace('&JobId=92583', '')}`),
    ];
    for (const { status, text } of answers) {
      expect(status).toBe(200);
      expect(elementsOf(text)).toMatchObject({ Code: '200', Success: 'true' });
      expect(text).toMatch(/^<ExecuteJobResponse><Code>/);
    }
    const { args } = servers.operations.asked.findLast(({ operation }) => operation === 'trigger')!;
    expect(args[0]).toMatchObject({
      job: { id: 92583 },
      placement: { workerId: 'test' },
      requireActive: true,
      parameters: { text: 'test' },
      cause: 'API',
    });
  });

  it('takes action and token from the headers of newer SDKs', async () => {
    tokens.length = 0;
    const headers = {
      'x-acs-action': 'ExecuteJob',
      'x-acs-version': '2019-04-30',
      'x-acs-security-token': 'sts',
      authorization: 'ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=host,Signature=00',
      accept: 'application/json',
    };
    const query = example.replace('Action=ExecuteJob&', '');
    const { status, json } = await ask(`${base}/?${query}`, { method: 'POST', headers });
    expect([status, json.Success]).toEqual([200, true]);
    expect(new Set(tokens)).toEqual(new Set(['Bearer sts']));
  });

  it('chooses the format by the parameter, else by the Accept header, else XML', async () => {
    const typeOf = async (more: string, accept = '*/*') => {
      const { headers } = await ask(`${base}/?${example}${more}`, { headers: { accept } });
      return headers.get('content-type');
    };
    expect(await typeOf('')).toBe('application/xml');
    expect(await typeOf('&Format=json')).toBe('application/json');
    expect(await typeOf('', 'application/json')).toBe('application/json');
    expect(await typeOf('&Format=XML', 'application/json')).toBe('application/xml');
    expect(await typeOf('', 'text/html,application/xml;q=0.9,*/*;q=0.8')).toBe('application/xml');
  });

  it.each([
    ['/?Action=ExecuteJob', 400, 'JobId: must be set'],
    [`/?${example.replace('92583', 'abc')}`, 400, 'JobId: must be a whole number'],
    [`/?${example.replace('92583', '9007199254740993')}`, 400, 'JobId: must be a whole number'],
    [`/?${example}&JobId=1`, 400, 'JobId must be given once'],
    [`/?${example.replace('DesignateType=1', 'DesignateType=3')}`, 400, 'DesignateType: must be 1 or 2'],
    [`/?${example.replace('&Worker=test', '')}`, 400, 'Worker: must be set with DesignateType 1'],
    [`/?${example.replace('=true', '=maybe')}`, 400, 'CheckJobStatus: must be true or false'],
    [`/?${example.replace(/&GroupId=[^&]*/, '')}`, 400, 'GroupId: must be set'],
    [
      `/?${example.replace('InstanceParameters=test', 'InstanceParameters=%ff')}`,
      400,
      'percent-encoded UTF-8',
    ],
    [`/?${example}&Format=YAML`, 400, 'Format: must be XML or JSON'],
    [`/?${example.replace('ExecuteJob', 'DropJob')}`, 404, 'Specified api is not found'],
    [`/?${example}&SecurityToken=bad`, 401, 'no such token'],
  ])('refuses %s', async (path, code, message) => {
    const { status, text } = await ask(base + path);
    expect(status).toBe(code);
    expect(text).toMatch(/^<Error><Code>/);
    expect(elementsOf(text)).toMatchObject({ Code: String(code), Success: 'false' });
    expect(elementsOf(text).Message).toContain(message);
  });

  it('refuses JSON bodies, and parameters that are in query and body', async () => {
    const post = (type: string, body: string) =>
      ask(`${base}/?${example}&Format=JSON`, { method: 'POST', body, headers: { 'content-type': type } });
    expect((await post('application/json', '{}')).json.Code).toBe(415);
    const twice = await post('application/x-www-form-urlencoded', 'JobId=1');
    expect([twice.status, twice.json.Message]).toEqual([
      400,
      'JobId must be given once, in the query or in the body',
    ]);
  });

  it('escapes what it repeats, and replaces what XML cannot carry', async () => {
    const groupId = '</Message><x a="1">&amp;]]>\u{1f514}\ufffe';
    const query = example.replace(/GroupId=[^&]*/, `GroupId=${encodeURIComponent(groupId)}`);
    const { operations } = servers;
    const { list } = operations.jobs;
    operations.jobs.list = async () => ({ jobs: [], nextPageToken: '', totalSize: 0 });
    const { status, text } = await ask(`${base}/?${query}`);
    operations.jobs.list = list;
    expect(status).toBe(200);
    expect(text).toContain('groupId: &lt;/Message&gt;&lt;x a=');
    expect(text).toContain('&amp;amp;]]&gt;\u{1f514}\ufffd namespace');
    const control = await ask(`${base}/?${example.replace(/GroupId=[^&]*/, 'GroupId=a%00b')}`);
    expect([control.status, control.text.includes('\0')]).toEqual([400, false]);
  });

  it('takes the token of SecurityToken before that of the header', async () => {
    tokens.length = 0;
    await ask(`${base}/?${example}&SecurityToken=sts`, { headers: { authorization: 'Bearer header' } });
    await ask(`${base}/?${example}`, { headers: { authorization: 'Bearer header' } });
    expect([...new Set(tokens)]).toEqual(['Bearer sts', 'Bearer header']);
  });

  it('leaves the page about Carillon where it is, and executes nothing by HEAD', async () => {
    expect((await ask(`${base}/`)).text).toContain('Carillon, a job-scheduling service');
    expect((await ask(`${base}/?a=1`)).text).toContain('Carillon, a job-scheduling service');
    const before = servers.operations.asked.length;
    const head = await ask(`${base}/?${example}`, { method: 'HEAD' });
    expect([head.status, head.headers.get('allow')]).toEqual([405, 'GET, POST']);
    expect(servers.operations.asked).toHaveLength(before);
  });
});
