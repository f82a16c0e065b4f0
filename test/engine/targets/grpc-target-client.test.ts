import { getEventListeners } from 'node:events';
import { durationFromMs, timestampDate, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { ExecutionCause, ExecutionState, LogLevel } from '../../../gen/carillon/v1/execution_pb.js';
import type { GrpcTarget } from '../../../src/domain/job.ts';
import { createGrpcClient, deliverTo, grpcTarget } from './grpc/attempt.ts';
import {
  type Answer,
  answerHeaders,
  bytesOf,
  log,
  startGrpcCallee,
  startHttp2Callee,
} from './grpc/callee.ts';
import { HandClock, recordedContext, sampleDelivery } from './http/attempt.ts';

const succeeded = { outcome: 'SUCCEEDED', message: '', retryable: false };
const targetError = { outcome: 'FAILED', reason: 'TARGET_ERROR' };

/** A callee that answers with these messages and OK. */
const answering = (...events: Answer[]) =>
  startGrpcCallee((call) => {
    for (const event of events) call.write(bytesOf(event));
    call.end();
  });

describe('the call', () => {
  it('carries the attempt, and its end as the deadline', async () => {
    const callee = await answering();
    const context = recordedContext();
    const before = Date.now();
    expect(await createGrpcClient().deliver(grpcTarget(callee.address), sampleDelivery, context)).toEqual(
      succeeded,
    );
    const [call] = callee.calls;
    expect(call?.request).toMatchObject({
      executionId: 7_205_759_403_792_793n,
      attempt: 2,
      jobId: 7_205_759_403_792_001n,
      jobKey: { namespace: 'default', group: 'reports', name: 'nächtlich' },
      cause: ExecutionCause.SCHEDULE,
      term: 4n,
      parameters: { text: 'all', object: { depth: 3 }, list: [{ name: 'day', value: 'monday' }] },
      idempotencyKey: '7205759403792793',
    });
    expect(timestampDate(call!.request.fireTime!).toISOString()).toBe('2026-03-29T01:30:00.250Z');
    const leftMs = Number(call!.getDeadline()) - before;
    expect(leftMs).toBeGreaterThanOrEqual(context.timeoutMs);
    expect(leftMs).toBeLessThan(context.timeoutMs + 10_000);
    expect(call?.getHost()).toBe(callee.address);
    expect(call?.metadata.get('user-agent')).toEqual(['carillon/1.2.3']);
    expect(context.lines).toEqual([]);
  });

  it.each([
    [1_500, '1500m'],
    [99_999_999, '99999999m'],
    [100_000_000, '100000S'],
  ])('says a timeout of %d ms in at most eight digits', async (timeoutMs, text) => {
    let headers: unknown;
    const callee = await startHttp2Callee((stream, received) => {
      headers = received;
      stream.respond({ ...answerHeaders, 'grpc-status': 0 }, { endStream: true });
    });
    const context = { ...recordedContext(), timeoutMs };
    await createGrpcClient().deliver(grpcTarget(callee.address), sampleDelivery, context);
    expect(headers).toMatchObject({ 'grpc-timeout': text });
  });

  it('is without parameters where there are none', async () => {
    const callee = await answering();
    await createGrpcClient().deliver(
      grpcTarget(callee.address),
      { ...sampleDelivery, parameters: {} },
      recordedContext(),
    );
    expect(callee.calls[0]?.request.parameters).toBeUndefined();
  });

  it('goes to the method of the target', async () => {
    const callee = await startGrpcCallee((call) => call.end(), { path: '/acme.Jobs/Start' });
    const method = 'acme.Jobs/Start';
    expect((await deliverTo(grpcTarget(callee.address, { method }))).result).toEqual(succeeded);
    expect((await deliverTo(grpcTarget(callee.address))).result).toMatchObject({
      message: expect.stringMatching(/^gRPC UNIMPLEMENTED: /),
      retryable: false,
    });
  });

  it('adds the metadata of the user', async () => {
    const callee = await answering();
    const metadata = { authorization: 'Bearer x', 'x-trace-bin': 'AQID', __proto__x: 'y' };
    await deliverTo(grpcTarget(callee.address, { metadata }));
    const received = callee.calls[0]?.metadata;
    expect(received?.get('authorization')).toEqual(['Bearer x']);
    expect(received?.get('x-trace-bin')).toEqual([Buffer.from([1, 2, 3])]);
    expect(received?.get('__proto__x')).toEqual(['y']);
  });

  it.each<[string, Partial<GrpcTarget>]>([
    ['a scheme', { address: 'unix:/var/run/docker.sock:1' }],
    ['no port', { address: '127.0.0.1' }],
    ['a reserved name', { metadata: { 'grpc-timeout': '1S' } }],
    ['a line break in a value', { metadata: { 'x-a': 'a\r\nhost: evil' } }],
    ['a method that is none', { method: '../x' }],
    ['no metadata at all', { metadata: undefined as never }],
    ['no address at all', { address: undefined as never }],
  ])('is never made for a stored target with %s', async (_what, damage) => {
    const callee = await answering();
    const { result } = await deliverTo(grpcTarget(callee.address, damage));
    expect(result).toMatchObject({ outcome: 'FAILED', reason: 'INVALID_JOB', retryable: false });
    expect(result.message).toMatch(/^target cannot be called: [ -~]+$/);
    expect(callee.calls).toEqual([]);
  });
});

describe('a log line', () => {
  it('has the level, the time and the data that the callee says, in the order of the answer', async () => {
    const callee = await answering(
      log('begun'),
      log('look', {
        level: LogLevel.WARN,
        time: timestampFromMs(1_774_748_400_123),
        data: { rows: 3, deep: { a: [1, 'x', null] } },
      }),
      log('', { level: LogLevel.ERROR }),
      log('fine', { level: LogLevel.DEBUG }),
      log('odd', { level: 99 }),
    );
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result).toEqual(succeeded);
    expect(lines).toEqual([
      { level: 'INFO', message: 'begun' },
      {
        at: new Date('2026-03-29T01:40:00.123Z'),
        level: 'WARN',
        message: 'look',
        data: { rows: 3, deep: { a: [1, 'x', null] } },
      },
      { level: 'ERROR', message: '' },
      { level: 'DEBUG', message: 'fine' },
      { level: 'INFO', message: 'odd' },
    ]);
  });

  it.each([
    ['before 1970', { seconds: -1n }],
    ['after 9999', { seconds: 253_402_300_800n }],
    ['with nanos that are none', { seconds: 1n, nanos: -5 }],
  ])('has no time of its own %s', async (_what, time) => {
    const callee = await answering(log('x', { time }));
    expect((await deliverTo(grpcTarget(callee.address))).lines).toEqual([{ level: 'INFO', message: 'x' }]);
  });

  it('holds nothing that cannot be stored', async () => {
    const callee = await answering(log('a\0b', { data: { 'k\0': 'v\0' } }));
    expect((await deliverTo(grpcTarget(callee.address))).lines).toEqual([
      { level: 'INFO', message: 'a\ufffdb', data: { 'k\ufffd': 'v\ufffd' } },
    ]);
  });
});

