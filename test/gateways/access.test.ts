/** The gateways on an instance with access control: who may, who may not, and what the audit has of it (R-4, R-5, R-11). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Role } from '../../gen/carillon/v1/token_pb.js';
import { type InstanceClient, useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';

const database = useTestDatabase();
const instance = useInstance(() => ({
  databaseUrl: database.url,
  env: {
    CARILLON_ACCESS_CONTROL: 'true',
    CARILLON_GATEWAYS: 'ruoyi,schedulerx,task-api,iuap,dataarts',
  },
}));

let root: InstanceClient;
let job: bigint;
const tokens = { operator: '', viewer: '', stranger: '' };

beforeAll(async () => {
  root = instance().connect(instance().firstToken);
  await root.admin.createNamespace({ namespace: { name: 'elsewhere' } });
  const grants = {
    operator: { namespace: 'default', role: Role.OPERATOR },
    viewer: { namespace: 'default', role: Role.VIEWER },
    stranger: { namespace: 'elsewhere', role: Role.ADMIN },
  };
  for (const [name, grant] of Object.entries(grants)) {
    const { text } = await root.admin.createToken({ token: { name, grants: [grant] } });
    tokens[name as keyof typeof tokens] = text;
  }
  const target = { kind: { case: 'worker' as const, value: { queue: 'q' } } };
  job = (await root.jobs.add({ job: { key: { name: 'job' }, target } })).job!.id;
});

afterAll(() => root?.close());

type Answer = { readonly status: number; readonly body: string };

/** Triggers the job in each dialect, with a token where its callers put one. */
const ways: Readonly<Record<string, (token: string | undefined) => Promise<Answer>>> = {
  ruoyi: (token) => send('PUT', '/monitor/job/run', bearer(token), JSON.stringify({ jobId: Number(job) })),
  schedulerx: (token) => {
    const query = `Action=ExecuteJob&Format=JSON&JobId=${job}&Namespace=default&GroupId=default&RegionId=r`;
    return send('GET', `/?${query}${token ? `&SecurityToken=${token}` : ''}`, {});
  },
  'task-api': (token) => send('POST', '/tasks/job/execute/api', bearer(token), '{"params":{}}'),
  iuap: (token) =>
    send('POST', '/dispatchserver/trigger.do', bearer(token), '{"jobName":"job","groupName":"default"}'),
  dataarts: (token) =>
    send('POST', '/v1/default/jobs/job/run-immediate', token ? { 'X-Auth-Token': token } : {}, '{}'),
};

const bearer = (token: string | undefined): Record<string, string> =>
  token ? { authorization: `Bearer ${token}` } : {};

async function send(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: string,
): Promise<Answer> {
  const reply = await fetch(`${instance().http}${path}`, {
    method,
    headers: { ...(body && { 'content-type': 'application/json' }), ...headers },
    body,
  });
  return { status: reply.status, body: await reply.text() };
}

/** What each dialect answers to one who does not see the job: as to one who asks for a job that does not exist. */
const missing: Readonly<Record<string, readonly [status: number, text: string]>> = {
  ruoyi: [500, '任务不存在或已过期！'],
  schedulerx: [200, `groupid not exist groupId: default namespace: default`],
  'task-api': [404, 'JOB_NOT_FOUND'],
  iuap: [200, '"success":false'],
  dataarts: [400, 'DLF.0100'],
};

describe.each(Object.keys(ways))('the gateway %s', (dialect) => {
  const ask = (token?: string): Promise<Answer> => ways[dialect]!(token);
  const executions = async (): Promise<number> =>
    (await root.executions.list({ pageSize: 500 })).executions.length;

  it('runs for an operator, under its name', async () => {
    const before = await executions();
    const { status } = await ask(tokens.operator);
    expect(status).toBe(200);
    expect(await executions()).toBe(before + 1);
  });

  it('refuses who shows no credentials (R-5), wrong ones, and who may only look (R-4), and runs nothing', async () => {
    const before = await executions();
    expect((await ask()).status).toBe(401);
    expect((await ask('carillon_wrong')).status).toBe(401);
    expect((await ask(tokens.viewer)).status).toBe(403);
    expect(await executions()).toBe(before);
  });

  it('has no such job for who sees another namespace only', async () => {
    const before = await executions();
    const { status, body } = await ask(tokens.stranger);
    const [expectedStatus, text] = missing[dialect]!;
    expect(status).toBe(expectedStatus);
    expect(body).toContain(text);
    expect(await executions()).toBe(before);
  });
});

describe('the audit', () => {
  it('R-11 has who ran what in each dialect, and who was refused', async () => {
    const { events } = await root.admin.listAuditEvents({
      filter: { methods: ['carillon.v1.JobService/Trigger'] },
      pageSize: 100,
    });
    const carriedOut = events.filter(({ outcome }) => outcome === 'OK');
    expect(carriedOut).toHaveLength(Object.keys(ways).length);
    for (const { actor, objectName } of carriedOut) {
      expect([actor, objectName]).toEqual([
        expect.stringMatching(/^operator \(token/),
        'default/default/job',
      ]);
    }
    const refused = await root.admin.listAuditEvents({
      filter: { outcomes: ['PERMISSION_DENIED'] },
      pageSize: 100,
    });
    expect(refused.events.length).toBeGreaterThanOrEqual(Object.keys(ways).length);
  });
});
