/** One table of promises, kept on every way in: each server, each protocol, each client library. */
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { Weekday } from '../../gen/carillon/v1/calendar_pb.js';
import { ExecutionCause, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import {
  ExecutionService,
  type ExecutionServiceStreamResponse,
} from '../../gen/carillon/v1/execution_service_pb.js';
import { JobState } from '../../gen/carillon/v1/job_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from '../../gen/google/rpc/error_details_pb.js';
import type { ErrorReason } from '../../src/domain/errors.ts';
import type { StreamMessage } from '../../src/engine/operations.ts';
import { codeOfReason } from '../../src/rpc/errors.ts';
import { awaitPassing } from '../support/await-passing.ts';
import { fakeExecution, fakeNow, refusal, secretText } from '../support/fake-operations.ts';
import { type Servers, startServers } from './servers.ts';
import { ways } from './transports.ts';

const reasons = Object.keys(codeOfReason) as ErrorReason[];
const key = { namespace: 'team', group: 'g', name: '夜間レポート' };
const target = { kind: { case: 'http', value: { url: 'http://127.0.0.1/' } } } as const;
const line = (seq: number): StreamMessage => ({
  cursor: `c${seq}`,
  event: {
    kind: 'log',
    entry: { executionId: 7, seq, at: fakeNow, level: 'INFO', message: `line ${seq}`, attempt: 1 },
  },
});

async function errorOf(answer: Promise<unknown>): Promise<ConnectError> {
  const error = await answer.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConnectError);
  return error as ConnectError;
}

