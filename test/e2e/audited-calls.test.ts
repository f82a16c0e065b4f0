/** Every RPC of a real instance, carried out and refused, and the events that it leaves in the audit. */
import type { DescMethod, MessageInitShape } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type CallOptions, ConnectError } from '@connectrpc/connect';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../gen/carillon/v1/audit_event_pb.js';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { Role } from '../../gen/carillon/v1/token_pb.js';
import type { WorkerServiceConnectRequestSchema } from '../../gen/carillon/v1/worker_service_pb.js';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import { createServices } from '../../src/rpc/services/services.ts';
import { FakeOperations } from '../support/fake-operations.ts';
import { type InstanceClient, useInstance } from '../support/instance-process.ts';
import { manualJob } from '../support/job-drafts.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';

const database = useTestDatabase();
const callee = useRecordingCallee();
const env = { CARILLON_SECRET_KEY: Buffer.alloc(32, 5).toString('base64') };
const instance = useInstance(() => ({ databaseUrl: database.url, env }));

type Invocation = (client: InstanceClient, options: CallOptions) => Promise<unknown>;

const byName = (name: string) => ({ case: 'key', value: { name } }) as const;
const ref = (name: string) => ({ ref: byName(name) });
const chosen = (name: string) => ({ case: 'job', value: ref(name) }) as const;
const viewer = { namespace: 'default', role: Role.VIEWER };
const nobody = 'no such job';
const pageToken = 'not one of ours';
const badName = 'a\u0007';

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

