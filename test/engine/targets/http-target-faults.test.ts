import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  createClient,
  deliverTo,
  HandClock,
  httpTarget,
  recordedContext,
  sampleDelivery,
} from './http/attempt.ts';
import { answerWith, startCallee, startRawCallee } from './http/callee.ts';

const aborted = { outcome: 'FAILED', message: 'aborted', retryable: false };
const targetError = { outcome: 'FAILED', reason: 'TARGET_ERROR' };

/** Resolves when the socket is closed, also when it has been already. */
const closeOf = (socket: Socket): Promise<unknown> =>
  socket.closed ? Promise.resolve() : once(socket, 'close');

/** A callee that does not answer, and its first connection once that has sent a request. */
async function startHangingCallee() {
  const asked = Promise.withResolvers<Socket>();
  const callee = await startRawCallee((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => asked.resolve(socket));
  });
  return { ...callee, asked: asked.promise };
}

describe('a callee that hangs', () => {
  it('fails the attempt at the timeout of the target, retryable, and loses its connection', async () => {
    const clock = new HandClock();
    const callee = await startHangingCallee();
    const context = recordedContext();
    const target = httpTarget(callee.origin, { timeoutMs: 5_000 });
    const delivered = createClient({ clock }).deliver(target, sampleDelivery, context);
    const socket = await callee.asked;
    expect([...clock.timers.values()]).toEqual([5_000]);
    clock.fireAll();
    expect(await delivered).toEqual({
      outcome: 'FAILED',
      reason: 'ATTEMPT_TIMEOUT',
      message: 'no response headers within 5000 ms',
      retryable: true,
    });
    await closeOf(socket);
  });

  it('is let go at once when the attempt is given up', async () => {
    const callee = await startHangingCallee();
    const context = recordedContext();
    const delivered = createClient().deliver(httpTarget(callee.origin), sampleDelivery, context);
    const socket = await callee.asked;
    context.abort();
    expect(await delivered).toEqual(aborted);
    await closeOf(socket);
  });

  it('is let go in the middle of the headers', async () => {
    const callee = await startRawCallee((socket) => answerWith(socket, 'HTTP/1.1 200 OK\r\nx-a: '));
    const clock = new HandClock();
    const delivered = createClient({ clock }).deliver(
      httpTarget(callee.origin, { timeoutMs: 10 }),
      sampleDelivery,
      recordedContext(),
    );
    const flushed = Promise.withResolvers<void>();
    setImmediate(flushed.resolve);
    await flushed.promise;
    clock.fireAll();
    expect(await delivered).toMatchObject({ reason: 'ATTEMPT_TIMEOUT' });
  });

  it('that sends interim responses only has not sent its headers', async () => {
    const clock = new HandClock();
    const callee = await startHangingCallee();
    const target = httpTarget(callee.origin, { timeoutMs: 1 });
    const delivered = createClient({ clock }).deliver(target, sampleDelivery, recordedContext());
    const socket = await callee.asked;
    await new Promise((resolve) => socket.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(100), resolve));
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    clock.fireAll();
    expect(await delivered).toMatchObject({ message: 'no response headers within 1 ms' });
  });

  it('while it accepts the connection loses that, too', async () => {
    const accepted = Promise.withResolvers<Socket>();
    const callee = await startRawCallee((socket) => accepted.resolve(socket));
    const context = recordedContext();
    const clock = new HandClock();
    const target = httpTarget(callee.origin.replace('http', 'https'), { timeoutMs: 700 });
    const delivered = createClient({ clock }).deliver(target, sampleDelivery, context);
    const socket = await accepted.promise;
    socket.resume();
    clock.fireAll();
    expect(await delivered).toMatchObject({
      reason: 'ATTEMPT_TIMEOUT',
      message: 'no connection within 700 ms',
      retryable: true,
    });
    await closeOf(socket);
  });

  it('after its headers is bounded by the attempt alone', async () => {
    const clock = new HandClock();
    const callee = await startCallee((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.write('first\n');
    });
    const logged = Promise.withResolvers<void>();
    const context = recordedContext(async () => logged.resolve());
    const target = httpTarget(callee.origin, { timeoutMs: 5 });
    const delivered = createClient({ clock }).deliver(target, sampleDelivery, context);
    await logged.promise;
    expect(clock.timers.size).toBe(0);
    context.abort();
    expect(await delivered).toEqual(aborted);
    expect(context.lines).toEqual([{ level: 'INFO', message: 'first' }]);
  });
});