describe.each(ways)('$name', (way) => {
  let servers: Servers;
  let transport: ReturnType<typeof way.open>;
  let jobs: Client<typeof JobService>;
  let executions: Client<typeof ExecutionService>;
  let admin: Client<typeof AdminService>;

  beforeAll(async () => {
    servers = await startServers();
    transport = way.open(servers);
    jobs = createClient(JobService, transport);
    executions = createClient(ExecutionService, transport);
    admin = createClient(AdminService, transport);
  });

  afterAll(async () => {
    transport.close?.();
    await servers.stop();
  });

  beforeEach(() => {
    servers.operations.stored.clear();
    servers.operations.asked.length = 0;
    servers.operations.streamMessages = Array.from({ length: 100 }, (_, i) => line(i + 1));
    servers.operations.streamEnd = 'done';
    servers.ended.length = 0;
    servers.logged.length = 0;
  });

  it('answers a unary call with the stored job in full', async () => {
    const { job, created, warnings } = await jobs.add({ job: { key: { name: key.name }, target } });
    expect(created).toBe(true);
    expect(warnings).toEqual(['looks odd']);
    expect(job?.key).toMatchObject({ namespace: 'default', group: 'default', name: key.name });
    expect(job?.state).toBe(JobState.ACTIVE);
    expect(job?.createTime).toMatchObject({ seconds: 1_772_366_400n, nanos: 125_000_000 });
  });

  it('carries parameters of all three shapes there and back, with __proto__ as data', async () => {
    await jobs.add({ job: { key, target } });
    const object = JSON.parse('{"__proto__":{"polluted":true},"deep":[1,null,"x",{"constructor":false}]}');
    const parameters = { text: '', object, list: [{ name: 'a', value: '' }] };
    const { execution } = await jobs.trigger({ job: { ref: { case: 'key', value: key } }, parameters });
    expect(execution).toMatchObject({ state: ExecutionState.PENDING, cause: ExecutionCause.MANUAL });
    expect(execution?.parameters).toMatchObject({ text: '', list: [{ name: 'a', value: '' }] });
    expect(JSON.stringify(execution?.parameters?.object)).toBe(JSON.stringify(object));
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('keeps calendars, and names the fields of one that breaks a rule', async () => {
    const { storedCalendars } = servers.operations;
    storedCalendars.clear();
    const calendar = { name: '祝日', dates: ['2026-12-25'], weekdays: [Weekday.SUNDAY] };
    expect(await admin.putCalendar({ calendar })).toMatchObject({
      calendar: { ...calendar, namespace: 'default', timeZone: 'UTC' },
      created: true,
    });
    expect((await admin.getCalendar({ name: calendar.name })).calendar).toMatchObject(calendar);
    expect((await admin.listCalendars({})).calendars).toMatchObject([calendar]);
    expect(await admin.deleteCalendar({ name: calendar.name })).toMatchObject({ existed: true });
    expect(await admin.deleteCalendar({ name: calendar.name })).toMatchObject({ existed: false });

    const error = await errorOf(
      admin.putCalendar({ calendar: { name: 'a', dates: ['soon'], crons: [{ expression: '' }] } }),
    );
    expect(error.findDetails(BadRequestSchema)).toMatchObject([
      { fieldViolations: [{ field: 'calendar.dates[0]' }, { field: 'calendar.crons[0].expression' }] },
    ]);
    expect(storedCalendars.size).toBe(0);
  });

  it('lists audit events as they are stored, for the filter that was given', async () => {
    const { storedEvents, asked } = servers.operations;
    storedEvents.length = 0;
    const empty = {
      namespace: null,
      objectId: null,
      objectName: null,
      before: null,
      after: null,
      details: null,
    };
    const event = {
      actor: 'ann',
      method: 'carillon.v1.JobService/Update',
      objectType: 'job',
      peer: '192.0.2.1:99',
      requestId: 'r-1',
      outcome: 'OK',
    };
    const before = JSON.parse('{"__proto__": [1, null, {"deep": true}], "priority": 1}');
    storedEvents.push(
      {
        ...event,
        id: 2 ** 52,
        at: fakeNow,
        namespace: 'team',
        objectId: 7,
        objectName: 'n',
        before,
        after: {},
        details: { changed: 1 },
      },
      { ...event, id: 1, at: fakeNow, ...empty },
    );
    const filter = {
      namespace: 'team',
      methods: [event.method],
      outcomes: ['OK'],
      objectId: 7n,
      startTime: { seconds: 1n },
    };
    const { events, nextPageToken } = await admin.listAuditEvents({ filter, pageSize: 2 });
    expect(events).toMatchObject([
      { ...event, id: 2n ** 52n, namespace: 'team', objectId: 7n, objectName: 'n', details: { changed: 1 } },
      { ...event, id: 1n, namespace: '', objectId: 0n, objectName: '' },
    ]);
    expect(JSON.stringify(events[0]?.before)).toBe(JSON.stringify(before));
    expect([events[1]?.before, events[1]?.after, events[1]?.details]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(events[0]?.time).toMatchObject({ nanos: 125_000_000 });
    expect(nextPageToken).toBe('');
    expect(asked.at(-1)).toMatchObject({
      operation: 'audit.list',
      args: [
        {
          namespace: 'team',
          methods: [event.method],
          outcomes: ['OK'],
          objectId: 7,
          startAt: new Date(1_000),
        },
        { size: 2, token: '' },
        { permission: 'ADMINISTER' },
      ],
    });
  });

  it('has a refused change recorded, whatever refused it, and no refused read', async () => {
    servers.refused.length = 0;
    const named = { ref: { case: 'key', value: { name: 'refuse JOB_PAUSED' } } } as const;
    await errorOf(jobs.trigger({ job: named }, { headers: { 'x-request-id': 'refused-1' } }));
    await errorOf(jobs.trigger({ job: named, requestId: 'x'.repeat(1_000) }));
    await errorOf(jobs.get({ job: named }));
    const method = 'carillon.v1.JobService/Trigger';
    const object = { type: 'job', name: 'default/default/refuse JOB_PAUSED' };
    expect(servers.refused).toMatchObject([
      { reason: 'JOB_PAUSED', object, caller: { method, requestId: 'refused-1', actor: 'anonymous' } },
      { reason: 'INVALID_ARGUMENT', object, caller: { method } },
    ]);
    expect(servers.refused[0]?.caller.peer).toMatch(/127\.0\.0\.1|::1/);
  });

  it.each(reasons.filter((reason) => reason !== 'INTERNAL'))(
    'refuses with %s, its code and its details',
    async (reason) => {
      const name = `refuse ${reason}`;
      const error = await errorOf(jobs.get({ job: { ref: { case: 'key', value: { name } } } }));
      expect(error.code).toBe(codeOfReason[reason]);
      expect(error.rawMessage).toBe(`refused with ${reason}`);
      const { details } = refusal(reason);
      expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
        { reason, domain: 'carillon', metadata: { asked: reason } },
      ]);
      expect(error.findDetails(BadRequestSchema)).toMatchObject([{ fieldViolations: details.violations }]);
      expect(error.findDetails(PreconditionFailureSchema)).toMatchObject([
        { violations: [details.precondition] },
      ]);
      expect(error.findDetails(ResourceInfoSchema)).toMatchObject([
        { resourceType: 'carillon.v1.Job', resourceName: details.resource?.name },
      ]);
      expect(error.findDetails(RetryInfoSchema)).toMatchObject([
        { retryDelay: { seconds: 1n, nanos: 500_000_000 } },
      ]);
      expect(error.findDetails(QuotaFailureSchema)).toMatchObject([{ violations: [details.quota] }]);
      expect(error.details).toHaveLength(6);
    },
  );

  it('hides what went wrong inside behind the request id', async () => {
    const headers = { 'x-request-id': 'find-me' };
    const error = await errorOf(
      jobs.get({ job: { ref: { case: 'key', value: { name: 'crash' } } } }, { headers }),
    );
    expect(error.code).toBe(Code.Internal);
    expect(error.rawMessage).toBe("internal error; the server's log has it under the request id find-me");
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: 'INTERNAL' }]);
    expect(error.findDetails(RequestInfoSchema)).toMatchObject([{ requestId: 'find-me' }]);
    expect(JSON.stringify(error.details)).not.toContain('hunter2');
    const [logged] = servers.logged;
    expect(logged).toMatchObject({ level: 'error', requestId: 'find-me', error: { message: secretText } });
  });

  it('names every field that breaks its rule by its proto path', async () => {
    const schedules = [{ kind: { case: 'cron', value: { expression: '' } } }, {}] as const;
    const error = await errorOf(
      jobs.add({ job: { key: { name: 'a\u0007' }, target, priority: 1_000_001, schedules: [...schedules] } }),
    );
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: 'INVALID_ARGUMENT' }]);
    const violations = error
      .findDetails(BadRequestSchema)[0]
      ?.fieldViolations.map((v) => [v.field, v.description]);
    expect(violations).toEqual([
      ['job.key.name', 'must not contain control characters'],
      ['job.schedules[0].cron.expression', 'must be at least 1 characters'],
      ['job.schedules[1].kind', 'exactly one field is required in oneof'],
      ['job.priority', 'must be greater than or equal to -1000000 and less than or equal to 1000000'],
    ]);
  });

  it('refuses a selector with nothing set', async () => {
    const error = await errorOf(jobs.delete({ jobs: { case: 'selector', value: {} } }));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.findDetails(BadRequestSchema)).toMatchObject([{ fieldViolations: [{ field: 'selector' }] }]);
  });

  it('ends a call that takes longer than the server allows', async () => {
    // Servers of its own: what the others allow is never used up.
    const strict = await startServers({ maxUnaryMs: 100 });
    const own = way.open(strict);
    const { get } = createClient(JobService, own);
    const error = await errorOf(get({ job: { ref: { case: 'key', value: { name: 'slow' } } } }));
    expect(error.code).toBe(Code.DeadlineExceeded);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: 'DEADLINE_EXCEEDED' }]);
    expect(strict.ended).toEqual(['carillon.v1.JobService/Get DEADLINE_EXCEEDED']);
    own.close?.();
    await strict.stop();
  });

  it("ends a call at the caller's deadline", async () => {
    const slow = jobs.get({ job: { ref: { case: 'key', value: { name: 'slow' } } } }, { timeoutMs: 400 });
    expect((await errorOf(slow)).code).toBe(Code.DeadlineExceeded);
    // The caller hangs up at the same moment; either may be seen first.
    await awaitPassing(() => expect(servers.ended).toHaveLength(1));
    expect(servers.ended[0]).toMatch(/Get (DEADLINE_EXCEEDED|CANCELLED)$/);
  });

  it('lets go of a call that the caller cancels', async () => {
    const canceling = new AbortController();
    const { signal } = canceling;
    const slow = errorOf(jobs.get({ job: { ref: { case: 'key', value: { name: 'slow' } } } }, { signal }));
    await awaitPassing(() => expect(servers.operations.asked.at(-1)?.operation).toBe('get'));
    canceling.abort();
    expect((await slow).code).toBe(Code.Canceled);
    await awaitPassing(() => expect(servers.ended).toEqual(['carillon.v1.JobService/Get CANCELLED']));
  });

  it('returns the request id that it was given', async () => {
    let returned: string | null = null;
    const onHeader = (headers: Headers): void => {
      returned = headers.get('x-request-id');
    };
    await jobs.list({}, { headers: { 'x-request-id': 'abc-123' }, onHeader });
    expect(returned).toBe('abc-123');
    expect(servers.logged[0]).toMatchObject({ level: 'debug', code: 'OK', requestId: 'abc-123' });
  });

  it('makes a request id where none was given or it is not sane, and returns it with errors too', async () => {
    const headers = { 'x-request-id': 'two words' };
    const error = await errorOf(jobs.get({ job: { ref: { case: 'id', value: 99n } } }, { headers }));
    expect(error.metadata.get('x-request-id')).toMatch(/^[\w-]{12}$/);
    expect(servers.logged[0]).toMatchObject({ requestId: error.metadata.get('x-request-id') });
  });

  it('refuses a request over 4 MiB', async () => {
    const description = 'x'.repeat(4 * 1_024 * 1_024);
    const error = await errorOf(jobs.add({ job: { key, target, description } }));
    expect(error.code).toBe(Code.ResourceExhausted);
  });

  it('takes a request of nearly 4 MiB as far as its rules', async () => {
    const error = await errorOf(jobs.add({ job: { key, target, description: 'x'.repeat(4_000_000) } }));
    expect(error.code).toBe(Code.InvalidArgument);
  });

  if (!way.streams) return;
  describe('streams', () => {
    const watch = { source: { case: 'executionId', value: 7n } } as const;

    it('come in order and end by themselves', async () => {
      const job = { id: 1, key: { namespace: 'a', group: 'b', name: 'c' } };
      servers.operations.streamMessages = [
        { cursor: 'c0', event: { kind: 'execution', execution: fakeExecution(7, job, 'SCHEDULE') } },
        ...servers.operations.streamMessages,
        { cursor: 'c101', event: { kind: 'gap', executionId: 7, firstSeq: 101, lastSeq: 120, count: 20 } },
        { cursor: 'c102', event: { kind: 'heartbeat', at: fakeNow } },
      ];
      const received: ExecutionServiceStreamResponse[] = [];
      for await (const message of executions.stream(watch)) received.push(message);
      expect(received.map(({ cursor }) => cursor)).toEqual(Array.from({ length: 103 }, (_, i) => `c${i}`));
      expect(received[7]?.event).toMatchObject({ case: 'log', value: { seq: 7n, message: 'line 7' } });
      expect(received[101]?.event).toMatchObject({ case: 'gap', value: { firstSeq: 101n, count: 20n } });
      expect(servers.ended).toEqual(['carillon.v1.ExecutionService/Stream OK']);
    });

    it('end with the error and its details behind their messages', async () => {
      servers.operations.streamEnd = refusal('UNAVAILABLE');
      let received = 0;
      const error = await errorOf(
        (async () => {
          for await (const _ of executions.stream(watch)) received++;
        })(),
      );
      expect(received).toBe(100);
      expect(error.code).toBe(Code.Unavailable);
      expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: 'UNAVAILABLE' }]);
      expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
    });

    it('are refused before they begin when the request breaks a rule', async () => {
      const error = await errorOf(
        (async () => {
          for await (const _ of executions.stream({})) expect.unreachable();
        })(),
      );
      expect(error.code).toBe(Code.InvalidArgument);
      expect(error.findDetails(BadRequestSchema)).toMatchObject([{ fieldViolations: [{ field: 'source' }] }]);
      expect(error.metadata.get('x-request-id') ?? 'in headers').toBeTruthy();
    });

    it('reach the operation when the caller cancels', async () => {
      servers.operations.streamEnd = undefined;
      const canceling = new AbortController();
      let received = 0;
      const error = await errorOf(
        (async () => {
          for await (const _ of executions.stream(watch, { signal: canceling.signal })) {
            if (++received === 100) canceling.abort();
          }
        })(),
      );
      expect(error.code).toBe(Code.Canceled);
      await awaitPassing(() => expect(servers.operations.openStreams).toBe(0));
      expect(servers.ended).toEqual(['carillon.v1.ExecutionService/Stream CANCELLED']);
    });

    it("end at the caller's deadline", async () => {
      servers.operations.streamEnd = undefined;
      const error = await errorOf(
        (async () => {
          for await (const _ of executions.stream(watch, { timeoutMs: 400 }));
        })(),
      );
      expect(error.code).toBe(Code.DeadlineExceeded);
      await awaitPassing(() => expect(servers.operations.openStreams).toBe(0));
      expect(servers.ended).toHaveLength(1);
      expect(servers.ended[0]).toMatch(/Stream (DEADLINE_EXCEEDED|CANCELLED)$/);
    });
  });
});
