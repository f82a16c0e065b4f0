import { create, fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExecutionSchema, LogEntrySchema } from '../../../gen/carillon/v1/execution_pb.js';
import { JobRefSchema } from '../../../gen/carillon/v1/job_key_pb.js';
import { JobSchema } from '../../../gen/carillon/v1/job_pb.js';
import type { Execution, LogEntry } from '../../../src/domain/execution.ts';
import { type Job, type Json, jobDefaults, type Target } from '../../../src/domain/job.ts';
import type { Schedule } from '../../../src/domain/schedule/schedule.ts';
import * as tables from '../../../src/rpc/messages/enums.ts';
import { etagFromRevision, revisionFromEtag } from '../../../src/rpc/messages/etag.ts';
import { executionToMessage, logEntryToMessage } from '../../../src/rpc/messages/execution.ts';
import { draftFromMessage, jobToMessage } from '../../../src/rpc/messages/job.ts';
import { jobKeyFromMessage, jobRefFromMessage, jobRefToMessage } from '../../../src/rpc/messages/job-key.ts';
import {
  dateFromTimestamp,
  durationFromMs,
  msFromDuration,
  msFromTimestamp,
  timestampFromMs,
} from '../../../src/rpc/messages/times.ts';

const text = fc.string({ unit: 'binary', maxLength: 20 });
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const ms = fc.integer({ min: 1, max: 100 * 365 * 86_400_000 });
const instantMs = fc.integer({ min: 0, max: 7_258_118_399_999 });
const date = instantMs.map((at) => new Date(at));
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const labels = fc.dictionary(name, text, { maxKeys: 5 });
const key = fc.record({ namespace: name, group: name, name });
const json = fc
  .dictionary(text, fc.jsonValue({ maxDepth: 3, noUnicodeString: false }), {
    maxKeys: 4,
    noNullPrototype: true,
  })
  .map((value) => JSON.parse(JSON.stringify(value)) as { [key: string]: Json });

const parameters = fc.record({
  text: optional(text),
  object: optional(json),
  list: optional(
    fc.uniqueArray(fc.record({ name, value: text }), {
      selector: (entry) => entry.name,
      minLength: 1,
      maxLength: 4,
    }),
  ),
});

const schedule: fc.Arbitrary<Schedule> = fc.record({
  name,
  spec: fc.oneof(
    fc.record({
      kind: fc.constant('cron' as const),
      expression: name,
      dialect: fc.constantFrom('UNIX' as const, 'QUARTZ' as const),
      timeZone: fc.constantFrom('UTC', 'Europe/Berlin'),
      gap: fc.constantFrom('RUN_AT_GAP_END' as const, 'SKIP' as const),
      ambiguous: fc.constantFrom('FIRST' as const, 'SECOND' as const, 'BOTH' as const),
    }),
    fc.record({
      kind: fc.constant('interval' as const),
      everyMs: ms,
      mode: fc.constantFrom('FIXED_RATE' as const, 'FIXED_DELAY' as const),
      anchorMs: instantMs,
    }),
    fc.record({ kind: fc.constant('once' as const), atMs: instantMs }),
  ),
  startMs: optional(instantMs),
  endMs: optional(instantMs),
  repeatCount: fc.nat(1_000),
  jitterMs: optional(fc.integer({ min: 1, max: 86_400_000 })),
  calendars: optional(fc.uniqueArray(name, { minLength: 1, maxLength: 3 })),
});

const tls = optional(
  fc.record({
    serverName: optional(name),
    caPem: optional(name),
    clientCertificateSecretName: optional(name),
  }),
);

const secrets = optional(fc.dictionary(name, name, { minKeys: 1, maxKeys: 3 }));

const target: fc.Arbitrary<Target> = fc.oneof(
  fc.record({
    kind: fc.constant('http' as const),
    url: fc.webUrl(),
    method: fc.constantFrom(...(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const)),
    headers: labels,
    body: optional(text),
    successCodes: fc.array(fc.integer({ min: 200, max: 599 }), { maxLength: 3 }),
    timeoutMs: optional(ms),
    signingSecretName: optional(name),
    template: fc.constantFrom(true, undefined),
    heartbeatTimeoutMs: optional(ms),
    secretHeaders: secrets,
  }),
  fc.record({
    kind: fc.constant('grpc' as const),
    address: name,
    tls,
    metadata: labels,
    method: name,
    secretMetadata: secrets,
  }),
  fc.record({
    kind: fc.constant('socket' as const),
    host: name,
    port: fc.integer({ min: 1, max: 65_535 }),
    tls,
    connectTimeoutMs: optional(ms),
    idleTimeoutMs: optional(ms),
    heartbeatTimeoutMs: optional(ms),
  }),
);

