import { create, type Message } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { describe, expect, it, vi } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import {
  JobServiceGetRequestSchema,
  JobServiceGetResponseSchema,
  JobServiceTriggerRequestSchema,
} from '../../gen/carillon/v1/job_service_pb.js';
import { WorkerServiceConnectRequestSchema } from '../../gen/carillon/v1/worker_service_pb.js';
import { Access } from '../../src/domain/access.ts';
import { DomainError, type ErrorReason } from '../../src/domain/errors.ts';
import type { RefusedCall } from '../../src/engine/operations.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { noMetrics } from '../../src/platform/metrics.ts';
import { anonymous, Call, type Interceptor } from '../../src/rpc/call.ts';
import { createChain } from '../../src/rpc/chain.ts';
import { LiveCalls } from '../../src/rpc/live-calls.ts';
import { serveResponses, serveUnary, startStream } from '../../src/rpc/serve.ts';
import type { BidiMethod, Method, StreamMethod, UnaryMethod } from '../../src/rpc/services/service.ts';
import { createServices } from '../../src/rpc/services/services.ts';
import { type LogLine, memoryLogger } from '../conformance/servers.ts';
import { awaitPassing } from '../support/await-passing.ts';
import { FakeOperations } from '../support/fake-operations.ts';
import { echo, workerService } from './echo-workers.ts';

const services = createServices(new FakeOperations());
const methodNamed = (name: string) =>
  services.flatMap((service) => service.methods).find((method) => method.name.endsWith(name));
const getMethod = methodNamed('JobService/Get') as UnaryMethod;
const streamMethod = methodNamed('ExecutionService/Stream') as StreamMethod;
const request = create(JobServiceGetRequestSchema, { job: { ref: { case: 'id', value: 1n } } });
const response = create(JobServiceGetResponseSchema);

/** A call without a transport. */
class TestCall extends Call {
  readonly headers = new Map<string, string>();
  readonly replies: unknown[] = [];
  readonly given: Readonly<Record<string, string>>;
  readonly leftMs: number | undefined;

  constructor(
    chain: readonly Interceptor[],
    method: Method = getMethod,
    given: Readonly<Record<string, string>> = {},
    leftMs?: number,
    live = new LiveCalls(),
  ) {
    super(method, { chain, live });
    this.given = given;
    this.leftMs = leftMs;
  }

  override header(name: string): string | undefined {
    return this.given[name];
  }

  override setHeader(name: string, value: string): void {
    this.headers.set(name, value);
  }

  override peer(): string {
    return '192.0.2.1:99';
  }

  override clientCertificate(): undefined {}

  override remainingMs(): number | undefined {
    return this.leftMs;
  }

  override encode(message: unknown): unknown {
    return message;
  }

  protected override reply(answer: unknown): void {
    this.replies.push(this.error ?? answer);
  }
}

/** A clock whose timers run when the test says so. */
function timerClock(): Clock & { readonly timers: { ms: number; run(): void; isCanceled: boolean }[] } {
  const timers: { ms: number; run(): void; isCanceled: boolean }[] = [];
  return {
    ...systemClock,
    timers,
    setTimer(ms, run) {
      const timer = { ms, run, isCanceled: false };
      timers.push(timer);
      return () => {
        timer.isCanceled = true;
      };
    },
  };
}

const standard = (
  clock: Clock = systemClock,
  lines: LogLine[] = [],
  refused: RefusedCall[] = [],
): readonly Interceptor[] =>
  createChain({
    clock,
    logger: memoryLogger(lines),
    metrics: noMetrics,
    services,
    refusals: { record: (call) => void refused.push(call) },
  });

