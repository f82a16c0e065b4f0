/**
 * Two tenants on one instance with access control. Each RPC is called about the
 * other tenant's things, and about things that do not exist: both must look the
 * same (reliability 5.8). The table is complete because it is checked against
 * the services.
 */
import { randomBytes } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { AttemptService } from '../../gen/carillon/v1/attempt_service_pb.js';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { type Job, JobSchema } from '../../gen/carillon/v1/job_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { ScheduleSchema } from '../../gen/carillon/v1/schedule_pb.js';
import { Role } from '../../gen/carillon/v1/token_pb.js';
import { WorkerService } from '../../gen/carillon/v1/worker_service_pb.js';
import { permissionsOfRole } from '../../src/domain/access.ts';
import { createServices } from '../../src/rpc/services/services.ts';
import { FakeOperations } from '../support/fake-operations.ts';
import { type InstanceClient, useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';

const database = useTestDatabase();
const instance = useInstance(() => ({
  databaseUrl: database.url,
  env: { CARILLON_ACCESS_CONTROL: 'true', CARILLON_SECRET_KEY: randomBytes(32).toString('base64') },
}));

let root: InstanceClient;
let red: InstanceClient;
let blue: InstanceClient;
const things = { job: 0n, execution: 0n, backfill: 0n, token: 0n };

const target = { kind: { case: 'worker' as const, value: { queue: 'q' } } };
const draft = (namespace: string, name: string): Job =>
  create(JobSchema, { key: { namespace, name }, target });

async function tokenFor(role: Role, namespace: string): Promise<string> {
  const { text } = await root.admin.createToken({ token: { name: 't', grants: [{ role, namespace }] } });
  return text;
}

beforeAll(async () => {
  root = instance().connect(instance().firstToken);
  for (const name of ['red', 'blue']) await root.admin.createNamespace({ namespace: { name } });
  red = instance().connect(await tokenFor(Role.ADMIN, 'red'));
  blue = instance().connect(await tokenFor(Role.ADMIN, 'blue'));
  const schedule = create(ScheduleSchema, { kind: { case: 'cron', value: { expression: '0 3 * * *' } } });
  const { job } = await blue.jobs.add({ job: { ...draft('blue', 'theirs'), schedules: [schedule] } });
  const ref = { ref: { case: 'id' as const, value: job!.id } };
  const { execution } = await blue.jobs.trigger({ job: ref });
  const { backfillId } = await blue.jobs.backfill({
    job: ref,
    startTime: { seconds: 1_760_000_000n },
    endTime: { seconds: 1_760_200_000n },
    overlap: 5,
  });
  await blue.admin.putCalendar({ calendar: { namespace: 'blue', name: 'c', dates: ['2026-12-25'] } });
  await blue.admin.putSecret({ namespace: 'blue', name: 's' });
  await blue.admin.putQueue({ queue: { namespace: 'blue', name: 'q', limits: { maxRunning: 3 } } });
  const { token } = await blue.admin.createToken({
    token: { name: 'shown', grants: [{ namespace: 'blue', role: Role.VIEWER }] },
  });
  Object.assign(things, {
    job: job!.id,
    execution: execution!.id,
    backfill: backfillId,
    token: token!.id,
  });
});

afterAll(() => {
  for (const client of [root, red, blue]) client?.close();
});

/** What is asked about: the other tenant's things, or some that do not exist. */
type Things = { readonly namespace: string; readonly job: bigint; readonly name: string } & Pick<
  typeof things,
  'execution' | 'backfill' | 'token'
>;

const byId = (value: bigint) => ({ ref: { case: 'id' as const, value } });
const byKey = ({ namespace, name }: Things) => ({
  ref: { case: 'key' as const, value: { namespace, name } },
});

/** Takes the first message of a stream. */
async function first<T>(messages: AsyncIterable<T>): Promise<T | undefined> {
  for await (const message of messages) return message;
  return undefined;
}

async function hello(client: InstanceClient, namespace: string): Promise<unknown> {
  async function* requests() {
    yield {
      message: {
        case: 'hello' as const,
        value: { workerId: 'w', namespace, queues: ['q'], capacity: 1 },
      },
    };
  }
  return first(client.workers.connect(requests()));
}

type Ask = (client: InstanceClient, of: Things) => Promise<unknown>;

/** Every RPC, in each way in which it can be asked about somebody's things. */
const asks: Readonly<Record<string, readonly Ask[]>> = {
  'JobService/Add': [
    (c, of) => c.jobs.add({ job: draft(of.namespace, 'new') }),
    (c, of) => c.jobs.add({ job: draft(of.namespace, of.name), replace: true, requestId: 'r' }),
  ],
  'JobService/Get': [(c, of) => c.jobs.get({ job: byId(of.job) }), (c, of) => c.jobs.get({ job: byKey(of) })],
  'JobService/List': [
    (c, of) => c.jobs.list({ filter: { namespace: of.namespace } }),
    (c, of) => c.jobs.list({ filter: { namePrefix: of.name } }),
  ],
  'JobService/Update': [
    (c, of) => c.jobs.update({ job: create(JobSchema, { id: of.job, description: 'mine' }) }),
    (c, of) =>
      c.jobs.update({ job: create(JobSchema, { ...draft(of.namespace, of.name), description: 'mine' }) }),
  ],
  'JobService/Pause': [
    (c, of) => c.jobs.pause({ jobs: { case: 'job', value: byId(of.job) } }),
    (c, of) => c.jobs.pause({ jobs: { case: 'job', value: byKey(of) } }),
    (c, of) => c.jobs.pause({ jobs: { case: 'selector', value: { namePrefix: of.name } } }),
    (c, of) => c.jobs.pause({ jobs: { case: 'selector', value: { namespace: of.namespace } } }),
  ],
  'JobService/Resume': [
    (c, of) => c.jobs.resume({ jobs: { case: 'job', value: byId(of.job) } }),
    (c, of) => c.jobs.resume({ jobs: { case: 'selector', value: { namespace: of.namespace } } }),
  ],
  'JobService/Delete': [
    (c, of) => c.jobs.delete({ jobs: { case: 'job', value: byId(of.job) } }),
    (c, of) => c.jobs.delete({ jobs: { case: 'job', value: byKey(of) } }),
    (c, of) => c.jobs.delete({ jobs: { case: 'selector', value: { namePrefix: of.name } } }),
  ],
  'JobService/Trigger': [
    (c, of) => c.jobs.trigger({ job: byId(of.job) }),
    (c, of) => c.jobs.trigger({ job: byKey(of), requestId: 'r' }),
  ],
  'JobService/Backfill': [
    (c, of) =>
      c.jobs.backfill({
        job: byId(of.job),
        startTime: { seconds: 1_760_000_000n },
        endTime: { seconds: 1_760_100_000n },
      }),
  ],
  'JobService/Preview': [
    (c, of) => c.jobs.preview({ job: byId(of.job) }),
    (c, of) => c.jobs.preview({ job: byKey(of) }),
  ],
  'ExecutionService/Get': [(c, of) => c.executions.get({ executionId: of.execution })],
  'ExecutionService/List': [
    (c, of) => c.executions.list({ filter: { job: byId(of.job) } }),
    (c, of) => c.executions.list({ filter: { namespace: of.namespace } }),
    (c, of) => c.executions.list({ filter: { backfillId: of.backfill } }),
    (c) => c.executions.list({}),
  ],
  'ExecutionService/Cancel': [
    (c, of) =>
      c.executions.cancel({ executions: { case: 'byIds', value: { executionIds: [of.execution] } } }),
    (c, of) => c.executions.cancel({ executions: { case: 'byJobs', value: { jobs: [byKey(of)] } } }),
    (c, of) => c.executions.cancel({ executions: { case: 'all', value: { namespace: of.namespace } } }),
  ],
  'ExecutionService/Stream': [
    (c, of) =>
      first(c.executions.stream({ source: { case: 'executionId', value: of.execution }, follow: false })),
    (c, of) => first(c.executions.stream({ source: { case: 'job', value: byId(of.job) }, follow: false })),
    (c, of) =>
      first(
        c.executions.stream({
          source: { case: 'selector', value: { namespace: of.namespace } },
          follow: false,
          tail: 10,
        }),
      ),
  ],
  'ExecutionService/ListLogs': [(c, of) => c.executions.listLogs({ executionId: of.execution })],
  'WorkerService/Connect': [(c, of) => hello(c, of.namespace)],
  'WorkerService/List': [(c, of) => c.workers.list({ filter: { namespace: of.namespace } })],
  'AdminService/UpdateNamespace': [
    (c, of) => c.admin.updateNamespace({ namespace: { name: of.namespace, description: 'mine' } }),
  ],
  'AdminService/PutQueue': [(c, of) => c.admin.putQueue({ queue: { namespace: of.namespace, name: 'q' } })],
  'AdminService/ListQueues': [(c, of) => c.admin.listQueues({ namespace: of.namespace })],
  'AdminService/PutCalendar': [
    (c, of) => c.admin.putCalendar({ calendar: { namespace: of.namespace, name: 'c' } }),
  ],
  'AdminService/GetCalendar': [(c, of) => c.admin.getCalendar({ namespace: of.namespace, name: 'c' })],
  'AdminService/ListCalendars': [(c, of) => c.admin.listCalendars({ namespace: of.namespace })],
  'AdminService/DeleteCalendar': [(c, of) => c.admin.deleteCalendar({ namespace: of.namespace, name: 'c' })],
  'AdminService/PutSecret': [(c, of) => c.admin.putSecret({ namespace: of.namespace, name: 's' })],
  'AdminService/ListSecrets': [(c, of) => c.admin.listSecrets({ namespace: of.namespace })],
  'AdminService/DeleteSecret': [(c, of) => c.admin.deleteSecret({ namespace: of.namespace, name: 's' })],
  'AdminService/CreateToken': [
    (c, of) =>
      c.admin.createToken({
        token: { name: 'spy', grants: [{ namespace: of.namespace, role: Role.VIEWER }] },
      }),
  ],
  'AdminService/ListAuditEvents': [
    (c, of) => c.admin.listAuditEvents({ filter: { namespace: of.namespace } }),
    (c, of) => c.admin.listAuditEvents({ filter: { objectId: of.job } }),
  ],
  'AdminService/RevokeToken': [(c, of) => c.admin.revokeToken({ tokenId: of.token })],
};

/** RPCs that are about no namespace's things by name. */
const aboutNothing = [
  'AdminService/CreateNamespace',
  'AdminService/ListNamespaces',
  'AdminService/ListTokens',
];

const theirs = (): Things => ({ ...things, namespace: 'blue', name: 'theirs' });
/** As long as theirs, so that only the names differ. */
const nobodys = (): Things => ({
  namespace: 'gone',
  name: 'absent',
  job: things.job - 1n,
  execution: things.execution - 1n,
  backfill: things.backfill - 1n,
  token: things.token - 1n,
});

/** What came of a call, with whatever was asked about taken out. */
async function outcomeOf(ask: Ask, client: InstanceClient, of: Things): Promise<string> {
  const names = Object.values(of).map(String);
  const neutral = (text: string): string =>
    names.reduce((shown, name) => shown.replaceAll(name, '…'), text).replace(/p_[0-9a-f]{20}/, '…');
  try {
    const reply = await ask(client, of);
    return neutral(
      JSON.stringify(reply ?? null, (_, value: unknown) =>
        typeof value === 'bigint' ? String(value) : value,
      ),
    );
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const details = error.details.map((detail) =>
      'type' in detail ? Buffer.from(detail.value).toString('latin1') : '',
    );
    return neutral(`${Code[error.code]}: ${error.rawMessage} ${details.join(' ').replace(/[^ -~]/g, '·')}`);
  }
}

const methods = createServices(new FakeOperations())
  .flatMap((service) => service.methods)
  .map(({ name, permission }) => ({ name: name.replace('carillon.v1.', ''), permission }));

describe('a tenant', () => {
  it('is asked about by every RPC of this table', () => {
    const callees = methods.filter(({ permission }) => permission === 'ATTEMPT_TOKEN');
    expect(callees.map(({ name }) => name)).toEqual(
      AttemptService.methods.map(({ name }) => `AttemptService/${name}`),
    );
    const asked = [...Object.keys(asks), ...aboutNothing, ...callees.map(({ name }) => name)];
    expect(asked.sort()).toEqual(methods.map(({ name }) => name).sort());
  });

  it.each(Object.entries(asks).flatMap(([name, each]) => each.map((ask, i) => [name, i, ask] as const)))(
    'sees what another tenant has as what does not exist: %s, %i',
    async (_name, _i, ask) => {
      const [other, missing] = [await outcomeOf(ask, red, theirs()), await outcomeOf(ask, red, nobodys())];
      expect(other).toBe(missing);
      expect(other).not.toMatch(/^(PermissionDenied|Internal)/);
    },
  );

  it('finds everything as it was when another tenant has asked for all of that', async () => {
    const { job } = await blue.jobs.get({ job: byId(things.job) });
    expect(job).toMatchObject({ description: '', pauses: [], etag: '1' });
    const { execution } = await blue.executions.get({ executionId: things.execution });
    expect(execution?.finishTime).toBeUndefined();
    expect((await blue.admin.listCalendars({ namespace: 'blue' })).calendars).toHaveLength(1);
    expect((await blue.admin.listSecrets({ namespace: 'blue' })).secrets).toHaveLength(1);
    const { queues } = await blue.admin.listQueues({ namespace: 'blue' });
    expect(queues).toMatchObject([{ name: 'q', limits: { maxRunning: 3 } }]);
    const { tokens } = await blue.admin.listTokens({});
    expect(tokens.map(({ name, revokeTime }) => [name, revokeTime])).toEqual([
      ['shown', undefined],
      ['t', undefined],
    ]);
    expect((await root.admin.listNamespaces({})).namespaces.map(({ name }) => name)).toEqual([
      'blue',
      'default',
      'red',
    ]);
  });

  it('lists its own namespaces, jobs, executions, workers and tokens, and counts no others', async () => {
    await red.jobs.add({ job: draft('red', 'own') });
    expect((await red.admin.listNamespaces({})).namespaces.map(({ name }) => name)).toEqual(['red']);
    const { jobs, totalSize } = await red.jobs.list({});
    expect([jobs.map(({ key }) => key?.namespace), totalSize]).toEqual([['red'], 1n]);
    expect((await red.executions.list({})).executions).toEqual([]);
    expect((await red.admin.listTokens({})).tokens).toHaveLength(1);
  });

  it('makes no namespaces, limits none, and grants nothing beyond its own', async () => {
    const denied = { code: Code.PermissionDenied };
    await expect(red.admin.createNamespace({ namespace: { name: 'more' } })).rejects.toMatchObject(denied);
    await expect(red.admin.updateNamespace({ namespace: { name: 'red', limits: {} } })).rejects.toMatchObject(
      denied,
    );
    const everywhere = { name: 'big', grants: [{ namespace: '*', role: Role.VIEWER }] };
    await expect(red.admin.createToken({ token: everywhere })).rejects.toMatchObject(denied);
    const certificate = {
      name: 'cert',
      grants: [{ namespace: 'red', role: Role.VIEWER }],
      certificateName: 'spiffe://red',
    };
    await expect(red.admin.createToken({ token: certificate })).rejects.toMatchObject(denied);
  });

  it('cannot go on in the pages and streams of another, nor in ones that it wrote itself', async () => {
    for (const name of ['p1', 'p2']) await blue.jobs.add({ job: draft('blue', name) });
    const { nextPageToken } = await blue.jobs.list({ pageSize: 1 });
    expect((await blue.jobs.list({ pageSize: 1, pageToken: nextPageToken })).jobs).toHaveLength(1);
    const invalid = { code: Code.InvalidArgument };
    await expect(red.jobs.list({ pageSize: 1, pageToken: nextPageToken })).rejects.toMatchObject(invalid);
    const bitten = `${nextPageToken.slice(0, -8)}AAAAAAAA`;
    await expect(blue.jobs.list({ pageSize: 1, pageToken: bitten })).rejects.toMatchObject(invalid);

    const all = { case: 'selector' as const, value: { namePrefix: 't' } };
    const message = await first(blue.executions.stream({ source: all, tail: 5, follow: false }));
    expect(message?.cursor).toBeTruthy();
    await expect(
      first(red.executions.stream({ source: all, cursor: message!.cursor, follow: false })),
    ).rejects.toMatchObject(invalid);
  });
});

describe('a role', () => {
  const roles = ['VIEWER', 'OPERATOR', 'EDITOR', 'ADMIN', 'WORKER'] as const;
  it.each(roles)('%s may do what its permissions say, RPC by RPC', async (name) => {
    const client = instance().connect(await tokenFor(Role[name], 'red'));
    const of: Things = { ...nobodys(), namespace: 'red' };
    const found: Record<string, boolean> = {};
    const expected: Record<string, boolean> = {};
    for (const { name: method, permission } of methods) {
      const ask = asks[method]?.at(-1);
      if (!ask || method === 'AdminService/UpdateNamespace') continue;
      const outcome = await outcomeOf(ask, client, of);
      found[method] = !outcome.startsWith('PermissionDenied');
      expected[method] = permissionsOfRole[name].includes(permission);
    }
    client.close();
    expect(found).toEqual(expected);
  });
});

describe('nobody', () => {
  const services = [JobService, ExecutionService, AdminService, WorkerService];
  const paths = services.flatMap((service) =>
    service.methods.map((method) => [`${service.typeName}/${method.name}`, method.methodKind] as const),
  );

  it.each(Object.entries(asks))('gets an answer of %s on the gRPC port', async (_name, [ask]) => {
    const client = instance().connect();
    expect(await outcomeOf(ask!, client, theirs())).toMatch(/^Unauthenticated: no credentials/);
    client.close();
  });

  it.each(paths.filter(([, kind]) => kind === 'unary'))(
    'gets an answer of %s on the HTTP port',
    async (path) => {
      const reply = await fetch(`${instance().http}/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
      expect([reply.status, ((await reply.json()) as { code: string }).code]).toEqual([
        401,
        'unauthenticated',
      ]);
    },
  );
});
