/** The reports of callees on every way in: what reaches the operations, what comes back, what is refused. */
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AttemptService } from '../../gen/carillon/v1/attempt_service_pb.js';
import { ExecutionState, LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import { BadRequestSchema } from '../../gen/google/rpc/error_details_pb.js';
import { fakeNow } from '../support/fake-operations.ts';
import { type Servers, startServers } from './servers.ts';
import { ways } from './transports.ts';

const attemptToken = 'cat_a';
const time = { seconds: 1_772_366_400n, nanos: 125_000_000 };

describe.each(ways)('$name', (way) => {
  let servers: Servers;
  let transport: ReturnType<typeof way.open>;
  let attempts: Client<typeof AttemptService>;

  beforeAll(async () => {
    servers = await startServers();
    transport = way.open(servers);
    attempts = createClient(AttemptService, transport);
  });
  afterAll(async () => {
    transport.close?.();
    await servers.stop();
  });
  beforeEach(() => {
    servers.operations.asked.length = 0;
  });

  it('takes lines, with their defaults and their offset', async () => {
    const entries = [{ message: 'a' }, { message: 'ü', level: LogLevel.ERROR, data: { n: [1] }, time }];
    expect(await attempts.appendLogs({ attemptToken, entries, offset: 0n })).toMatchObject({
      stored: 2,
      repeatedLines: 0,
      dropped: 2,
      nextOffset: 7n,
      cancelRequested: true,
    });
    expect(await attempts.appendLogs({ attemptToken, entries })).toMatchObject({ repeatedLines: 1 });
    const lines = [
      { level: 'INFO', message: 'a', at: undefined, data: undefined },
      { level: 'ERROR', message: 'ü', at: fakeNow, data: { n: [1] } },
    ];
    expect(servers.operations.asked).toEqual([
      { operation: 'appendLogs', args: [{ token: attemptToken, lines, offset: 0 }] },
      { operation: 'appendLogs', args: [{ token: attemptToken, lines, offset: undefined }] },
    ]);
  });

  it('takes signs of life, and tells when the time is over', async () => {
    expect(await attempts.heartbeat({ attemptToken })).toMatchObject({
      cancelRequested: true,
      reportByTime: time,
    });
    expect(servers.operations.asked).toEqual([{ operation: 'heartbeat', args: [attemptToken] }]);
  });

  it('takes ends, with their defaults', async () => {
    const plain = { attemptToken, state: ExecutionState.SUCCEEDED };
    expect(await attempts.complete(plain)).toMatchObject({ alreadyEnded: false });
    const full = {
      attemptToken,
      state: ExecutionState.CANCELED,
      result: { rows: 3 },
      message: 'no',
      retryable: false,
      retryAfter: { seconds: 1n, nanos: 500_000_000 },
    };
    expect(await attempts.complete(full)).toMatchObject({ alreadyEnded: true });
    const token = attemptToken;
    expect(servers.operations.asked.map(({ args }) => args)).toEqual([
      [
        {
          token,
          state: 'SUCCEEDED',
          message: '',
          result: undefined,
          retryable: true,
          retryAfterMs: undefined,
        },
      ],
      [
        {
          token,
          state: 'CANCELED',
          message: 'no',
          result: { rows: 3 },
          retryable: false,
          retryAfterMs: 1_500,
        },
      ],
    ]);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['entries', () => attempts.appendLogs({ attemptToken })],
    ['entries[0].level', () => attempts.appendLogs({ attemptToken, entries: [{ level: 9 as LogLevel }] })],
    ['offset', () => attempts.appendLogs({ attemptToken, entries: [{}], offset: -1n })],
    ['attempt_token', () => attempts.heartbeat({ attemptToken: 'x'.repeat(257) })],
    ['state', () => attempts.complete({ attemptToken })],
    ['state', () => attempts.complete({ attemptToken, state: ExecutionState.RUNNING })],
  ])('refuses a report whose %s breaks a rule', async (field, call) => {
    const error = ConnectError.from(await call().catch((thrown: unknown) => thrown));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.findDetails(BadRequestSchema)).toMatchObject([{ fieldViolations: [{ field }] }]);
    expect(servers.operations.asked).toEqual([]);
  });

  it('names no token in the log', () => {
    expect(JSON.stringify(servers.logged)).not.toContain(attemptToken);
  });
});