describe('the chain', () => {
  it('is request id, logging, metrics, error mapping, audit, deadline, validation', () => {
    const names = standard().map((interceptor) => interceptor.name);
    expect(names).toEqual([
      'request-id',
      'logging',
      'metrics',
      'error-mapping',
      'audit',
      'deadline',
      'validation',
    ]);
  });

  it('opens outermost first, checks in the same order, and closes in reverse', () => {
    const seen: string[] = [];
    const layer = (name: string): Interceptor => ({
      name,
      open: () => void seen.push(`open ${name}`),
      check: () => void seen.push(`check ${name}`),
      close: () => void seen.push(`close ${name}`),
    });
    const call = new TestCall([layer('a'), layer('b')]);
    void call.open();
    call.check(request);
    call.succeed(response);
    expect(seen).toEqual(['open a', 'open b', 'check a', 'check b', 'close b', 'close a']);
    expect(call.replies).toEqual([response]);
  });

  it('closes only what was open when an interceptor refuses, and runs no handler', async () => {
    const seen: string[] = [];
    const outer: Interceptor = { name: 'outer', close: (call) => void seen.push(String(call.failure)) };
    const refusing: Interceptor = {
      name: 'refusing',
      open: () => Promise.reject(new Error('no')),
      close: () => void seen.push('never'),
    };
    const inner: Interceptor = { name: 'inner', open: () => void seen.push('never') };
    const call = new TestCall([outer, refusing, inner]);
    await call.open();
    const handle = vi.fn();
    serveUnary({ ...getMethod, handle }, call, request);
    expect(call.isSettled).toBe(true);
    expect(handle).not.toHaveBeenCalled();
    expect(seen).toEqual(['Error: no']);
  });

  it('stays synchronous as long as its interceptors are', () => {
    expect(new TestCall(standard()).open()).toBeUndefined();
  });

  it('settles once: whoever comes second is ignored', () => {
    const call = new TestCall(standard());
    void call.open();
    call.fail(new DomainError('CANCELED', 'gone'));
    call.succeed(response);
    call.fail(new Error('late'));
    expect(call.replies).toMatchObject([{ reason: 'CANCELED', code: Code.Canceled }]);
  });

  it('aborts the signal of a call that fails, also when it is asked for afterwards', () => {
    const call = new TestCall(standard());
    const before = call.signal;
    call.fail(new Error('x'));
    expect(before.aborted).toBe(true);
    const late = new TestCall(standard());
    late.fail(new Error('x'));
    expect(late.signal.aborted).toBe(true);
  });
});

describe('request ids', () => {
  it.each(['abc-123', '00-4bf92f3577b34da6a3ce929d0e0e4736-00', 'x'.repeat(128)])('takes %s', (given) => {
    const call = new TestCall(standard(), getMethod, { 'x-request-id': given });
    void call.open();
    expect(call.requestId).toBe(given);
    expect(call.headers.get('x-request-id')).toBe(given);
  });

  it.each(['', 'two words', 'é', 'x'.repeat(129), 'a"b', 'a\\b', 'a\nb'])(
    'makes one in place of %j',
    (given) => {
      const call = new TestCall(standard(), getMethod, { 'x-request-id': given });
      void call.open();
      expect(call.requestId).toMatch(/^[\w-]{12}$/);
    },
  );
});

describe('logging', () => {
  const lineOf = (failure: unknown): LogLine | undefined => {
    const lines: LogLine[] = [];
    const call = new TestCall(standard(systemClock, lines));
    void call.open();
    if (failure === undefined) call.succeed(response);
    else call.fail(failure);
    expect(lines).toHaveLength(1);
    return lines[0];
  };

  it('writes a call that went well for debugging, with method, code, time, request id and peer', () => {
    expect(lineOf(undefined)).toMatchObject({
      level: 'debug',
      message: 'call ended',
      method: 'carillon.v1.JobService/Get',
      code: 'OK',
      ms: expect.any(Number),
      requestId: expect.any(String),
      actor: 'anonymous',
      peer: '192.0.2.1:99',
    });
  });

  it("writes the caller's faults for debugging", () => {
    expect(lineOf(new DomainError('JOB_NOT_FOUND', 'x'))).toMatchObject({
      level: 'debug',
      code: 'NOT_FOUND',
    });
  });

  it('writes faults of the server as errors, with the whole error', () => {
    const error = new TypeError('secret');
    expect(lineOf(error)).toMatchObject({ level: 'error', code: 'INTERNAL', error });
  });

  it('warns of what the server could not do now', () => {
    const error = new DomainError('UNAVAILABLE', 'x', { cause: new Error('ECONNREFUSED') });
    expect(lineOf(error)).toMatchObject({ level: 'warn', code: 'UNAVAILABLE', error });
  });
});

describe('deadlines', () => {
  it('limits a unary call to what the server allows', () => {
    const clock = timerClock();
    const call = new TestCall(standard(clock));
    void call.open();
    expect(clock.timers.map(({ ms }) => ms)).toEqual([30_000]);
    clock.timers[0]?.run();
    expect(call.replies).toMatchObject([{ reason: 'DEADLINE_EXCEEDED', code: Code.DeadlineExceeded }]);
  });

  it("takes the caller's deadline when that is earlier, and never a later one", () => {
    const clock = timerClock();
    void new TestCall(standard(clock), getMethod, {}, 70).open();
    void new TestCall(standard(clock), getMethod, {}, 90_000).open();
    expect(clock.timers.map(({ ms }) => ms)).toEqual([70, 30_000]);
  });

  it("limits a stream by the caller's deadline only", () => {
    const clock = timerClock();
    void new TestCall(standard(clock), streamMethod).open();
    void new TestCall(standard(clock), streamMethod, {}, 90_000).open();
    expect(clock.timers.map(({ ms }) => ms)).toEqual([90_000]);
  });

  it('calls off its timer when the call ends', () => {
    const clock = timerClock();
    const call = new TestCall(standard(clock));
    void call.open();
    call.succeed(response);
    expect(clock.timers[0]?.isCanceled).toBe(true);
  });
});