describe('a callee that drips one byte after the other', () => {
  it('is heard, and let go when the attempt is given up', async () => {
    const bytes = Buffer.from('{"message":"é"}\nrest');
    const lastSent = Promise.withResolvers<Socket>();
    const callee = await startCallee((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      const drip = (at: number): void => {
        if (at === bytes.length) lastSent.resolve(response.socket as Socket);
        else response.write(bytes.subarray(at, at + 1), () => setImmediate(drip, at + 1));
      };
      drip(0);
    });
    const logged = Promise.withResolvers<void>();
    const context = recordedContext(async () => logged.resolve());
    const delivered = createClient().deliver(httpTarget(callee.origin), sampleDelivery, context);
    const [socket] = await Promise.all([lastSent.promise, logged.promise]);
    context.abort();
    expect(await delivered).toEqual(aborted);
    expect(context.lines).toEqual([{ level: 'INFO', message: 'é' }]);
    await closeOf(socket);
  });
});

describe('a callee that breaks off', () => {
  const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n';

  it.each<[string, (socket: Socket) => void, string]>([
    ['resets before it answers', (socket) => socket.resetAndDestroy(), 'connection reset by callee'],
    [
      'closes before it answers',
      (socket) => socket.end(),
      'connection closed by callee before its response was complete',
    ],
    [
      'closes in the middle of a chunked body',
      (socket) => socket.end(`${head}transfer-encoding: chunked\r\n\r\n5\r\nab`),
      'connection closed by callee before its response was complete',
    ],
    [
      'closes before the length it promised',
      (socket) => socket.end(`${head}content-length: 10\r\n\r\nab`),
      'connection closed by callee before its response was complete',
    ],
    ['does not speak HTTP', (socket) => socket.write('SSH-2.0-OpenSSH_9\r\n'), 'response is not valid HTTP'],
    [
      'says two lengths',
      (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'),
      'response has not the length that its headers say',
    ],
  ])('that %s fails the attempt, retryable', async (_what, breakOff, message) => {
    const callee = await startRawCallee((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => breakOff(socket));
    });
    expect((await deliverTo(httpTarget(callee.origin))).result).toEqual({
      ...targetError,
      message,
      retryable: true,
    });
  });

  it('in the middle of its body fails the attempt, with all that was heard in the log', async () => {
    const sockets: Socket[] = [];
    const callee = await startRawCallee((socket) => {
      sockets.push(socket);
      answerWith(socket, `${head}transfer-encoding: chunked\r\n\r\nf\r\none\ntwo\nunfinis\r\n`);
    });
    // It resets as soon as the lines are here.
    const context = recordedContext(async () => void sockets.pop()?.resetAndDestroy());
    expect(await createClient().deliver(httpTarget(callee.origin), sampleDelivery, context)).toEqual({
      ...targetError,
      message: 'connection reset by callee',
      retryable: true,
    });
    expect(context.lines.map((line) => line.message)).toEqual(['one', 'two', 'unfinis']);
  });

  it('after a body whose end is the end of the connection has not broken off', async () => {
    const callee = await startRawCallee((socket) => {
      socket.once('data', () => socket.end(`${head}connection: close\r\n\r\none\ntwo`));
    });
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(result.outcome).toBe('SUCCEEDED');
    expect(lines.map((line) => line.message)).toEqual(['one', 'two']);
  });
});