const job: fc.Arbitrary<Job> = fc.record({
  id,
  key,
  description: text,
  labels,
  schedules: fc.array(schedule, { maxLength: 4 }),
  target,
  parameters,
  priority: fc.integer({ min: -1_000_000, max: 1_000_000 }),
  overlap: fc.constantFrom('SKIP', 'BUFFER_ONE', 'BUFFER_ALL', 'CANCEL_OTHER', 'ALLOW'),
  misfire: fc.record({
    policy: fc.constantFrom('SKIP', 'RUN_LAST', 'RUN_ALL'),
    graceMs: fc.nat(1_000_000),
    maxCatchUp: fc.integer({ min: 1, max: 10_000 }),
    catchUpWindowMs: ms,
  }),
  retry: fc.record({
    maxAttempts: fc.integer({ min: 1, max: 100 }),
    initialBackoffMs: fc.nat(86_400_000),
    maxBackoffMs: fc.nat(86_400_000),
    multiplier: fc.double({ min: 1, max: 100, noNaN: true }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  attemptTimeoutMs: ms,
  queueTimeoutMs: optional(ms),
  maxRunning: fc.nat(1_000_000),
  state: fc.constantFrom('ACTIVE', 'PAUSED', 'FINISHED'),
  pauses: fc.array(
    fc.record({ id: name, actor: text, reason: text, createdAt: date, untilAt: optional(date) }),
    { maxLength: 2 },
  ),
  nextFireAt: optional(date),
  lastFireAt: optional(date),
  bufferedCount: fc.nat(1_000_000),
  createdAt: date,
  updatedAt: date,
  generation: id,
  revision: id,
});

const execution: fc.Arbitrary<Execution> = fc.record({
  id,
  jobId: id,
  jobKey: key,
  schedule: text,
  cause: fc.constantFrom('SCHEDULE', 'MANUAL', 'API', 'BACKFILL', 'CATCH_UP'),
  fireAt: date,
  createdAt: date,
  startedAt: optional(date),
  finishedAt: optional(date),
  state: fc.constantFrom('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED', 'SKIPPED'),
  reason: optional(fc.constantFrom('OVERLAP', 'MISFIRE', 'CALENDAR', 'INVALID_JOB')),
  message: text,
  attempt: fc.nat(100),
  parameters: optional(parameters),
  result: optional(json),
  priority: fc.integer({ min: -1_000_000, max: 1_000_000 }),
  term: fc.nat(),
  waitingFor: text,
  skippedCount: fc.nat(),
  backfillId: optional(id),
});

/** Without what a message cannot tell from nothing. */
function withoutEmpty(value: Job['parameters']): Job['parameters'] {
  return { text: value.text, object: value.object, list: value.list };
}

describe('jobs', () => {
  it('come back from binary and from JSON with every field that a user defines', () => {
    fc.assert(
      fc.property(job, (stored) => {
        const message = jobToMessage(stored);
        const fromBytes = fromBinary(JobSchema, toBinary(JobSchema, message));
        const fromText = fromJson(JobSchema, toJson(JobSchema, message));
        expect(fromText).toEqual(fromBytes);
        const draft = draftFromMessage(fromBytes);
        expect(draft).toEqual({
          description: stored.description,
          labels: stored.labels,
          schedules: stored.schedules,
          target: stored.target,
          parameters: withoutEmpty(stored.parameters),
          priority: stored.priority,
          overlap: stored.overlap,
          misfire: stored.misfire,
          retry: stored.retry,
          attemptTimeoutMs: stored.attemptTimeoutMs,
          queueTimeoutMs: stored.queueTimeoutMs,
          maxRunning: stored.maxRunning,
        });
        expect(fromBytes.id).toBe(BigInt(stored.id));
        expect(jobKeyFromMessage(fromBytes.key ?? expect.unreachable())).toEqual(stored.key);
        expect(tables.jobStates.fromMessage(fromBytes.state)).toBe(stored.state);
        expect(revisionFromEtag(fromBytes.etag)).toBe(String(stored.revision));
        expect(fromBytes.bufferedCount).toBe(stored.bufferedCount);
      }),
      { numRuns: 150 },
    );
  });

  it('take every default where a definition says nothing', () => {
    const bare = create(JobSchema, {
      target: { kind: { case: 'http', value: { url: 'http://a' } } },
      misfire: { maxCatchUp: 0, catchUpWindow: {} },
      retry: { maxAttempts: 0, multiplier: 0 },
      schedules: [
        { kind: { case: 'cron', value: { expression: '* * * * *' } } },
        { kind: { case: 'interval', value: { every: { seconds: 1n } } } },
      ],
    });
    expect(draftFromMessage(bare)).toEqual({
      description: '',
      labels: {},
      schedules: [
        {
          name: '0',
          spec: {
            kind: 'cron',
            expression: '* * * * *',
            dialect: 'UNIX',
            timeZone: 'UTC',
            gap: 'RUN_AT_GAP_END',
            ambiguous: 'FIRST',
          },
          repeatCount: 0,
        },
        { name: '1', spec: { kind: 'interval', everyMs: 1_000, mode: 'FIXED_RATE' }, repeatCount: 0 },
      ],
      target: { kind: 'http', url: 'http://a', method: 'POST', headers: {}, successCodes: [] },
      parameters: {},
      priority: 0,
      overlap: jobDefaults.overlap,
      misfire: jobDefaults.misfire,
      retry: jobDefaults.retry,
      attemptTimeoutMs: jobDefaults.attemptTimeoutMs,
      maxRunning: 0,
    });
  });

  it('read a jitter of 0 and no calendars as absent', () => {
    const plain = create(JobSchema, {
      target: { kind: { case: 'http', value: { url: 'http://a' } } },
      schedules: [{ kind: { case: 'once', value: { atTime: { seconds: 1n } } }, jitter: {}, calendars: [] }],
    });
    const [schedule] = draftFromMessage(plain).schedules;
    expect(schedule).toMatchObject({ jitterMs: undefined, calendars: undefined });
  });

  it('keep a span of 0 where that is not the default', () => {
    const zero = create(JobSchema, {
      target: { kind: { case: 'http', value: { url: 'http://a' } } },
      misfire: { grace: {} },
      retry: { initialBackoff: {}, jitter: 0 },
    });
    expect(draftFromMessage(zero)).toMatchObject({
      misfire: { graceMs: 0 },
      retry: { initialBackoffMs: 0, jitter: 0 },
    });
  });

  it('raise the default longest wait to the first one', () => {
    const long = create(JobSchema, {
      target: { kind: { case: 'http', value: { url: 'http://a' } } },
      retry: { initialBackoff: { seconds: 3_600n } },
    });
    expect(draftFromMessage(long).retry).toMatchObject({
      initialBackoffMs: 3_600_000,
      maxBackoffMs: 3_600_000,
    });
  });
});

describe('executions and log lines', () => {
  it('lose nothing on the way out', () => {
    fc.assert(
      fc.property(execution, (row) => {
        const sent = fromBinary(ExecutionSchema, toBinary(ExecutionSchema, executionToMessage(row)));
        expect(Number(sent.id)).toBe(row.id);
        expect(sent.jobKey).toMatchObject(row.jobKey);
        expect(tables.executionCauses.fromMessage(sent.cause)).toBe(row.cause);
        expect(tables.executionStates.fromMessage(sent.state)).toBe(row.state);
        expect(tables.executionReasons.fromMessage(sent.reason)).toBe(row.reason);
        expect(sent.fireTime && dateFromTimestamp(sent.fireTime)).toEqual(row.fireAt);
        expect(sent.startTime && dateFromTimestamp(sent.startTime)).toEqual(row.startedAt);
        expect(sent.finishTime && dateFromTimestamp(sent.finishTime)).toEqual(row.finishedAt);
        expect(sent.result).toEqual(row.result);
        expect(sent.parameters?.object).toEqual(row.parameters?.object);
        expect(Number(sent.skippedCount)).toBe(row.skippedCount);
        expect(Number(sent.backfillId)).toBe(row.backfillId ?? 0);
      }),
      { numRuns: 100 },
    );
  });

  it('carry the place, level and data of a line', () => {
    const entry: LogEntry = {
      executionId: 5,
      seq: 9,
      at: new Date(1),
      level: 'WARN',
      message: 'x',
      attempt: 2,
      data: { a: [null] },
    };
    const sent = fromBinary(LogEntrySchema, toBinary(LogEntrySchema, logEntryToMessage(entry)));
    expect(sent).toMatchObject({ executionId: 5n, seq: 9n, message: 'x', attempt: 2, data: { a: [null] } });
    expect(tables.logLevels.fromMessage(sent.level)).toBe('WARN');
  });
});

describe('references, times and etags', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.oneof(fc.record({ id }), fc.record({ key })), (ref) => {
        const sent = fromBinary(JobRefSchema, toBinary(JobRefSchema, jobRefToMessage(ref)));
        expect(jobRefFromMessage(sent, 'job')).toEqual(ref);
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }), (at) => {
        const { seconds, nanos } = timestampFromMs(at);
        expect(nanos).toBeGreaterThanOrEqual(0);
        expect(nanos).toBeLessThan(1_000_000_000);
        expect(msFromTimestamp({ $typeName: 'google.protobuf.Timestamp', seconds, nanos })).toBe(at);
      }),
    );
    fc.assert(
      fc.property(ms, (span) => {
        expect(msFromDuration(durationFromMs(span))).toBe(span);
      }),
    );
    fc.assert(
      fc.property(id, (revision) => {
        expect(revisionFromEtag(etagFromRevision(revision))).toBe(String(revision));
      }),
    );
  });

  it.each(['0', '-1', 'ZZ', '01', ' 1', 'zzzzzzzzzzzzzz', '"1"'])(
    'reads the etag %j as that of no job',
    (etag) => {
      expect(revisionFromEtag(etag)).toBe('0');
    },
  );

  it('reads no etag as no condition', () => {
    expect(revisionFromEtag('')).toBe('');
  });

  it('fills in the defaults of a key', () => {
    const ref = create(JobRefSchema, { ref: { case: 'key', value: { name: 'n' } } });
    expect(jobRefFromMessage(ref, 'job')).toEqual({
      key: { namespace: 'default', group: 'default', name: 'n' },
    });
  });
});

describe('enum tables', () => {
  it.each(Object.entries(tables))('%s reads 0 and unknown numbers as nothing', (_, table) => {
    expect(table.fromMessage(0)).toBeUndefined();
    expect(table.fromMessage(99)).toBeUndefined();
  });
});
