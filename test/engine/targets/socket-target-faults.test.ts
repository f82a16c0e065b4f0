import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { awaitThat } from '../../support/await-that.ts';
import { HandClock, recordedContext, sampleDelivery } from './http/attempt.ts';
import { unusedPort } from './http/callee.ts';
import { expiredCertificate, localhostCertificate, testKey } from './http/certificates.ts';
import { retainedMemory } from './http/retained-memory.ts';
import { createSocketClient, deliverTo, socketTarget, startSocketCallee } from './socket/attempt.ts';

const MiB = 1_048_576;
const targetError = { outcome: 'FAILED', reason: 'TARGET_ERROR' };
const abortedResult = { outcome: 'FAILED', message: 'aborted', retryable: false };

/** Resolves when the socket is closed, by a reset or otherwise. */
const closeOf = (socket: Socket): Promise<unknown> =>
  socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', resolve));

/** Writes the chunk again and again, up to `times`, as fast as it is read. */
function repeat(
  socket: Socket,
  chunk: Buffer | string,
  times: number,
  onWritten = (_count: number): void => {},
) {
  let count = 0;
  const write = (): void => {
    while (count < times && !socket.destroyed) {
      onWritten(++count);
      if (!socket.write(chunk)) return;
    }
    if (count === times) socket.end('{"result":{}}\n');
  };
  socket.on('drain', write);
  write();
}

describe('a connection', () => {
  it('that is refused fails the attempt, retryable', async () => {
    expect((await deliverTo(socketTarget(await unusedPort()))).result).toEqual({
      ...targetError,
      message: 'connection refused',
      retryable: true,
    });
  });

  it('that is reset fails the attempt, retryable; what was heard stays', async () => {
    const callee = await startSocketCallee((socket) => {
      socket.write('first\n', () => socket.resetAndDestroy());
    });
    const { result, lines } = await deliverTo(socketTarget(callee.port));
    expect(result).toEqual({ ...targetError, message: 'connection reset by callee', retryable: true });
    expect(lines).toEqual([{ level: 'INFO', message: 'first' }]);
  });

  it('takes at most the time that the target says, else that of the client', async () => {
    const clock = new HandClock();
    const lookup = () => undefined;
    for (const [connectTimeoutMs, expected] of [
      [250, 250],
      [undefined, 10_000],
    ]) {
      const client = createSocketClient({ clock, lookup: lookup as never });
      const target = socketTarget(1, { host: 'callee.internal', connectTimeoutMs });
      const delivered = client.deliver(target, sampleDelivery, recordedContext());
      expect([...clock.timers.values()]).toEqual([expected]);
      clock.fireAll();
      expect(await delivered).toEqual({ ...targetError, message: 'connection timed out', retryable: true });
    }
  });

  it.each([
    ['is silent', (): void => undefined],
    ['drips', (socket: Socket): void => void socket.write('x')],
  ])('to a callee that %s is closed at the signal', async (_what, behave) => {
    const asked = Promise.withResolvers<Socket>();
    const callee = await startSocketCallee((socket) => {
      behave(socket);
      asked.resolve(socket);
    });
    const context = recordedContext();
    const delivered = createSocketClient().deliver(socketTarget(callee.port), sampleDelivery, context);
    const socket = await asked.promise;
    const closed = closeOf(socket);
    context.abort();
    expect(await delivered).toEqual(abortedResult);
    await closed;
  });

  it('is closed at the signal while lines are being stored', async () => {
    const callee = await startSocketCallee((socket) => repeat(socket, 'line\n', Infinity));
    const logging = Promise.withResolvers<void>();
    const context = recordedContext(() => {
      logging.resolve();
      return new Promise(() => undefined);
    });
    const delivered = createSocketClient().deliver(socketTarget(callee.port), sampleDelivery, context);
    await logging.promise;
    const closed = closeOf(callee.sockets[0]!);
    context.abort();
    expect(await delivered).toEqual(abortedResult);
    await closed;
  });

  it('is closed when its lines cannot be stored', async () => {
    const callee = await startSocketCallee((socket) => socket.write('x\n'));
    const context = recordedContext(() => Promise.reject(new Error('the log is closed')));
    const delivered = createSocketClient().deliver(socketTarget(callee.port), sampleDelivery, context);
    await expect(delivered).rejects.toThrow('the log is closed');
    await closeOf(callee.sockets[0]!);
  });

  it('is closed when the client closes', async () => {
    const asked = Promise.withResolvers<Socket>();
    const callee = await startSocketCallee((socket) => asked.resolve(socket));
    const client = createSocketClient();
    const delivered = client.deliver(socketTarget(callee.port), sampleDelivery, recordedContext());
    const socket = await asked.promise;
    const closed = closeOf(socket);
    await client.close();
    expect(await delivered).toEqual({
      ...targetError,
      message: 'this instance is stopping',
      retryable: true,
    });
    await closed;
  });
});

describe('the idle limit', () => {
  it('fails the attempt of a silent callee, retryable', async () => {
    const clock = new HandClock();
    const callee = await startSocketCallee((socket) => socket.write('hello\n'));
    const context = recordedContext();
    const target = socketTarget(callee.port, { idleTimeoutMs: 50 });
    const delivered = createSocketClient({ clock }).deliver(target, sampleDelivery, context);
    await awaitThat('its line is stored', () => context.lines.length > 0);
    await awaitThat('the limit counts again', () => [...clock.timers.values()].includes(50));
    clock.fireAll();
    expect(await delivered).toEqual({
      outcome: 'FAILED',
      reason: 'ATTEMPT_TIMEOUT',
      message: 'the callee sent nothing for 50 ms',
      retryable: true,
    });
    expect(context.lines).toEqual([{ level: 'INFO', message: 'hello' }]);
  });

  it('does not count while lines are being stored', async () => {
    const clock = new HandClock();
    const callee = await startSocketCallee((socket) => socket.write('hello\n'));
    const logging = Promise.withResolvers<void>();
    const stored = Promise.withResolvers<void>();
    const context = recordedContext(() => {
      logging.resolve();
      return stored.promise;
    });
    const target = socketTarget(callee.port, { idleTimeoutMs: 50 });
    const delivered = createSocketClient({ clock }).deliver(target, sampleDelivery, context);
    await logging.promise;
    expect([...clock.timers.values()]).toEqual([]);
    callee.sockets[0]!.end('{"result":{}}\n');
    stored.resolve();
    expect((await delivered).outcome).toBe('SUCCEEDED');
    expect([...clock.timers.values()]).toEqual([]);
  });
});