describe('serving', () => {
  it('fails a call whose handler throws before it returns a promise', () => {
    const call = new TestCall(standard());
    void call.open();
    const handle = (): never => {
      throw new DomainError('JOB_PAUSED', 'paused');
    };
    serveUnary({ ...getMethod, handle }, call, request);
    expect(call.replies).toMatchObject([{ reason: 'JOB_PAUSED' }]);
  });

  it('fails a call whose response cannot be encoded', async () => {
    const call = new TestCall(standard());
    call.encode = () => {
      throw new Error('cannot encode');
    };
    void call.open();
    serveUnary({ ...getMethod, handle: () => Promise.resolve(response) }, call, request);
    await awaitPassing(() => expect(call.replies).toMatchObject([{ reason: 'INTERNAL' }]));
  });

  it('ends a stream that waits when its call settles, and lets go of the iterator', async () => {
    let isReturned = false;
    const messages: AsyncIterableIterator<never> = {
      [Symbol.asyncIterator]: () => messages,
      next: () => new Promise(() => undefined),
      return: () => {
        isReturned = true;
        return Promise.resolve({ done: true, value: undefined });
      },
    };
    const call = new TestCall([{ name: 'none' }], streamMethod);
    void call.open();
    const served = serveResponses(call, () =>
      startStream({ ...streamMethod, handle: () => messages }, call, request),
    );
    const next = served.next();
    call.fail(new DomainError('UNAVAILABLE', 'stopping'));
    expect(await next).toEqual({ done: true, value: undefined });
    expect(isReturned).toBe(true);
    expect(call.replies).toHaveLength(1);
  });

  it('cancels the call of a stream whose consumer stops', async () => {
    async function* messages() {
      yield response;
      yield response;
    }
    const call = new TestCall(standard(), streamMethod);
    call.check = () => undefined;
    void call.open();
    const method = { ...streamMethod, handle: messages };
    for await (const _ of serveResponses(call, () => startStream(method, call, request))) break;
    expect(call.replies).toMatchObject([{ reason: 'CANCELED' }]);
  });
});

describe('the audit of refused calls', () => {
  /** What is recorded of a call of a method that fails. */
  const recordedOf = (
    method: string,
    request: Message | undefined,
    failure: unknown,
    { principal = anonymous, isAccepted = false }: Partial<Pick<Call, 'principal' | 'isAccepted'>> = {},
  ): RefusedCall[] => {
    const refused: RefusedCall[] = [];
    const call = new TestCall(standard(systemClock, [], refused), methodNamed(method), {
      'x-request-id': 'r-1',
    });
    void call.open();
    if (request) {
      try {
        call.check(request);
      } catch {
        // What breaks a rule is refused by the validation, behind the audit.
      }
    }
    Object.assign(call, { principal, isAccepted });
    call.fail(failure);
    return refused;
  };
  const key = { namespace: 'shop', group: '', name: 'report' };
  const byKey = { ref: { case: 'key', value: key } } as const;
  const trigger = create(JobServiceTriggerRequestSchema, { job: byKey });
  const refusal = (reason: ErrorReason): DomainError => new DomainError(reason, 'no');

  it('tells who called what, why it was refused and what it named', () => {
    expect(recordedOf('JobService/Trigger', trigger, refusal('JOB_PAUSED'))).toEqual([
      {
        caller: expect.objectContaining({
          actor: 'anonymous',
          method: 'carillon.v1.JobService/Trigger',
          peer: '192.0.2.1:99',
          requestId: 'r-1',
        }),
        reason: 'JOB_PAUSED',
        namespace: 'shop',
        object: { type: 'job', name: 'shop/default/report' },
        details: undefined,
        isDropped: false,
      },
    ]);
  });

  it.each<ErrorReason>(['UNAVAILABLE', 'INTERNAL', 'CANCELED', 'DEADLINE_EXCEEDED', 'UNAUTHENTICATED'])(
    'has nothing of %s',
    (reason) => expect(recordedOf('JobService/Trigger', trigger, refusal(reason))).toEqual([]),
  );

  it('has nothing of faults and of calls that succeed', () => {
    expect(recordedOf('JobService/Trigger', trigger, new TypeError('x'))).toEqual([]);
    const refused: RefusedCall[] = [];
    const call = new TestCall(standard(systemClock, [], refused), methodNamed('JobService/Trigger'));
    void call.open();
    call.succeed(response);
    expect(refused).toEqual([]);
  });

  it('has a refused read only where access control refused it', () => {
    const get = create(JobServiceGetRequestSchema, { job: byKey });
    expect(recordedOf('JobService/Get', get, refusal('JOB_NOT_FOUND'))).toEqual([]);
    const hidden = new DomainError('JOB_NOT_FOUND', 'no', { deniedAccess: true });
    expect(recordedOf('JobService/Get', get, hidden)).toMatchObject([
      { reason: 'JOB_NOT_FOUND', namespace: 'shop', details: { deniedAccess: true } },
    ]);
    const denied = refusal('PERMISSION_DENIED' as ErrorReason);
    expect(recordedOf('JobService/Get', get, denied)).toHaveLength(1);
  });

  it('notes a read of what is missing as one of what is out of sight, to be dropped', () => {
    const get = create(JobServiceGetRequestSchema, { job: byKey });
    const missing = new DomainError('JOB_NOT_FOUND', 'no', { deniedAccess: false });
    expect(recordedOf('JobService/Get', get, missing)).toMatchObject([
      { reason: 'JOB_NOT_FOUND', namespace: 'shop', isDropped: true },
    ]);
    expect(recordedOf('JobService/Trigger', trigger, missing)).toMatchObject([{ isDropped: false }]);
  });

  it('has no event in a namespace that the caller does not see', () => {
    const hidden = new DomainError('JOB_NOT_FOUND', 'no', { deniedAccess: true });
    const stranger = { actor: 'red', access: new Access([{ namespace: 'red', role: 'ADMIN' }]) };
    expect(recordedOf('JobService/Trigger', trigger, hidden, { principal: stranger })).toMatchObject([
      { namespace: undefined, details: { namespace: 'shop', deniedAccess: true } },
    ]);
  });

  it('has a refused Connect, and nothing of what ends one that was taken in or of what callees report', () => {
    const hello = create(WorkerServiceConnectRequestSchema, {
      message: { case: 'hello', value: { workerId: 'w1', namespace: 'shop' } },
    });
    expect(recordedOf('WorkerService/Connect', hello, refusal('INVALID_ARGUMENT'))).toMatchObject([
      { namespace: 'shop', object: { type: 'worker', name: 'w1' } },
    ]);
    const taken = refusal('CONCURRENT_CHANGE');
    expect(recordedOf('WorkerService/Connect', hello, taken, { isAccepted: true })).toEqual([]);
    expect(recordedOf('AttemptService/Complete', undefined, refusal('ATTEMPT_ENDED'))).toEqual([]);
  });

  it('knows the kind of thing where the request was not read', () => {
    expect(recordedOf('AdminService/PutSecret', undefined, refusal('INVALID_ARGUMENT'))).toMatchObject([
      { object: { type: 'secret' } },
    ]);
  });
});