describe('progress', () => {
  it.each([
    [{ fraction: 0.425 }, 'progress 43 %', 0.425],
    [{ fraction: 0.5, text: 'half' }, 'half', 0.5],
    [{}, 'progress 0 %', 0],
    [{ fraction: 1.5 }, 'progress 100 %', 1],
    [{ fraction: -1 }, 'progress 0 %', 0],
    [{ fraction: Number.NaN }, 'progress 0 %', 0],
    [{ fraction: Number.POSITIVE_INFINITY }, 'progress 100 %', 1],
  ])('of %j is a log line', async (value, message, progress) => {
    const callee = await answering({ case: 'progress', value });
    expect((await deliverTo(grpcTarget(callee.address))).lines).toEqual([
      { level: 'INFO', message, data: { progress } },
    ]);
  });
});

describe('the result', () => {
  it.each([
    ['', { result: { rows: 3 } }, { ...succeeded, result: { rows: 3 } }],
    ['SUCCEEDED', { state: ExecutionState.SUCCEEDED, message: 'all done' }, succeeded],
    [
      'FAILED',
      { state: ExecutionState.FAILED, message: 'no\nspace' },
      { ...targetError, message: 'no space', retryable: true },
    ],
    [
      'FAILED without words',
      { state: ExecutionState.FAILED },
      { ...targetError, message: 'the callee reported an error', retryable: true },
    ],
    [
      'FAILED for good',
      { state: ExecutionState.FAILED, message: 'no', retryable: false, retryAfter: durationFromMs(5) },
      { ...targetError, message: 'no', retryable: false },
    ],
    [
      'FAILED with a wait',
      { state: ExecutionState.FAILED, message: 'busy', retryAfter: durationFromMs(1_500) },
      { ...targetError, message: 'busy', retryable: true, retryAfterMs: 1_500 },
    ],
    [
      'FAILED with a wait of a year',
      { state: ExecutionState.FAILED, message: 'busy', retryAfter: durationFromMs(31_536_000_000) },
      { ...targetError, message: 'busy', retryable: true, retryAfterMs: 86_400_000 },
    ],
    [
      'another state',
      { state: ExecutionState.SKIPPED },
      {
        ...targetError,
        message: 'answer has a result that is neither SUCCEEDED nor FAILED',
        retryable: false,
      },
    ],
  ])('%s ends the attempt', async (_what, value, expected) => {
    const callee = await answering({ case: 'result', value }, log('too late'));
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result).toEqual(expected);
    expect(lines).toEqual([]);
  });

  it('ends the attempt at once, though the callee goes on; it is cancelled a second later', async () => {
    const clock = new HandClock();
    const canceled = Promise.withResolvers<void>();
    const callee = await startGrpcCallee((call) => {
      call.write(bytesOf({ case: 'result', value: { result: { rows: 1 } } }));
      call.on('cancelled', () => canceled.resolve());
    });
    const client = createGrpcClient({ clock });
    const result = await client.deliver(grpcTarget(callee.address), sampleDelivery, recordedContext());
    expect(result).toEqual({ ...succeeded, result: { rows: 1 } });
    expect(callee.calls.map(({ cancelled }) => cancelled)).toEqual([false]);
    expect([...clock.timers.values()]).toContain(1_000);
    clock.fireAll();
    await canceled.promise;
  });

  it('is not needed: an answer that ends with OK is success', async () => {
    const callee = await answering(log('only this'));
    expect((await deliverTo(grpcTarget(callee.address))).result).toEqual(succeeded);
  });

  it('that nests too deeply for whoever reads it is left out', async () => {
    let object: { [key: string]: object } = {};
    for (let level = 1; level < 40; level++) object = { a: object };
    const callee = await answering({ case: 'result', value: { result: object as never } });
    expect(await deliverTo(grpcTarget(callee.address))).toEqual({
      result: succeeded,
      lines: [{ level: 'WARN', message: 'result left out, deeper than 32 levels' }],
    });
  });
});

it('leaves nothing behind at the signal, however the attempt ends', async () => {
  const callee = await startGrpcCallee((call) =>
    call.request.attempt === 1 ? call.end() : call.emit('error', { code: 13, details: 'no' }),
  );
  const client = createGrpcClient();
  const context = recordedContext();
  for (const attempt of [1, 2]) {
    await client.deliver(grpcTarget(callee.address), { ...sampleDelivery, attempt }, context);
  }
  await client.deliver(grpcTarget('127.0.0.1:1'), sampleDelivery, context);
  expect(getEventListeners(context.signal, 'abort')).toEqual([]);
});
