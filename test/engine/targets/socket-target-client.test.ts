import { getEventListeners, once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { SocketTarget } from '../../../src/domain/job.ts';
import { recordedContext, sampleDelivery } from './http/attempt.ts';
import {
  createSocketClient,
  deliverTo,
  socketTarget,
  startSaying,
  startSocketCallee,
} from './socket/attempt.ts';

const succeeded = { outcome: 'SUCCEEDED', message: '', retryable: false };
const targetError = { outcome: 'FAILED', reason: 'TARGET_ERROR' };

/** What a callee says, a line for each value. */
const linesOf = (...values: unknown[]): string =>
  values.map((value) => `${typeof value === 'string' ? value : JSON.stringify(value)}\n`).join('');

describe('the line that is sent', () => {
  it('is the attempt as JSON, and the connection stays open behind it', async () => {
    const callee = await startSocketCallee((socket) => {
      socket.on('end', () => socket.write('{"error":"it was half closed"}\n'));
      setImmediate(() => socket.write('{"result":{}}\n'));
    });
    expect((await deliverTo(socketTarget(callee.port))).result).toEqual({ ...succeeded, result: {} });
    expect(JSON.parse(callee.received[0] ?? '')).toEqual({
      execution_id: 7_205_759_403_792_793,
      attempt: 2,
      attempt_token: 'cat_sample',
      job_id: 7_205_759_403_792_001,
      job_key: { namespace: 'default', group: 'reports', name: 'nächtlich' },
      fire_time: '2026-03-29T01:30:00.250Z',
      cause: 'SCHEDULE',
      term: 4,
      parameters: { text: 'all', object: { depth: 3 }, list: [{ name: 'day', value: 'monday' }] },
    });
  });

  it('is one line, whatever the parameters hold', async () => {
    const callee = await startSocketCallee((socket) => socket.end('{"result":{}}\n'));
    const parameters = { text: 'a\nb\r\nc\u2028d' };
    const context = recordedContext();
    await createSocketClient().deliver(socketTarget(callee.port), { ...sampleDelivery, parameters }, context);
    expect(JSON.parse(callee.received[0] ?? '').parameters).toEqual(parameters);
  });

  it('goes over a connection of its own, which is closed behind the end', async () => {
    const callee = await startSocketCallee((socket) => socket.write('{"result":{}}\n'));
    const client = createSocketClient();
    for (let i = 0; i < 2; i++)
      await client.deliver(socketTarget(callee.port), sampleDelivery, recordedContext());
    expect(callee.sockets).toHaveLength(2);
    await Promise.all(callee.sockets.map((socket) => socket.closed || once(socket, 'close')));
  });

  it.each<[string, Partial<SocketTarget>]>([
    ['a scheme', { host: 'unix:/var/run/docker.sock' }],
    ['a port that is none', { port: 70_000 }],
    ['no host at all', { host: undefined as never }],
  ])('is never sent for a stored target with %s', async (_what, damage) => {
    const callee = await startSaying('');
    const { result } = await deliverTo(socketTarget(callee.port, damage));
    expect(result).toMatchObject({ outcome: 'FAILED', reason: 'INVALID_JOB', retryable: false });
    expect(result.message).toMatch(/^target cannot be called: [ -~]+$/);
    expect(callee.sockets).toEqual([]);
  });
});

describe('the end', () => {
  it.each<[object, object]>([
    [{ result: { rows: 3 } }, { ...succeeded, result: { rows: 3 } }],
    [{ state: 'SUCCEEDED' }, succeeded],
    [
      { state: 'SUCCEEDED', message: 'done', result: { rows: 3 } },
      { ...succeeded, result: { rows: 3 } },
    ],
    [{ state: 'SUCCEEDED', result: [1] }, succeeded],
    [
      { state: 'FAILED', message: 'no\nspace' },
      { ...targetError, message: 'no space', retryable: true },
    ],
    [{ state: 'FAILED' }, { ...targetError, message: 'the callee reported an error', retryable: true }],
    [
      { state: 'FAILED', message: 'no', retryable: false, retry_after_ms: 5 },
      { ...targetError, message: 'no', retryable: false },
    ],
    [
      { state: 'FAILED', message: 'busy', retry_after_ms: 1_500 },
      { ...targetError, message: 'busy', retryable: true, retryAfterMs: 1_500 },
    ],
    [
      { state: 'FAILED', message: 'busy', retry_after_ms: 1e300 },
      { ...targetError, message: 'busy', retryable: true, retryAfterMs: 86_400_000 },
    ],
    [{ error: 'broken' }, { ...targetError, message: 'broken', retryable: true }],
    // What comes before it has used up 6 bytes and 64 for being a line.
    [{ accepted: true }, { outcome: 'ACCEPTED', message: '', retryable: false, loggedBytes: 70 }],
  ])('%j decides, and what follows is not heard', async (end, expected) => {
    const callee = await startSaying(linesOf('before', end, 'behind', { error: 'late' }));
    const { result, lines } = await deliverTo(socketTarget(callee.port));
    expect(result).toEqual(expected);
    expect(lines).toEqual([{ level: 'INFO', message: 'before' }]);
  });

  it('counts without the end of its line when the callee closes the connection', async () => {
    const callee = await startSaying('{"result":{"rows":3}}');
    expect((await deliverTo(socketTarget(callee.port))).result).toEqual({
      ...succeeded,
      result: { rows: 3 },
    });
  });

  it('that is missing is a failure, retryable', async () => {
    const callee = await startSaying(`${linesOf({ message: 'begun' })}{"result":{"ro`);
    const { result, lines } = await deliverTo(socketTarget(callee.port));
    expect(result).toEqual({
      ...targetError,
      message: 'connection closed by callee before it sent a result',
      retryable: true,
    });
    expect(lines).toEqual([
      { level: 'INFO', message: 'begun' },
      { level: 'INFO', message: '{"result":{"ro' },
    ]);
  });
});

describe('a log line', () => {
  it('has the level, the time and the data that the callee says', async () => {
    const callee = await startSaying(
      linesOf(
        'plain words\r',
        '',
        { message: 'look', level: 'warn', time: '2026-03-29T01:40:00.123Z', data: { rows: 3 }, host: 'a' },
        { state: 'WORKING', message: 'no end' },
        { result: { rows: 1 }, more: true },
        { result: 7 },
        '{"result":',
        { result: {} },
      ),
    );
    const { lines } = await deliverTo(socketTarget(callee.port));
    expect(lines).toEqual([
      { level: 'INFO', message: 'plain words' },
      {
        at: new Date('2026-03-29T01:40:00.123Z'),
        level: 'WARN',
        message: 'look',
        data: { host: 'a', rows: 3 },
      },
      { level: 'INFO', message: 'no end', data: { state: 'WORKING' } },
      { level: 'INFO', message: '{"result":{"rows":1},"more":true}' },
      { level: 'INFO', message: '{"result":7}' },
      { level: 'INFO', message: '{"result":' },
    ]);
  });

  it('is logged while the callee works', async () => {
    const logged = Promise.withResolvers<void>();
    const callee = await startSocketCallee((socket) => {
      socket.write('first\n');
      void logged.promise.then(() => socket.end('{"result":{}}\n'));
    });
    const context = recordedContext(async () => logged.resolve());
    const result = await createSocketClient().deliver(socketTarget(callee.port), sampleDelivery, context);
    expect(result.outcome).toBe('SUCCEEDED');
    expect(context.lines).toHaveLength(1);
  });
});

it('leaves nothing behind at the signal, however the attempt ends', async () => {
  const callee = await startSocketCallee((socket, line) =>
    JSON.parse(line).attempt === 1 ? socket.end('{"result":{}}\n') : socket.destroy(),
  );
  const client = createSocketClient();
  const context = recordedContext();
  for (const attempt of [1, 2]) {
    await client.deliver(socketTarget(callee.port), { ...sampleDelivery, attempt }, context);
  }
  expect(getEventListeners(context.signal, 'abort')).toEqual([]);
});