describe('stopping', () => {
  const unavailable = () => new DomainError('UNAVAILABLE', 'stopping');

  it('ends streams whose handlers did not ask, tells those that did, and leaves unary calls alone', () => {
    const live = new LiveCalls();
    const [unary, stream, told] = [
      new TestCall([], getMethod, {}, undefined, live),
      new TestCall([], streamMethod, {}, undefined, live),
      new TestCall([], streamMethod, {}, undefined, live),
    ];
    const tell = vi.fn();
    told.onStopping(tell);
    live.stopStreams(unavailable);
    expect([unary, stream, told].map((call) => call.isSettled)).toEqual([false, true, false]);
    expect(tell).toHaveBeenCalledOnce();
    live.endAll(unavailable);
    expect([unary, told].map((call) => call.isSettled)).toEqual([true, true]);
    expect(tell).toHaveBeenCalledOnce();
  });

  it('fails a call whose handler throws when it is told', () => {
    const live = new LiveCalls();
    const call = new TestCall([], streamMethod, {}, undefined, live);
    call.onStopping(() => {
      throw new Error('x');
    });
    live.stopStreams(unavailable);
    expect(call.failure).toMatchObject({ message: 'x' });
  });
});

describe('validation', () => {
  it('lets a good request through', () => {
    const call = new TestCall(standard(), methodNamed('JobService/Trigger') as UnaryMethod);
    const good = create(JobServiceTriggerRequestSchema, {
      job: { ref: { case: 'key', value: { name: '毎日 🌙' } } },
      requestId: 'r',
      parameters: { object: { a: [1, { b: null }] }, list: [{ name: 'x', value: '' }] },
    });
    expect(() => call.check(good)).not.toThrow();
  });

  it('names the values that an enum may have', () => {
    const [connect] = workerService(echo).methods;
    const call = new TestCall(standard(), connect as BidiMethod);
    const result = { executionId: 1n, attempt: 1, state: ExecutionState.RUNNING };
    const request = create(WorkerServiceConnectRequestSchema, { message: { case: 'result', value: result } });
    expect(() => call.check(request)).toThrow(
      'result.state: must be EXECUTION_STATE_SUCCEEDED or EXECUTION_STATE_FAILED or EXECUTION_STATE_CANCELED',
    );
  });
});
