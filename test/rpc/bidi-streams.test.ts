/** Streams both ways, over every protocol that has them, on both servers. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type CallOptions, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  WorkerService,
  type WorkerServiceConnectRequestSchema,
  type WorkerServiceConnectResponse,
} from '../../gen/carillon/v1/worker_service_pb.js';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import { DomainError } from '../../src/domain/errors.ts';
import { type Servers, type ServersOptions, startServers } from '../conformance/servers.ts';
import { type Way, ways } from '../conformance/transports.ts';
import { awaitPassing } from '../support/await-passing.ts';
import { type Connect, echo, numberOf, saying, started, textOf, workerService } from './echo-workers.ts';

type Request = MessageInitShape<typeof WorkerServiceConnectRequestSchema>;

const method = 'carillon.v1.WorkerService/Connect';

/** The requests of a test: what is said, in order, until `close`. */
class Mouth implements AsyncIterable<Request> {
  readonly #said: Request[] = [];
  #isClosed = false;
  #wake = (): void => undefined;

  say(...requests: Request[]): this {
    this.#said.push(...requests);
    this.#wake();
    return this;
  }

  close(): this {
    this.#isClosed = true;
    this.#wake();
    return this;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Request> {
    while (true) {
      const request = this.#said.shift();
      if (request !== undefined) yield request;
      else if (this.#isClosed) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

async function texts(responses: AsyncIterable<WorkerServiceConnectResponse>): Promise<unknown[]> {
  const received = [];
  for await (const response of responses) received.push(textOf(response));
  return received;
}

async function errorOf(answer: Promise<unknown>): Promise<ConnectError> {
  const error = await answer.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConnectError);
  return error as ConnectError;
}

/** Waits until a number does not change between two looks, and returns it. */
async function stillness(look: () => number): Promise<number> {
  let before = -1;
  await vi.waitFor(
    () => {
      const now = look();
      const isStill = now === before;
      before = now;
      expect(isStill).toBe(true);
    },
    { interval: 100, timeout: 10_000 },
  );
  return before;
}

describe.each(ways.filter(({ bidi }) => bidi))('$name', (way: Way) => {
  let handler: Connect;
  let servers: Servers;
  let transport: ReturnType<Way['open']>;
  const cleanups: (() => unknown)[] = [];
  const moreServices = [workerService((requests, call) => handler(requests, call))];

  beforeAll(async () => {
    servers = await startServers({ moreServices });
    transport = way.open(servers);
  });

  afterAll(async () => {
    transport.close?.();
    await servers.stop();
  });

  beforeEach(() => {
    handler = echo;
    servers.ended.length = 0;
    servers.logged.length = 0;
  });

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  function connect(requests: AsyncIterable<Request>, options?: CallOptions) {
    return createClient(WorkerService, transport).connect(requests, options);
  }

  /** Servers of the test's own, with a way to them. */
  async function startOwn(options: ServersOptions = {}) {
    const own = await startServers({ moreServices, ...options });
    const ownTransport = way.open(own);
    cleanups.push(() => Promise.all([own.stop(), ownTransport.close?.()]));
    return { own, client: createClient(WorkerService, ownTransport) };
  }

  /** Opens an echo that has answered once: also where this process is too slow for the time that a request may take. */
  async function openHeard(client: Awaited<ReturnType<typeof startOwn>>['client']) {
    return awaitPassing(async () => {
      const mouth = new Mouth().say(started(1));
      const responses = client.connect(mouth)[Symbol.asyncIterator]();
      expect(textOf((await responses.next()).value)).toBe('1');
      return { mouth, responses };
    });
  }

  it('answer in order and end with OK after the last request, in one line of the log', async () => {
    const mouth = new Mouth().say(started(1), started(2), started(3)).close();
    expect(await texts(connect(mouth))).toEqual(['1', '2', '3']);
    await awaitPassing(() => expect(servers.ended).toEqual([`${method} OK`]));
    expect(servers.logged).toMatchObject([{ level: 'debug', code: 'OK', method, message: 'call ended' }]);
  });

  it('answer each request while the next is not sent yet', async () => {
    const mouth = new Mouth();
    const responses = connect(mouth)[Symbol.asyncIterator]();
    for (let i = 1; i <= 3; i++) {
      mouth.say(started(i));
      expect(textOf((await responses.next()).value)).toBe(String(i));
    }
    mouth.close();
    expect(await responses.next()).toMatchObject({ done: true });
  });

  it('go on with responses after the last request', async () => {
    handler = async function* (requests) {
      let sum = 0;
      for await (const request of requests) sum += numberOf(request);
      yield saying('sum');
      yield saying(String(sum));
    };
    expect(await texts(connect(new Mouth().say(started(20), started(22)).close()))).toEqual(['sum', '42']);
  });

  it('let the server speak first and end first, while the caller has more to say', async () => {
    handler = async function* (requests) {
      yield saying('hello');
      const { value } = await requests.next();
      yield saying(`no more after ${value && numberOf(value)}`);
    };
    const mouth = new Mouth();
    const responses = connect(mouth)[Symbol.asyncIterator]();
    expect(textOf((await responses.next()).value)).toBe('hello');
    mouth.say(started(1), started(2));
    expect(textOf((await responses.next()).value)).toBe('no more after 1');
    expect(await responses.next()).toMatchObject({ done: true });
    expect(servers.ended).toEqual([`${method} OK`]);
  });

  it('give a second loop the requests behind those of the first', async () => {
    handler = async function* (requests) {
      for await (const request of requests) {
        yield saying(`first ${numberOf(request)}`);
        break;
      }
      for await (const request of requests) yield saying(`second ${numberOf(request)}`);
    };
    const mouth = new Mouth().say(started(1), started(2), started(3)).close();
    expect(await texts(connect(mouth))).toEqual(['first 1', 'second 2', 'second 3']);
  });

  it('carry 20,000 messages each way in order', async () => {
    const total = 20_000;
    async function* requests(): AsyncGenerator<Request> {
      for (let i = 1; i <= total; i++) yield started(i);
    }
    const received = await texts(connect(requests()));
    expect(received).toEqual(Array.from({ length: total }, (_, i) => String(i + 1)));
  });

  it('do not wait for each other', async () => {
    const mouths = [new Mouth(), new Mouth()] as const;
    const [one, other] = mouths.map((mouth) => connect(mouth)[Symbol.asyncIterator]());
    const waiting = one?.next();
    mouths[1].say(started(2)).close();
    expect(textOf((await other?.next())?.value)).toBe('2');
    expect(await other?.next()).toMatchObject({ done: true });
    mouths[0].say(started(1)).close();
    expect(textOf((await waiting)?.value)).toBe('1');
    expect(await one?.next()).toMatchObject({ done: true });
  });

  it.each<[what: string, request: Request, field: string]>([
    [
      'breaks a rule',
      { message: { case: 'hello', value: { workerId: 'w', capacity: 0, queues: ['q'] } } },
      'hello.capacity',
    ],
    ['has nothing set', {}, 'message'],
    [
      'is not well-formed',
      { message: { case: 'result', value: { executionId: 1n, attempt: 1, state: 3, message: 'a\0' } } },
      'result.message',
    ],
  ])('are ended by a request that %s, behind those before it', async (_, request, field) => {
    const handled: number[] = [];
    let thrown: unknown;
    handler = async function* (requests) {
      yield saying('hello');
      try {
        for await (const each of requests) handled.push(numberOf(each));
      } catch (error) {
        thrown = error;
        throw error;
      }
    };
    const mouth = new Mouth().say(started(1), started(2), request, started(3));
    const error = await errorOf(texts(connect(mouth)));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: 'INVALID_ARGUMENT' }]);
    expect(error.findDetails(BadRequestSchema)).toMatchObject([{ fieldViolations: [{ field }] }]);
    expect(handled).toEqual([1, 2]);
    expect(thrown).toBeInstanceOf(DomainError);
    expect(servers.ended).toEqual([`${method} INVALID_ARGUMENT`]);
  });

  it('are ended by a request over 4 MiB, and do not outlive it', async () => {
    let isReturned = false;
    handler = async function* (requests, call) {
      try {
        yield* echo(requests, call);
      } finally {
        isReturned = true;
      }
    };
    const entries = Array.from({ length: 5 }, () => ({
      executionId: 1n,
      attempt: 1,
      message: 'x'.repeat(900_000),
    }));
    const mouth = new Mouth().say(started(1), { message: { case: 'logs', value: { entries } } });
    const responses = connect(mouth)[Symbol.asyncIterator]();
    expect(textOf((await responses.next()).value)).toBe('1');
    expect((await errorOf(responses.next())).code).toBe(Code.ResourceExhausted);
    await awaitPassing(() => expect(isReturned).toBe(true));
    expect(servers.ended).toHaveLength(1);
  });

  it("end with the handler's error and its details behind their messages", async () => {
    handler = async function* (requests) {
      yield* echo(requests, undefined as never);
      throw new DomainError('CONCURRENT_CHANGE', 'another took your place');
    };
    const responses = connect(new Mouth().say(started(1)).close())[Symbol.asyncIterator]();
    expect(textOf((await responses.next()).value)).toBe('1');
    const error = await errorOf(responses.next());
    expect(error).toMatchObject({ code: Code.Aborted, rawMessage: 'another took your place' });
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: 'CONCURRENT_CHANGE' }]);
    expect(servers.ended).toEqual([`${method} ABORTED`]);
  });

  it('end with what the handler fails the call with while its responses wait', async () => {
    handler = async function* (requests, call) {
      const read = async (): Promise<void> => {
        for await (const request of requests)
          if (numberOf(request) === 2) throw new DomainError('JOB_STATE_CONFLICT', 'two is refused');
      };
      read().catch((error: unknown) => call.fail(error));
      yield saying('hello');
      await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
    };
    const error = await errorOf(texts(connect(new Mouth().say(started(1), started(2)))));
    expect(error).toMatchObject({ code: Code.FailedPrecondition, rawMessage: 'two is refused' });
    expect(servers.ended).toEqual([`${method} FAILED_PRECONDITION`]);
  });

  it('free a handler that waits for requests, and one that waits for anything else, when the caller cancels', async () => {
    let thrown: unknown;
    let isFreed = false;
    handler = async function* (requests, call) {
      yield saying('hello');
      await requests.next().catch((error: unknown) => {
        thrown = error;
      });
      await new Promise((resolve) => {
        if (call.signal.aborted) resolve(undefined);
        call.signal.addEventListener('abort', resolve);
      });
      isFreed = true;
    };
    const canceling = new AbortController();
    const responses = connect(new Mouth(), { signal: canceling.signal })[Symbol.asyncIterator]();
    await responses.next();
    const ended = errorOf(responses.next());
    canceling.abort();
    expect((await ended).code).toBe(Code.Canceled);
    await awaitPassing(() => expect(isFreed).toBe(true));
    expect(thrown).toMatchObject({ reason: 'CANCELED' });
    await awaitPassing(() => expect(servers.ended).toEqual([`${method} CANCELLED`]));
    expect(servers.logged.filter(({ code }) => code !== undefined)).toHaveLength(1);
  });

  it("end at the caller's deadline", async () => {
    let isHeard = false;
    let thrown: unknown;
    handler = async function* (requests) {
      isHeard = true;
      yield saying('hello');
      await requests.next().catch((error: unknown) => {
        thrown = error;
      });
    };
    // A deadline may be over before the server has heard of the call: then it had a longer one.
    for (let timeoutMs = 150; !isHeard && timeoutMs < 20_000; timeoutMs *= 4) {
      const error = await errorOf(texts(connect(new Mouth(), { timeoutMs })));
      expect(error.code).toBe(Code.DeadlineExceeded);
    }
    await awaitPassing(() =>
      expect(thrown).toMatchObject({ reason: expect.stringMatching(/DEADLINE_EXCEEDED|CANCELED/) }),
    );
    await awaitPassing(() => expect(servers.ended.at(-1)).toMatch(/Connect (DEADLINE_EXCEEDED|CANCELLED)$/));
  });

  it('read no faster than the handler takes, and notice all the same that the caller cancels', async () => {
    let isFreed = false;
    handler = async function* (requests, call) {
      yield saying('hello');
      await requests.next();
      await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
      isFreed = true;
    };
    const total = 50_000;
    let sent = 0;
    const filler = 'x'.repeat(1_000);
    async function* requests(): AsyncGenerator<Request> {
      for (; sent < total; sent++)
        yield {
          message: {
            case: 'hello',
            value: { workerId: 'w', queues: ['q'], capacity: 1, labels: { a: filler.slice(0, 250) } },
          },
        };
    }
    const canceling = new AbortController();
    const ended = errorOf(texts(connect(requests(), { signal: canceling.signal })));
    expect(await stillness(() => sent)).toBeLessThan(total / 5);
    canceling.abort();
    await ended;
    await awaitPassing(() => expect(isFreed).toBe(true));
    await awaitPassing(() => expect(servers.ended).toEqual([`${method} CANCELLED`]));
  });

  it('take from the handler no faster than the caller reads', async () => {
    const total = 50_000;
    let yielded = 0;
    let isReturned = false;
    handler = async function* () {
      try {
        for (; yielded < total; yielded++) yield saying('x'.repeat(1_000));
      } finally {
        isReturned = true;
      }
    };
    const canceling = new AbortController();
    const responses = connect(new Mouth(), { signal: canceling.signal })[Symbol.asyncIterator]();
    await responses.next();
    expect(await stillness(() => yielded)).toBeLessThan(total / 5);
    canceling.abort();
    await awaitPassing(() => expect(isReturned).toBe(true));
  });

  it('live longer than a request may take to arrive', async () => {
    const { own, client } = await startOwn({
      grpc: { requestTimeoutMs: 50 },
      http: { requestTimeoutMs: 50, headersTimeoutMs: 50 },
    });
    const { mouth, responses } = await openHeard(client);
    const startedMs = performance.now();
    for (let i = 1; performance.now() - startedMs < 400; i++) {
      mouth.say(started(i));
      expect(textOf((await responses.next()).value)).toBe(String(i));
    }
    mouth.close();
    expect(await responses.next()).toMatchObject({ done: true });
    expect(own.ended.at(-1)).toBe(`${method} OK`);
  });

  it('end with UNAVAILABLE and RetryInfo when the server stops', async () => {
    const { own, client } = await startOwn();
    const responses = client.connect(new Mouth().say(started(1)))[Symbol.asyncIterator]();
    expect(textOf((await responses.next()).value)).toBe('1');
    const ended = errorOf(responses.next());
    await own.stop();
    const error = await ended;
    expect(error.code).toBe(Code.Unavailable);
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
    expect(own.ended).toEqual([`${method} UNAVAILABLE`]);
  });

  it('end in their own time when the server stops and the handler asked to be told', async () => {
    handler = async function* (requests, call) {
      yield saying('hello');
      await new Promise<void>((resolve) => call.onStopping(resolve));
      yield saying('drain');
      for await (const request of requests) yield saying(`late ${numberOf(request)}`);
    };
    const { own, client } = await startOwn();
    const mouth = new Mouth();
    const responses = client.connect(mouth)[Symbol.asyncIterator]();
    expect(textOf((await responses.next()).value)).toBe('hello');
    const stopped = own.stop();
    expect(textOf((await responses.next()).value)).toBe('drain');
    mouth.say(started(1));
    expect(textOf((await responses.next()).value)).toBe('late 1');
    mouth.say(started(2)).close();
    expect(await texts({ [Symbol.asyncIterator]: () => responses })).toEqual(['late 2']);
    await stopped;
    expect(own.ended).toEqual([`${method} OK`]);
  });

  it('end with UNAVAILABLE when the grace time is over and the handler has not ended them', async () => {
    let isTold = false;
    handler = async function* (requests, call) {
      call.onStopping(() => {
        isTold = true;
      });
      yield* echo(requests, call);
    };
    const { own, client } = await startOwn({ grpc: { stopGraceMs: 150 }, http: { stopGraceMs: 150 } });
    const responses = client.connect(new Mouth().say(started(1)))[Symbol.asyncIterator]();
    await responses.next();
    const ended = errorOf(responses.next());
    await own.stop();
    expect(isTold).toBe(true);
    expect((await ended).code).toBe(Code.Unavailable);
    expect(own.ended).toEqual([`${method} UNAVAILABLE`]);
  });
});

it('need HTTP/2: Connect over HTTP/1.1 is refused', async () => {
  const servers = await startServers({ moreServices: [workerService(echo)] });
  try {
    const transport = createConnectTransport({
      baseUrl: `http://${servers.http.address}`,
      httpVersion: '1.1',
    });
    const error = await errorOf(texts(createClient(WorkerService, transport).connect(new Mouth().close())));
    expect(error.message).toContain('505');
  } finally {
    await servers.stop();
  }
});