describe('an answer', () => {
  it('is read no faster than its lines are stored', async () => {
    let written = 0;
    const callee = await startSocketCallee((socket) =>
      repeat(socket, `${'x'.repeat(1_023)}\n`.repeat(64), 1_024, (count) => (written = count)),
    );
    const called = Promise.withResolvers<void>();
    const stored = Promise.withResolvers<void>();
    const context = recordedContext(() => {
      called.resolve();
      return stored.promise;
    }, 128 * MiB);
    const client = createSocketClient();
    const delivered = client.deliver(socketTarget(callee.port), sampleDelivery, context);
    await called.promise;
    // The callee goes on until the buffers between the two are full: two turns without progress.
    for (let before = -1; before !== written; ) {
      before = written;
      for (let i = 0; i < 50; i++) await new Promise(setImmediate);
    }
    expect(written).toBeLessThan(512);
    expect(context.calls).toHaveLength(1);
    stored.resolve();
    expect((await delivered).outcome).toBe('SUCCEEDED');
    expect(context.lines).toHaveLength(65_536);
  });

  it('with a line that never ends fails the attempt for good, in bounded memory', async () => {
    let written = 0;
    let peak = 0;
    const callee = await startSocketCallee((socket) =>
      repeat(socket, Buffer.alloc(65_536, 'x'), Infinity, (count) => {
        written = count;
        if (count % 16 === 0) peak = Math.max(peak, retainedMemory());
      }),
    );
    const before = retainedMemory();
    const { result, lines } = await deliverTo(socketTarget(callee.port));
    expect(result).toEqual({
      ...targetError,
      message: `answer has a line of more than ${MiB} bytes`,
      retryable: false,
    });
    expect(lines).toEqual([]);
    expect(written).toBeLessThan(512);
    expect(peak - before).toBeLessThan(10 * MiB);
  });

  it('with a line of exactly the bound is read, and one byte more is too much', async () => {
    const result = (bytes: number): string => `{"result":{"a":"${'x'.repeat(bytes - 19)}"}}\n`;
    expect(result(MiB)).toHaveLength(MiB + 1);
    const fits = await startSocketCallee((socket) => socket.end(`before\n${result(MiB)}`));
    expect((await deliverTo(socketTarget(fits.port))).result.outcome).toBe('SUCCEEDED');
    const exceeds = await startSocketCallee((socket) => socket.end(`before\n${result(MiB + 1)}`));
    const { result: refused, lines } = await deliverTo(socketTarget(exceeds.port));
    expect(refused.message).toBe(`answer has a line of more than ${MiB} bytes`);
    expect(lines).toEqual([{ level: 'INFO', message: 'before' }]);
  });

  it('with a log line of more than 64 KiB logs its beginning', async () => {
    const callee = await startSocketCallee((socket) => socket.end(`${'é'.repeat(40_000)}\n{"result":{}}\n`));
    expect((await deliverTo(socketTarget(callee.port))).lines).toEqual([
      { level: 'INFO', message: `${'é'.repeat(32_768)}… (cut, 80000 bytes)` },
    ]);
  });

  it('beyond the log limit is read to its end', async () => {
    const line = `${'x'.repeat(1_000)}\n`;
    const callee = await startSocketCallee((socket) => repeat(socket, line.repeat(64), 512));
    const { result, lines } = await deliverTo(socketTarget(callee.port), { maxLogBytes: MiB });
    expect(result.outcome).toBe('SUCCEEDED');
    expect(lines).toHaveLength(Math.floor(MiB / 1_064) + 1);
    expect(lines.at(-1)).toEqual({ level: 'WARN', message: 'log limit reached' });
  });
});

describe('TLS', () => {
  const startTls = (cert: string) =>
    startSocketCallee((socket) => socket.end('{"result":{"tls":true}}\n'), { key: testKey, cert });

  it.each([
    ['self-signed', localhostCertificate, {}, 'it is self-signed'],
    ['expired', expiredCertificate, { caPem: expiredCertificate }, 'it has expired'],
    ['for another name', localhostCertificate, { caPem: localhostCertificate }, 'it is for another name'],
  ])('with a certificate that is %s fails the attempt for good', async (_what, cert, tls, why) => {
    const callee = await startTls(cert);
    expect((await deliverTo(socketTarget(callee.port, { tls }))).result).toEqual({
      ...targetError,
      message: `certificate not accepted: ${why}`,
      retryable: false,
    });
    expect(callee.received).toEqual([]);
  });

  it.each([
    ['localhost', {}],
    ['127.0.0.1', { serverName: 'localhost' }],
  ])('of %s with a certificate that the target trusts succeeds (%j)', async (host, tls) => {
    const callee = await startTls(localhostCertificate);
    const target = socketTarget(callee.port, { host, tls: { ...tls, caPem: localhostCertificate } });
    expect((await deliverTo(target)).result).toMatchObject({ outcome: 'SUCCEEDED', result: { tls: true } });
  });
});
