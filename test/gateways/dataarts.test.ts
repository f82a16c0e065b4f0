import { beforeAll, describe, expect, it } from 'vitest';
import { DomainError } from '../../src/domain/errors.ts';
import { startServers } from '../conformance/servers.ts';
import { useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { ask, send } from './json-fetch.ts';
import { useQueueWorkers } from './queue-worker.ts';

const project = 'b384b9e9ab9b4ee8994c8633aabc9505';

/** The document's example. */
const exampleBody = `{
    "jobParams":[
        {
            "name":"aaa",
            "value":"111"
        },
        {
            "name":"bbb",
            "value":"222"
        }
    ]
}`;

const unknownJob = { error_code: 'DLF.0100', error_msg: 'The job does not exists.' };

describe('the gateway dataarts', () => {
  const database = useTestDatabase();
  const instance = useInstance(() => ({ databaseUrl: database.url, env: { CARILLON_GATEWAYS: 'dataarts' } }));
  const workers = useQueueWorkers();

  const add = (name: string, { namespace = project, group = '' } = {}) =>
    instance().jobs.add({
      job: {
        key: { namespace, group, name },
        parameters: { list: [{ name: 'own', value: '1' }] },
        target: { kind: { case: 'worker', value: { queue: 'q' } } },
      },
    });
  beforeAll(async () => {
    for (const namespace of [project, 'project-2']) {
      await workers.start({ address: instance().grpc, namespace, workerId: namespace });
    }
    await add('myJob');
  });
  const url = (name: string, in_ = project) =>
    `${instance().http}/v1/${encodeURIComponent(in_)}/jobs/${encodeURIComponent(name)}/run-immediate`;

  it('D-1 and D-9 run the documented example, and both parameters are there as texts', async () => {
    const { status, json } = await send('POST', url('myJob'), exampleBody);
    expect([status, json]).toEqual([200, { instanceId: expect.any(Number) }]);
    const { parameters } = await workers.awaitRun(json.instanceId);
    expect(parameters.list).toMatchObject([
      { name: 'own', value: '1' },
      { name: 'aaa', value: '111' },
      { name: 'bbb', value: '222' },
    ]);
  });

  it.each(['application/x-www-form-urlencoded', 'text/plain;charset=UTF-8', ''])(
    'D-1 runs the documented example, which names no type, where its client sends "%s"',
    async (type) => {
      const { status } = await ask(url('myJob'), {
        method: 'POST',
        body: Buffer.from(exampleBody),
        headers: type === '' ? {} : { 'content-type': type },
      });
      expect(status).toBe(200);
    },
  );

  it('D-2 takes no body, an empty one, and one without parameters', async () => {
    const answers = [
      await ask(url('myJob'), { method: 'POST' }),
      await send('POST', url('myJob'), ''),
      await send('POST', url('myJob'), {}),
      await send('POST', url('myJob'), { jobParams: [] }),
      await send('POST', url('myJob'), { jobParams: null }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  });

  it('D-3 answers 400 with the literal code and text for an unknown job', async () => {
    for (const where of [url('nobody'), url('myJob', 'no-such-project')]) {
      const { status, json, headers } = await send('POST', where, exampleBody);
      expect([status, json]).toEqual([400, unknownJob]);
      expect(headers.get('carillon-reason')).toBe('JOB_NOT_FOUND');
    }
  });

  it.each([
    ['D-4', 'name', { name: 'n'.repeat(64), value: '' }, { name: 'n'.repeat(65), value: '' }, 64],
    ['D-4', 'name', { name: '名'.repeat(64), value: '' }, { name: '名'.repeat(65), value: '' }, 64],
    ['D-4', 'name', { name: '🔔'.repeat(64), value: '' }, { name: '🔔'.repeat(65), value: '' }, 64],
    ['D-5', 'value', { name: 'n', value: 'v'.repeat(1_024) }, { name: 'n', value: 'v'.repeat(1_025) }, 1_024],
    [
      'D-5',
      'value',
      { name: 'n', value: '值'.repeat(1_024) },
      { name: 'n', value: '值'.repeat(1_025) },
      1_024,
    ],
    [
      'D-5',
      'value',
      { name: 'n', value: '🔔'.repeat(1_024) },
      { name: 'n', value: '🔔'.repeat(1_025) },
      1_024,
    ],
  ])('%s counts the characters of a %s', async (_id, field, good, bad, max) => {
    expect((await send('POST', url('myJob'), { jobParams: [good] })).status).toBe(200);
    const { status, json } = await send('POST', url('myJob'), { jobParams: [bad] });
    expect([status, json]).toEqual([
      400,
      { error_code: 'DLF.0400', error_msg: `jobParams[0].${field}: must have at most ${max} characters` },
    ]);
  });

  it.each([
    [{ jobParams: [{ value: '1' }] }, 'jobParams[0].name: must be set'],
    [{ jobParams: [{ name: 'a' }] }, 'jobParams[0].value: must be set'],
    [{ jobParams: [{ name: '', value: '1' }] }, 'jobParams[0].name: must not be empty'],
    [{ jobParams: [{ name: 'a', value: 1 }] }, 'jobParams[0].value: must be text'],
    [{ jobParams: [{ name: 'a', value: null }] }, 'jobParams[0].value: must be text'],
    [{ jobParams: [{ name: ['a'], value: '1' }] }, 'jobParams[0].name: must be text'],
    [{ jobParams: [null] }, 'jobParams[0]: must be an object'],
    [{ jobParams: { name: 'a', value: '1' } }, 'jobParams: must be a list'],
    [
      {
        jobParams: [
          { name: 'a', value: '1' },
          { name: 'a', value: '2' },
        ],
      },
      'jobParams[1].name: must be unique',
    ],
    [
      { jobParams: Array.from({ length: 1_001 }, (_, i) => ({ name: `${i}`, value: '' })) },
      'at most 1000 entries',
    ],
    [{ jobParams: [{ name: 'a\u0001', value: '1' }] }, 'must not contain control characters'],
    ['[', 'the body must be JSON'],
  ])('D-6 refuses %j', async (body, message) => {
    const { status, json } = await send('POST', url('myJob'), body);
    expect([status, json.error_code]).toEqual([400, 'DLF.0400']);
    expect(json.error_msg).toContain(message);
  });

  it('D-7 looks in the workspace of the header, and in default without one', async () => {
    await add('only in other', { group: 'other' });
    await add('二号', { group: '工作空间' });
    const run = (name: string, headers: Record<string, string> = {}) =>
      send('POST', url(name), exampleBody, headers);
    expect((await run('only in other')).json).toEqual(unknownJob);
    expect((await run('only in other', { workspace: 'default' })).json).toEqual(unknownJob);
    expect((await run('only in other', { workspace: 'other' })).status).toBe(200);
    const workspace = Buffer.from('工作空间').toString('latin1');
    expect((await run('二号', { workspace })).status).toBe(200);
  });

  it('D-8 runs the job of its project where two have one of the same name', async () => {
    await add('myJob', { namespace: 'project-2' });
    const first = await workers.awaitRun((await send('POST', url('myJob'), {})).json.instanceId);
    const second = await workers.awaitRun(
      (await send('POST', url('myJob', 'project-2'), {})).json.instanceId,
    );
    expect([first.worker, second.worker]).toEqual([project, 'project-2']);
  });

  it.each(['a/b', '作业 %41', 'x'.repeat(200), 'run-immediate', '🔔'])(
    'finds the job named %s',
    async (name) => {
      await add(name);
      const { json } = await send('POST', url(name), {});
      expect((await workers.awaitRun(json.instanceId)).job).toBe(name);
    },
  );

  it('presents the token of X-Auth-Token, else of Authorization, and has its own shape for whatever is refused', async () => {
    const tokens: (string | undefined)[] = [];
    const servers = await startServers({
      gateways: ['dataarts'],
      authentication: {
        name: 'authentication',
        open(call) {
          tokens.push(call.header('authorization'));
          throw new DomainError(
            tokens.length === 1 ? 'UNAUTHENTICATED' : 'PERMISSION_DENIED',
            'refused by the test',
          );
        },
      },
    });
    const path = `http://${servers.http.address}/v1/p/jobs/j/run-immediate`;
    const headers = { 'x-auth-token': 'MIIabc', authorization: 'Basic x' };
    const answers = [await send('POST', path, {}, headers), await send('POST', path, {})];
    await send('POST', path, {}, { authorization: 'Bearer b' });
    expect(answers.map(({ status, json }) => [status, json.error_code])).toEqual([
      [401, 'DLF.0401'],
      [403, 'DLF.0403'],
    ]);
    expect(tokens).toEqual(['Bearer MIIabc', undefined, 'Bearer b']);
    const get = await ask(path);
    expect([get.status, get.json.error_code, get.headers.get('allow')]).toEqual([405, 'DLF.0405', 'POST']);
    expect((await ask(`http://${servers.http.address}/v1/p/jobs/j`)).json.error_code).toBe('DLF.0404');
    expect((await ask(`http://${servers.http.address}/v1/p/other`)).json.code).toBe('unimplemented');
    await servers.stop();
  });
});
