/** The requests of a stream between a transport that pushes and a handler that takes. */
import { create, type Message } from '@bufbuild/protobuf';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WorkerServiceConnectRequestSchema } from '../../gen/carillon/v1/worker_service_pb.js';
import { DomainError } from '../../src/domain/errors.ts';
import { Call } from '../../src/rpc/call.ts';
import { LiveCalls } from '../../src/rpc/live-calls.ts';
import { MalformedRequest } from '../../src/rpc/malformed-request.ts';
import { IncomingRequests } from '../../src/rpc/request-stream.ts';
import { ManualClock } from '../platform/manual-clock.ts';
import { echo, numberOf, started, workerService } from './echo-workers.ts';

const [method] = workerService(echo).methods;

/** A call without a transport and without a chain. */
class BareCall extends Call {
  constructor() {
    super(method as NonNullable<typeof method>, { chain: [], live: new LiveCalls() });
  }
  override header(): undefined {}
  override setHeader(): void {}
  override peer(): string {
    return '192.0.2.1:99';
  }
  override clientCertificate(): undefined {}
  override remainingMs(): undefined {}
  override encode(message: Message): Message {
    return message;
  }
  protected override reply(): void {}
}

function setUp() {
  const clock = new ManualClock();
  const call = new BareCall();
  const flow: string[] = [];
  const requests = new IncomingRequests(
    call,
    { pause: () => flow.push('pause'), resume: () => flow.push('resume') },
    clock,
  );
  const push = (from: number, to = from): void => {
    for (let i = from; i <= to; i++) requests.push(create(WorkerServiceConnectRequestSchema, started(i)));
  };
  const take = async (): Promise<number | 'end'> => {
    const step = await requests.next();
    return step.done === true ? 'end' : numberOf(step.value as never);
  };
  return { clock, call, flow, requests, push, take };
}

describe('requests', () => {
  it('reach a handler that waits without holding the transport', async () => {
    const { flow, push, take } = setUp();
    for (let i = 1; i <= 100; i++) {
      const taken = take();
      push(i);
      expect(await taken).toBe(i);
    }
    expect(flow).toEqual([]);
  });

  it('hold the transport when eight wait, and let it go on when none does', async () => {
    const { flow, push, take } = setUp();
    push(1, 7);
    expect(flow).toEqual([]);
    push(8, 9);
    expect(flow).toEqual(['pause']);
    for (let i = 1; i <= 8; i++) expect(await take()).toBe(i);
    expect(flow).toEqual(['pause']);
    expect(await take()).toBe(9);
    expect(flow).toEqual(['pause', 'resume']);
  });

  it('come in the order they were pushed, and pause and resume take turns, however both sides alternate', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 20 }), async (bursts) => {
        const { flow, push, take } = setUp();
        let pushed = 0;
        let taken = 0;
        for (const [i, count] of bursts.entries()) {
          if (i % 2 === 0) {
            push(pushed + 1, pushed + count);
            pushed += count;
          } else {
            for (let n = 0; n < count && taken < pushed; n++) expect(await take()).toBe(++taken);
          }
        }
        while (taken < pushed) expect(await take()).toBe(++taken);
        expect(flow).toEqual(flow.map((_, i) => (i % 2 === 0 ? 'pause' : 'resume')));
        expect(flow.length % 2).toBe(0);
      }),
    );
  });

  it('end behind those that wait', async () => {
    const { clock, requests, push, take } = setUp();
    push(1, 2);
    requests.end();
    await clock.advance(10);
    expect([await take(), await take(), await take(), await take()]).toEqual([1, 2, 'end', 'end']);
  });

  it('throw where an end is followed by the loss of the caller', async () => {
    const { clock, call, requests, take } = setUp();
    const taken = take();
    requests.end();
    await clock.advance(5);
    call.fail(new DomainError('CANCELED', 'gone'));
    await expect(taken).rejects.toMatchObject({ reason: 'CANCELED' });
    await clock.advance(100);
    await expect(take()).rejects.toMatchObject({ reason: 'CANCELED' });
  });

  it('throw at once when the call has failed, whatever still waits', async () => {
    const { call, push, take } = setUp();
    push(1, 3);
    call.fail(new DomainError('UNAVAILABLE', 'stopping'));
    await expect(take()).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
  });

  it('end for a loop that still reads when the call has succeeded', async () => {
    const { call, push, take } = setUp();
    const taken = take();
    call.succeed();
    push(1);
    expect(await taken).toBe('end');
    expect(await take()).toBe('end');
  });

  it('fail the call with one that cannot be decoded, when it is taken', async () => {
    const { call, requests, push, take } = setUp();
    push(1);
    requests.push(new MalformedRequest(new DomainError('INVALID_ARGUMENT', 'no message')));
    expect(await take()).toBe(1);
    expect(call.isSettled).toBe(false);
    await expect(take()).rejects.toMatchObject({ reason: 'INVALID_ARGUMENT' });
    expect(call.isSettled).toBe(true);
  });

  it('are taken one at a time', async () => {
    const { push, take } = setUp();
    const first = take();
    await expect(take()).rejects.toThrow('one at a time');
    push(1);
    expect(await first).toBe(1);
  });
});
