import { once } from 'node:events';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createGrpcClient, deliverTo, grpcTarget } from './grpc/attempt.ts';
import {
  answerHeaders,
  bytesOf,
  framed,
  log,
  startGrpcCallee,
  startHttp2Callee,
  startTcpCallee,
} from './grpc/callee.ts';
import { HandClock, recordedContext, sampleDelivery } from './http/attempt.ts';
import { unusedPort } from './http/callee.ts';

const targetError = { outcome: 'FAILED', reason: 'TARGET_ERROR' };
const abortedResult = { outcome: 'FAILED', message: 'aborted', retryable: false };
const brokenOff = {
  ...targetError,
  message: 'call broken off by callee before its answer was complete',
  retryable: true,
};

describe('a connection', () => {
  it('that is refused fails the attempt, retryable; the next attempt dials again', async () => {
    const port = await unusedPort();
    const client = createGrpcClient();
    const target = grpcTarget(`127.0.0.1:${port}`);
    for (let i = 0; i < 2; i++) {
      expect(await client.deliver(target, sampleDelivery, recordedContext())).toEqual({
        ...targetError,
        message: 'connection refused',
        retryable: true,
      });
    }
    expect(client.connectionCount).toBe(0);
  });

  it('to a name that does not exist fails the attempt, retryable', async () => {
    const lookup = (_name: string, _options: object, callback: (error: Error) => void): void =>
      callback(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }));
    const { result } = await deliverTo(grpcTarget('nowhere.invalid:1'), { lookup: lookup as never });
    expect(result).toEqual({ ...targetError, message: 'name not found', retryable: true });
  });

  it.each([
    ['answers as HTTP/1.1', (socket: Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['answers with noise', (socket: Socket) => socket.write(Buffer.alloc(100, 0xff))],
  ])('to a callee that %s fails the attempt, retryable', async (_what, behave) => {
    const address = await startTcpCallee((socket) => socket.once('data', () => behave(socket)));
    expect((await deliverTo(grpcTarget(address))).result).toEqual({
      ...targetError,
      message: 'callee does not speak HTTP/2',
      retryable: true,
    });
  });

  it('to a callee that closes at once fails the attempt, retryable', async () => {
    const address = await startTcpCallee((socket) => socket.destroy());
    expect((await deliverTo(grpcTarget(address))).result).toMatchObject({ ...targetError, retryable: true });
  });

  it('to a callee that never speaks fails the attempt after the limit, and is closed', async () => {
    const opened = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const address = await startTcpCallee((socket) => {
      socket.resume();
      socket.on('close', () => closed.resolve());
      opened.resolve();
    });
    const clock = new HandClock();
    const client = createGrpcClient({ clock, connectTimeoutMs: 50 });
    const delivered = client.deliver(grpcTarget(address), sampleDelivery, recordedContext());
    await opened.promise;
    expect([...clock.timers.values()]).toEqual([50]);
    clock.fireAll();
    expect(await delivered).toEqual({
      ...targetError,
      message: 'connection timed out',
      retryable: true,
    });
    await closed.promise;
    expect(client.connectionCount).toBe(0);
  });

  it('that is still being opened is given up at the signal', async () => {
    const opened = Promise.withResolvers<Socket>();
    const address = await startTcpCallee((socket) => opened.resolve(socket.resume()));
    const client = createGrpcClient();
    const context = recordedContext();
    const delivered = client.deliver(grpcTarget(address), sampleDelivery, context);
    const socket = await opened.promise;
    context.abort();
    expect(await delivered).toEqual(abortedResult);
    if (!socket.closed) await once(socket, 'close');
    expect(client.connectionCount).toBe(0);
  });
});

it('goes on being opened for the attempts that still wait for it when one is given up', async () => {
  const accepted = Promise.withResolvers<void>();
  const open = Promise.withResolvers<void>();
  const callee = await startGrpcCallee((call) => call.end());
  const address = await startTcpCallee((socket) => {
    accepted.resolve();
    void open.promise.then(() => {
      const behind = connect(callee.port, '127.0.0.1');
      behind.on('error', () => undefined);
      socket.pipe(behind).pipe(socket);
    });
  });
  const client = createGrpcClient();
  const context = recordedContext();
  const givenUp = client.deliver(grpcTarget(address), sampleDelivery, context);
  const others = [1, 2].map(() => client.deliver(grpcTarget(address), sampleDelivery, recordedContext()));
  await accepted.promise;
  context.abort();
  expect(await givenUp).toEqual(abortedResult);
  expect(client.connectionCount).toBe(1);
  open.resolve();
  expect((await Promise.all(others)).map(({ outcome }) => outcome)).toEqual(['SUCCEEDED', 'SUCCEEDED']);
});

