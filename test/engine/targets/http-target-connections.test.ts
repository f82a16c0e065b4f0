import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { HttpTargetClient } from '../../../src/engine/targets/http-target-client.ts';
import { createClient, HandClock, httpTarget, recordedContext, sampleDelivery } from './http/attempt.ts';
import { type Callee, startCallee, startRawCallee } from './http/callee.ts';

const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

const deliver = (client: HttpTargetClient, callee: Callee, context = recordedContext()) =>
  client.deliver(httpTarget(callee.origin), sampleDelivery, context);

/** A callee that holds every request until it is told to answer. */
async function startHoldingCallee() {
  const held: ServerResponse[] = [];
  let onHeld: (() => void) | undefined;
  const callee = await startCallee((_request, response) => {
    held.push(response);
    onHeld?.();
  });
  return {
    ...callee,
    held,
    /** Resolves when so many requests are held. */
    async until(count: number): Promise<void> {
      while (held.length < count) await new Promise<void>((resolve) => (onHeld = resolve));
    },
    answerAll(): void {
      for (const response of held.splice(0)) response.end();
    },
  };
}

describe('connections', () => {
  it('are kept and used again', async () => {
    const callee = await startCallee((_request, response) => response.end('{"a":1}'));
    const client = createClient();
    for (let i = 0; i < 20; i++) await deliver(client, callee);
    expect(callee.received).toHaveLength(20);
    expect(callee.accepted()).toBe(1);
  });

  it('are at most as many as allowed; who finds none waits its turn', async () => {
    const callee = await startHoldingCallee();
    const client = createClient({ maxConnectionsPerOrigin: 2 });
    const delivered = Array.from({ length: 6 }, () => deliver(client, callee));
    for (let round = 0; round < 3; round++) {
      await callee.until(2);
      expect(callee.held).toHaveLength(2);
      callee.answerAll();
    }
    expect((await Promise.all(delivered)).map((result) => result.outcome)).toEqual(
      Array(6).fill('SUCCEEDED'),
    );
    expect(callee.accepted()).toBe(2);
  });

  it('are not waited for by an attempt that is given up', async () => {
    const callee = await startHoldingCallee();
    const client = createClient({ maxConnectionsPerOrigin: 1 });
    const first = deliver(client, callee);
    await callee.until(1);
    const context = recordedContext();
    const second = deliver(client, callee, context);
    const third = deliver(client, callee);
    context.abort();
    expect((await second).message).toBe('aborted');
    callee.answerAll();
    await first;
    await callee.until(1);
    callee.answerAll();
    await third;
    expect(callee.received).toHaveLength(2);
  });

  it('make room when their attempt is given up', async () => {
    const callee = await startHoldingCallee();
    const client = createClient({ maxConnectionsPerOrigin: 1 });
    const context = recordedContext();
    const first = deliver(client, callee, context);
    await callee.until(1);
    const second = deliver(client, callee);
    context.abort();
    expect((await first).message).toBe('aborted');
    await callee.until(2);
    callee.answerAll();
    expect((await second).outcome).toBe('SUCCEEDED');
    expect(callee.accepted()).toBe(2);
  });

  it('are waited for no longer than the timeout of the target', async () => {
    const clock = new HandClock();
    const callee = await startHoldingCallee();
    const client = createClient({ maxConnectionsPerOrigin: 1, clock });
    const first = deliver(client, callee);
    await callee.until(1);
    const target = httpTarget(callee.origin, { timeoutMs: 40 });
    const second = client.deliver(target, sampleDelivery, recordedContext());
    clock.fireAll();
    expect(await second).toMatchObject({ reason: 'ATTEMPT_TIMEOUT', message: 'no connection within 40 ms' });
    callee.answerAll();
    await first;
    expect(callee.received).toHaveLength(1);
  });

  it('that the callee has closed are replaced before a request is written', async () => {
    const sockets: Socket[] = [];
    const callee = await startRawCallee((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', () => socket.write(ok));
    });
    const client = createClient();
    await deliver(client, callee);
    sockets[0]?.resetAndDestroy();
    // From here the reset is read after the attempt has the connection and before it is written.
    await new Promise(setImmediate);
    const again = await deliver(client, callee);
    expect(again.outcome).toBe('SUCCEEDED');
    expect(callee.accepted()).toBe(2);
  });

  it('carry a request once: one that was written and not answered is not written again', async () => {
    let requests = 0;
    const callee = await startRawCallee((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => {
        requests++;
        if (requests === 1) socket.write(ok);
        else socket.resetAndDestroy();
      });
    });
    const client = createClient();
    await deliver(client, callee);
    expect(await deliver(client, callee)).toMatchObject({
      outcome: 'FAILED',
      message: 'connection reset by callee',
      retryable: true,
    });
    expect(requests).toBe(2);
  });

  it('with something left on them are not used again', async () => {
    const answers = [`${ok}HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsmuggled!`, ok];
    const callee = await startRawCallee((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => socket.write(answers.shift() ?? ok));
    });
    const client = createClient();
    await deliver(client, callee);
    const context = recordedContext();
    expect((await deliver(client, callee, context)).outcome).toBe('SUCCEEDED');
    expect(context.lines).toEqual([]);
  });

  it('that the callee keeps open no longer than one answer are made anew', async () => {
    const callee = await startCallee((_request, response) =>
      response.writeHead(200, { connection: 'close' }).end(),
    );
    const client = createClient();
    for (let i = 0; i < 3; i++) expect((await deliver(client, callee)).outcome).toBe('SUCCEEDED');
    expect(callee.accepted()).toBe(3);
  });

  it('are let go with their origin after their idle time', async () => {
    const closed = Promise.withResolvers<void>();
    const origins: number[] = [];
    const callee = await startRawCallee((socket) => {
      socket.on('close', () => closed.resolve());
      socket.on('data', () => {
        origins.push(client.originCount);
        socket.write(ok);
      });
    });
    const client = createClient({ idleConnectionMs: 1 });
    await deliver(client, callee);
    expect(origins).toEqual([1]);
    await closed.promise;
    while (client.originCount > 0) await new Promise(setImmediate);
  });

  it('of the origin used least recently make room for a new origin; those at work stay', async () => {
    const start = () => startCallee((_request, response) => response.end());
    const [a, b, c] = [await start(), await start(), await start()];
    const holding = await startHoldingCallee();
    const client = createClient({ maxOrigins: 3 });
    const held = deliver(client, holding);
    await holding.until(1);
    await deliver(client, a);
    await deliver(client, b);
    await deliver(client, a);
    await deliver(client, c);
    expect(client.originCount).toBe(3);
    await deliver(client, a);
    expect(a.accepted()).toBe(1);
    await deliver(client, b);
    expect(b.accepted()).toBe(2);
    holding.answerAll();
    expect((await held).outcome).toBe('SUCCEEDED');
  });
});