describe('response headers', () => {
  it('of 1 MiB fail the attempt for good', async () => {
    const callee = await startRawCallee((socket) =>
      answerWith(socket, `HTTP/1.1 200 OK\r\nx-big: ${'x'.repeat(1_048_576)}\r\n\r\n`),
    );
    expect((await deliverTo(httpTarget(callee.origin))).result).toEqual({
      ...targetError,
      message: 'response headers are too large',
      retryable: false,
    });
  });

  it('beyond the number allowed fail the attempt for good', async () => {
    const respond = (n: number) =>
      startRawCallee((socket) =>
        answerWith(socket, `HTTP/1.1 200 OK\r\ncontent-length: 0\r\n${'a: b\r\n'.repeat(n - 1)}\r\n`),
      );
    expect((await deliverTo(httpTarget((await respond(256)).origin))).result.outcome).toBe('SUCCEEDED');
    expect((await deliverTo(httpTarget((await respond(257)).origin))).result).toEqual({
      ...targetError,
      message: 'response has more than 256 headers',
      retryable: false,
    });
  });
});

describe('a streamed failure', () => {
  const streaming = (status: number, type: string, body: string) =>
    startCallee((_request, response) => response.writeHead(status, { 'content-type': type }).end(body));

  it('logs the lines of a failure status and quotes its error', async () => {
    const callee = await streaming(
      503,
      'application/x-ndjson; charset=utf-8',
      'trying\n{"error":"disk full"}\n',
    );
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(result).toEqual({
      ...targetError,
      message: 'HTTP 503 Service Unavailable: disk full',
      retryable: true,
    });
    expect(lines).toEqual([{ level: 'INFO', message: 'trying' }]);
  });

  it.each([
    ['application/jsonlines', 'a\n{"error":"disk\\nfull"}\nb\n{"result":{"x":1}}'],
    ['text/event-stream', 'data: a\n\nevent: error\ndata: disk\ndata: full\n\ndata: b\n\n'],
  ])('of a %s body with status 200 fails the attempt, retryable', async (type, body) => {
    const { result, lines } = await deliverTo(httpTarget((await streaming(200, type, body)).origin));
    expect(result).toEqual({ ...targetError, message: 'disk full', retryable: true });
    expect(lines.map((line) => line.message)).toEqual(['a', 'b']);
  });

  it('without words has some', async () => {
    const callee = await streaming(200, 'text/event-stream', 'event: error\ndata:\n\n');
    expect((await deliverTo(httpTarget(callee.origin))).result.message).toBe('the callee reported an error');
  });
});

describe('the log', () => {
  it('that cannot be written rejects the delivery and lets the connection go', async () => {
    const closed = Promise.withResolvers<void>();
    const callee = await startCallee((_request, response) => {
      response.on('close', closed.resolve);
      response.writeHead(200, { 'content-type': 'application/x-ndjson' }).write('line\n');
    });
    const context = recordedContext(() => Promise.reject(new Error('store is away')));
    const delivered = createClient().deliver(httpTarget(callee.origin), sampleDelivery, context);
    await expect(delivered).rejects.toThrow('store is away');
    await closed.promise;
  });

  it('that is slow does not hold an attempt that is given up', async () => {
    const callee = await startCallee((_request, response) =>
      response.writeHead(200, { 'content-type': 'application/x-ndjson' }).end('line\n'),
    );
    const called = Promise.withResolvers<void>();
    const stored = Promise.withResolvers<void>();
    const context = recordedContext(() => {
      called.resolve();
      return stored.promise;
    });
    const delivered = createClient().deliver(httpTarget(callee.origin), sampleDelivery, context);
    await called.promise;
    context.abort();
    expect(await delivered).toEqual(aborted);
    stored.reject(new Error('too late to matter'));
  });
});