describe('a call', () => {
  it('that never answers is cancelled at the signal', async () => {
    const called = Promise.withResolvers<void>();
    const canceled = Promise.withResolvers<void>();
    const callee = await startGrpcCallee((call) => {
      call.on('cancelled', () => canceled.resolve());
      called.resolve();
    });
    const context = recordedContext();
    const delivered = createGrpcClient().deliver(grpcTarget(callee.address), sampleDelivery, context);
    await called.promise;
    context.abort();
    expect(await delivered).toEqual(abortedResult);
    await canceled.promise;
  });

  it('that is given up while its lines are being stored is cancelled at the signal, and logs no more', async () => {
    const canceled = Promise.withResolvers<void>();
    const callee = await startGrpcCallee((call) => {
      call.on('cancelled', () => canceled.resolve());
      for (let i = 0; i < 1_000; i++) call.write(bytesOf(log('x'.repeat(1_000))));
    });
    const logging = Promise.withResolvers<void>();
    const context = recordedContext(() => {
      logging.resolve();
      return new Promise(() => undefined);
    });
    const delivered = createGrpcClient().deliver(grpcTarget(callee.address), sampleDelivery, context);
    await logging.promise;
    context.abort();
    expect(await delivered).toEqual(abortedResult);
    await canceled.promise;
    expect(context.calls).toHaveLength(1);
  });

  it('is not made by an attempt that was given up before it began', async () => {
    const callee = await startGrpcCallee((call) => call.end());
    const context = recordedContext();
    context.abort();
    const client = createGrpcClient();
    expect(await client.deliver(grpcTarget(callee.address), sampleDelivery, context)).toEqual(abortedResult);
    expect(client.connectionCount).toBe(0);
  });

  it('ends, and the callee is told, when its lines cannot be stored', async () => {
    const canceled = Promise.withResolvers<void>();
    const callee = await startGrpcCallee((call) => {
      call.on('cancelled', () => canceled.resolve());
      call.write(bytesOf(log('x')));
    });
    const context = recordedContext(() => Promise.reject(new Error('the log is closed')));
    const delivered = createGrpcClient().deliver(grpcTarget(callee.address), sampleDelivery, context);
    await expect(delivered).rejects.toThrow('the log is closed');
    await canceled.promise;
  });

  it('fails, retryable, when the callee is gone in the middle; what was heard stays', async () => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond(answerHeaders);
      stream.write(framed(bytesOf(log('first'))), () => stream.session?.socket.destroy());
    });
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result).toEqual(brokenOff);
    expect(lines).toEqual([{ level: 'INFO', message: 'first' }]);
  });

  it.each([
    ['in the middle', (stream: ServerHttp2Stream) => stream.destroy(new Error('crashed'))],
    ['to calm it', (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)],
  ])('fails, retryable, when the callee resets it %s', async (_how, reset) => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond(answerHeaders);
      reset(stream);
    });
    expect((await deliverTo(grpcTarget(callee.address))).result).toEqual(brokenOff);
    expect(callee.streams).toHaveLength(1);
  });

  it('that was refused unseen is made once more, on another connection', async () => {
    const callee = await startHttp2Callee((stream) => {
      if (callee.streams.length === 1) stream.close(constants.NGHTTP2_REFUSED_STREAM);
      else stream.respond({ ...answerHeaders, 'grpc-status': 0 }, { endStream: true });
    });
    expect((await deliverTo(grpcTarget(callee.address))).result.outcome).toBe('SUCCEEDED');
    expect(callee.streams).toHaveLength(2);
    expect(callee.sessions).toHaveLength(2);
  });

  it('that is always refused fails the attempt, retryable', async () => {
    const callee = await startHttp2Callee((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM));
    expect((await deliverTo(grpcTarget(callee.address))).result).toEqual({
      ...targetError,
      message: 'callee refuses new calls',
      retryable: true,
    });
    expect(callee.streams).toHaveLength(2);
  });

  it('goes on over the announcement that the connection ends', async () => {
    const callee = await startHttp2Callee((stream) => {
      stream.session?.goaway(constants.NGHTTP2_NO_ERROR, stream.id);
      stream.respond(answerHeaders, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': 0 }));
      stream.end(framed(bytesOf(log('still here'))));
    });
    const client = createGrpcClient();
    for (let i = 1; i <= 2; i++) {
      const context = recordedContext();
      const result = await client.deliver(grpcTarget(callee.address), sampleDelivery, context);
      expect(result.outcome).toBe('SUCCEEDED');
      expect(context.lines).toHaveLength(1);
      expect(callee.sessions).toHaveLength(i);
    }
  });
});

describe('a client that closes', () => {
  it('refuses new attempts and cuts off those that do not end in time', async () => {
    const called = Promise.withResolvers<void>();
    const canceled = Promise.withResolvers<void>();
    const callee = await startGrpcCallee((call) => {
      call.on('cancelled', () => canceled.resolve());
      called.resolve();
    });
    const client = createGrpcClient();
    const isStopping = { ...targetError, message: 'this instance is stopping', retryable: true };
    const delivered = client.deliver(grpcTarget(callee.address), sampleDelivery, recordedContext());
    await called.promise;
    await client.close();
    expect(await delivered).toEqual(isStopping);
    await canceled.promise;
    expect(await client.deliver(grpcTarget(callee.address), sampleDelivery, recordedContext())).toEqual(
      isStopping,
    );
    expect(client.connectionCount).toBe(0);
  });

  it('waits for those that end in time', async () => {
    const called = Promise.withResolvers<void>();
    const callee = await startGrpcCallee((call) => {
      called.resolve();
      setImmediate(() => call.end());
    });
    const client = createGrpcClient({ closeGraceMs: 10_000 });
    const delivered = client.deliver(grpcTarget(callee.address), sampleDelivery, recordedContext());
    await called.promise;
    await client.close();
    expect((await delivered).outcome).toBe('SUCCEEDED');
  });
});