describe('close', () => {
  it('closes idle connections and refuses new attempts', async () => {
    const closed = Promise.withResolvers<void>();
    const callee = await startRawCallee((socket) => {
      socket.on('close', () => closed.resolve());
      socket.on('data', () => socket.write(ok));
    });
    const client = createClient();
    await deliver(client, callee);
    await Promise.all([client.close(), client.close()]);
    await closed.promise;
    expect(client.originCount).toBe(0);
    expect(await deliver(client, callee)).toMatchObject({
      outcome: 'FAILED',
      message: 'this instance is stopping',
      retryable: true,
    });
  });

  it('waits for attempts in flight', async () => {
    const clock = new HandClock();
    const callee = await startHoldingCallee();
    const client = createClient({ clock, closeGraceMs: 9_000 });
    const delivered = deliver(client, callee);
    await callee.until(1);
    const closing = client.close();
    expect([...clock.timers.values()]).toEqual([9_000]);
    callee.answerAll();
    expect((await delivered).outcome).toBe('SUCCEEDED');
    await closing;
    expect(clock.timers.size).toBe(0);
  });

  it('cuts off what is in flight after the grace, and what waits at once', async () => {
    const clock = new HandClock();
    const callee = await startHoldingCallee();
    const client = createClient({ clock, maxConnectionsPerOrigin: 1 });
    const inFlight = deliver(client, callee);
    await callee.until(1);
    const waiting = deliver(client, callee);
    const closed = once(callee.held[0] as ServerResponse, 'close');
    const closing = client.close();
    const stopped = {
      outcome: 'FAILED',
      reason: 'TARGET_ERROR',
      message: 'this instance is stopping',
      retryable: true,
    };
    expect(await waiting).toEqual(stopped);
    clock.fireAll();
    expect(await inFlight).toEqual(stopped);
    await closing;
    await closed;
  });

  it('works before anything was delivered', async () => {
    await expect(createClient().close()).resolves.toBeUndefined();
  });
});