describe('every RPC', () => {
  let attemptToken: string;
  let executionId: bigint;

  beforeAll(async () => {
    const { jobs } = instance();
    const url = callee.url('/ok');
    await jobs.add({ job: manualJob('one', url, { overlap: OverlapPolicy.ALLOW }) });
    await jobs.add({ job: manualJob('to delete', url) });
    const schedules = [{ kind: { case: 'cron', value: { expression: '0 0 1 1 *' } } } as const];
    await jobs.add({ job: manualJob('yearly', url, { schedules }) });
    await jobs.add({ job: manualJob('accepting', callee.url('/accept')) });
    await jobs.trigger({ job: ref('accepting') });
    ({ token: attemptToken } = await callee.awaitHit('the attempt', (hit) => hit.job === 'accepting'));
    // Nobody serves its queue: what is triggered of it stays open.
    const target = { kind: { case: 'worker', value: { queue: 'unserved' } } } as const;
    await jobs.add({ job: manualJob('waiting', '', { target }) });
    executionId = (await jobs.trigger({ job: ref('waiting') })).execution!.id;
  });

  /** How each method is called so that it does what it is for, and so that it is refused. */
  const recipes: Readonly<Record<string, { readonly ok: Invocation; readonly refused: Invocation }>> = {
    'JobService/Add': {
      ok: ({ jobs }, o) => jobs.add({ job: manualJob('new', callee.url('/ok')) }, o),
      refused: ({ jobs }, o) => jobs.add({ job: manualJob('one', callee.url('/ok')) }, o),
    },
    'JobService/Get': {
      ok: ({ jobs }, o) => jobs.get({ job: ref('one') }, o),
      refused: ({ jobs }, o) => jobs.get({ job: ref(nobody) }, o),
    },
    'JobService/List': {
      ok: ({ jobs }, o) => jobs.list({}, o),
      refused: ({ jobs }, o) => jobs.list({ pageToken }, o),
    },
    'JobService/Update': {
      ok: ({ jobs }, o) => jobs.update({ job: { key: { name: 'one' }, description: 'new' } }, o),
      refused: ({ jobs }, o) => jobs.update({ job: { key: { name: nobody }, description: 'new' } }, o),
    },
    'JobService/Pause': {
      ok: ({ jobs }, o) => jobs.pause({ jobs: chosen('one') }, o),
      refused: ({ jobs }, o) => jobs.pause({ jobs: chosen(nobody) }, o),
    },
    'JobService/Resume': {
      ok: ({ jobs }, o) => jobs.resume({ jobs: chosen('one') }, o),
      refused: ({ jobs }, o) => jobs.resume({ jobs: chosen(nobody) }, o),
    },
    'JobService/Delete': {
      ok: ({ jobs }, o) => jobs.delete({ jobs: chosen('to delete') }, o),
      refused: ({ jobs }, o) => jobs.delete({ jobs: { case: 'selector', value: {} } }, o),
    },
    'JobService/Trigger': {
      ok: ({ jobs }, o) => jobs.trigger({ job: ref('one') }, o),
      refused: ({ jobs }, o) => jobs.trigger({ job: ref(nobody) }, o),
    },
    'JobService/Backfill': {
      ok: ({ jobs }, o) =>
        jobs.backfill(
          {
            job: ref('yearly'),
            startTime: timestampFromMs(Date.UTC(2020, 0, 1)),
            endTime: timestampFromMs(Date.UTC(2022, 0, 1)),
          },
          o,
        ),
      refused: ({ jobs }, o) => jobs.backfill({ job: ref('yearly') }, o),
    },
    'JobService/Preview': {
      ok: ({ jobs }, o) => jobs.preview({ job: ref('yearly') }, o),
      refused: ({ jobs }, o) => jobs.preview({ job: ref(nobody) }, o),
    },
    'ExecutionService/Get': {
      ok: ({ executions }, o) => executions.get({ executionId }, o),
      refused: ({ executions }, o) => executions.get({ executionId: 1n }, o),
    },
    'ExecutionService/List': {
      ok: ({ executions }, o) => executions.list({}, o),
      refused: ({ executions }, o) => executions.list({ pageToken }, o),
    },
    'ExecutionService/Cancel': {
      ok: ({ executions }, o) =>
        executions.cancel({ executions: { case: 'byIds', value: { executionIds: [executionId] } } }, o),
      refused: ({ executions }, o) => executions.cancel({}, o),
    },
    'ExecutionService/Stream': {
      ok: ({ executions }, o) =>
        drain(executions.stream({ source: { case: 'executionId', value: executionId }, follow: false }, o)),
      refused: ({ executions }, o) =>
        drain(executions.stream({ source: { case: 'executionId', value: 1n } }, o)),
    },
    'ExecutionService/ListLogs': {
      ok: ({ executions }, o) => executions.listLogs({ executionId }, o),
      refused: ({ executions }, o) => executions.listLogs({ executionId: 1n }, o),
    },
    'AdminService/CreateNamespace': {
      ok: ({ admin }, o) => admin.createNamespace({ namespace: { name: 'made' } }, o),
      refused: ({ admin }, o) => admin.createNamespace({ namespace: { name: 'default' } }, o),
    },
    'AdminService/ListNamespaces': {
      ok: ({ admin }, o) => admin.listNamespaces({}, o),
      refused: ({ admin }, o) => admin.listNamespaces({ pageToken }, o),
    },
    'AdminService/UpdateNamespace': {
      ok: ({ admin }, o) => admin.updateNamespace({ namespace: { name: 'default', description: 'd' } }, o),
      refused: ({ admin }, o) => admin.updateNamespace({ namespace: { name: 'none' } }, o),
    },
    'AdminService/PutQueue': {
      ok: ({ admin }, o) => admin.putQueue({ queue: { name: 'mail', limits: { maxRunning: 3 } } }, o),
      refused: ({ admin }, o) => admin.putQueue({ queue: { name: badName } }, o),
    },
    'AdminService/ListQueues': {
      ok: ({ admin }, o) => admin.listQueues({}, o),
      refused: ({ admin }, o) => admin.listQueues({ pageToken }, o),
    },
    'AdminService/PutCalendar': {
      ok: ({ admin }, o) => admin.putCalendar({ calendar: { name: 'holidays', dates: ['2027-01-01'] } }, o),
      refused: ({ admin }, o) => admin.putCalendar({ calendar: { name: 'holidays', dates: ['soon'] } }, o),
    },
    'AdminService/GetCalendar': {
      ok: ({ admin }, o) => admin.getCalendar({ name: 'holidays' }, o),
      refused: ({ admin }, o) => admin.getCalendar({ name: 'none' }, o),
    },
    'AdminService/ListCalendars': {
      ok: ({ admin }, o) => admin.listCalendars({}, o),
      refused: ({ admin }, o) => admin.listCalendars({ pageToken }, o),
    },
    'AdminService/DeleteCalendar': {
      ok: ({ admin }, o) => admin.deleteCalendar({ name: 'holidays' }, o),
      refused: ({ admin }, o) => admin.deleteCalendar({ name: badName }, o),
    },
    'AdminService/PutSecret': {
      ok: ({ admin }, o) => admin.putSecret({ name: 'hook' }, o),
      refused: ({ admin }, o) => admin.putSecret({ name: 'hook', value: 'short' }, o),
    },
    'AdminService/ListSecrets': {
      ok: ({ admin }, o) => admin.listSecrets({}, o),
      refused: ({ admin }, o) => admin.listSecrets({ pageToken }, o),
    },
    'AdminService/DeleteSecret': {
      ok: ({ admin }, o) => admin.deleteSecret({ name: 'hook' }, o),
      refused: ({ admin }, o) => admin.deleteSecret({ name: badName }, o),
    },
    'AdminService/CreateToken': {
      ok: ({ admin }, o) => admin.createToken({ token: { name: 'ci', grants: [viewer] } }, o),
      refused: ({ admin }, o) =>
        admin.createToken({ token: { name: 'ci', grants: [{ ...viewer, namespace: nobody }] } }, o),
    },
    'AdminService/ListTokens': {
      ok: ({ admin }, o) => admin.listTokens({}, o),
      refused: ({ admin }, o) => admin.listTokens({ pageToken }, o),
    },
    'AdminService/RevokeToken': {
      ok: ({ admin }, o) =>
        admin.listTokens({}).then(({ tokens }) => admin.revokeToken({ tokenId: tokens[0]!.id }, o)),
      refused: ({ admin }, o) => admin.revokeToken({ tokenId: 1n }, o),
    },
    'AdminService/ListAuditEvents': {
      ok: ({ admin }, o) => admin.listAuditEvents({}, o),
      refused: ({ admin }, o) => admin.listAuditEvents({ pageToken }, o),
    },
    'WorkerService/Connect': {
      ok: ({ workers }, o) => drain(workers.connect(hello(), o)),
      refused: ({ workers }, o) => drain(workers.connect(badHello(), o)),
    },
    'WorkerService/List': {
      ok: ({ workers }, o) => workers.list({}, o),
      refused: ({ workers }, o) => workers.list({ pageToken }, o),
    },
    'AttemptService/AppendLogs': {
      ok: ({ attempts }, o) => attempts.appendLogs({ attemptToken, entries: [{ message: 'a' }] }, o),
      refused: ({ attempts }, o) => attempts.appendLogs({ attemptToken, entries: [], offset: 99n }, o),
    },
    'AttemptService/Heartbeat': {
      ok: ({ attempts }, o) => attempts.heartbeat({ attemptToken }, o),
      refused: ({ attempts }, o) => attempts.heartbeat({ attemptToken: 'none' }, o),
    },
    'AttemptService/Complete': {
      ok: ({ attempts }, o) => attempts.complete({ attemptToken, state: ExecutionState.SUCCEEDED }, o),
      refused: ({ attempts }, o) =>
        attempts.complete({ attemptToken: 'none', state: ExecutionState.SUCCEEDED }, o),
    },
  };

  type ConnectRequest = MessageInitShape<typeof WorkerServiceConnectRequestSchema>;

  async function* hello(): AsyncGenerator<ConnectRequest> {
    yield { message: { case: 'hello', value: { workerId: 'w', queues: ['q'], capacity: 1 } } };
  }

  async function* badHello(): AsyncGenerator<ConnectRequest> {
    yield { message: { case: 'hello', value: { workerId: badName } } };
  }

  const methods = createServices(new FakeOperations()).flatMap(({ desc }) => desc.methods);
  const nameOf = (method: DescMethod): string => `${method.parent.name}/${method.name}`;

  /** How many events a call has, carried out and refused. Only those of workers and callees are told here by name. */
  function expectedEvents(method: DescMethod): { readonly ok: number; readonly refused: number } {
    if (method.parent.name === 'AttemptService') return { ok: 0, refused: 0 };
    if (nameOf(method) === 'WorkerService/Connect') return { ok: 0, refused: 1 };
    const reads = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    return reads ? { ok: 0, refused: 0 } : { ok: 1, refused: 1 };
  }

  const eventsOf = async (requestId: string): Promise<readonly AuditEvent[]> =>
    (await instance().admin.listAuditEvents({ filter: { requestId } })).events;

  it('is in the table', () => {
    expect(Object.keys(recipes)).toEqual(methods.map(nameOf));
  });

  it.each(methods.map((method) => [nameOf(method), method] as const))(
    '%s has its one event where it changes something, carried out or refused',
    async (name, method) => {
      const { ok, refused } = recipes[name]!;
      const expected = expectedEvents(method);
      const about = { actor: 'anonymous', method: `carillon.v1.${name}`, peer: expect.stringContaining(':') };

      const done = `ok ${name}`.replaceAll(/\W/g, '-');
      await ok(instance(), { headers: { 'x-request-id': done } });
      const events = await eventsOf(done);
      expect(events).toHaveLength(expected.ok);
      for (const event of events) {
        expect(event).toMatchObject({ ...about, requestId: done, outcome: 'OK' });
        expect(event.details?.changed ?? 1).not.toBe(0);
      }

      const not = `refused ${name}`.replaceAll(/\W/g, '-');
      const error = await refused(instance(), { headers: { 'x-request-id': not } }).then(
        () => expect.unreachable(),
        (thrown: unknown) => ConnectError.from(thrown),
      );
      const refusals = await eventsOf(not);
      expect(refusals).toHaveLength(expected.refused);
      for (const event of refusals) {
        const outcome = error.findDetails(ErrorInfoSchema)[0]?.reason;
        expect(event).toMatchObject({
          ...about,
          requestId: not,
          outcome,
        });
        expect([event.before, event.after]).toEqual([undefined, undefined]);
      }
    },
  );
});

it('has no event of a replay and of a dry run', async () => {
  const { jobs, admin } = instance();
  const headers = { 'x-request-id': 'replays' };
  const job = manualJob('replayed', callee.url('/ok'));
  await jobs.add({ job, requestId: 'a' }, { headers });
  expect((await jobs.add({ job, requestId: 'a' }, { headers })).created).toBe(true);
  const trigger = { job: ref('replayed'), requestId: 't' };
  await jobs.trigger(trigger, { headers });
  expect((await jobs.trigger(trigger, { headers })).replayed).toBe(true);
  const range = {
    job: ref('replayed'),
    startTime: timestampFromMs(Date.UTC(2020, 0, 1)),
    endTime: timestampFromMs(Date.UTC(2022, 0, 1)),
    requestId: 'b',
  };
  await jobs.backfill({ ...range, requestId: '', dryRun: true }, { headers });
  await jobs.backfill(range, { headers });
  await jobs.backfill(range, { headers });
  await jobs.resume({ jobs: chosen('replayed'), dryRun: true }, { headers });
  const { events } = await admin.listAuditEvents({ filter: { requestId: 'replays' } });
  expect(events.map(({ method }) => method.replace('carillon.v1.JobService/', ''))).toEqual([
    'Backfill',
    'Trigger',
    'Add',
  ]);
});
