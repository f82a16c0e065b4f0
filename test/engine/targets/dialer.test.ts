import { once } from 'node:events';
import type { LookupFunction } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Dialer } from '../../../src/engine/targets/dialer.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { loopbackOpen as egress } from '../../support/egress.ts';
import { HandClock } from './http/attempt.ts';
import { startRawCallee, unusedPort } from './http/callee.ts';

type Address = { readonly address: string; readonly family: number };

const loopback: Address = { address: '127.0.0.1', family: 4 };

/** A lookup that answers with these addresses, and what it was asked for. */
function recordedLookup(answer: readonly Address[] | Error) {
  const asked: string[] = [];
  const lookup = ((host: string, _options: object, callback: (...result: unknown[]) => void) => {
    asked.push(host);
    if (answer instanceof Error) callback(answer);
    else callback(null, answer);
  }) as unknown as LookupFunction;
  return { asked, lookup };
}

const signal = new AbortController().signal;

async function dial(host: string, port: number, lookup: LookupFunction) {
  const socket = await new Dialer({ clock: systemClock, egress, lookup }).dial(
    { host, port },
    { timeoutMs: 5_000, signal },
  );
  onTestFinished(() => void socket.destroy());
  return socket;
}

describe('a dialer', () => {
  it.each(['callee.internal', '127.0.0.1', '2130706433', '0x7f.1', '::1'])(
    'asks the lookup about %s and dials what it says',
    async (host) => {
      const callee = await startRawCallee(() => undefined);
      const { asked, lookup } = recordedLookup([loopback]);
      const socket = await dial(host, callee.port, lookup);
      expect(asked).toEqual([host]);
      expect(socket.remoteAddress).toBe('127.0.0.1');
    },
  );

  it.each(['callee.internal', '127.0.0.1', '0x7f.1'])(
    'opens no connection to %s when the lookup refuses it',
    async (host) => {
      const callee = await startRawCallee(() => undefined);
      const refusal = Object.assign(new Error('refused'), { code: 'ERR_ADDRESS_REFUSED' });
      const { lookup } = recordedLookup(refusal);
      await expect(dial(host, callee.port, lookup)).rejects.toBe(refusal);
      const { lookup: fine } = recordedLookup([loopback]);
      await dial(host, callee.port, fine);
      expect(callee.accepted()).toBe(1);
    },
  );

  it('fails when there is no address', async () => {
    const { lookup } = recordedLookup([]);
    await expect(dial('callee.internal', 1, lookup)).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  it('tries one address after the other', async () => {
    const callee = await startRawCallee(() => undefined);
    const { lookup } = recordedLookup([{ address: '::1', family: 6 }, loopback]);
    expect((await dial('callee.internal', callee.port, lookup)).remoteAddress).toBe('127.0.0.1');
  });

  it('fails by its limit while the lookup hangs, and dials nothing when it answers later', async () => {
    const callee = await startRawCallee(() => undefined);
    const clock = new HandClock();
    let answer = (): void => undefined;
    const lookup = ((_host: string, _options: object, callback: (...result: unknown[]) => void) => {
      answer = () => callback(null, [loopback]);
    }) as unknown as LookupFunction;
    const dialed = new Dialer({ clock, egress, lookup }).dial(
      { host: 'callee.internal', port: callee.port },
      { timeoutMs: 1_000, signal },
    );
    clock.fireAll();
    await expect(dialed).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    answer();
    await dial('127.0.0.1', callee.port, recordedLookup([loopback]).lookup);
    expect(callee.accepted()).toBe(1);
  });

  it('gives up at the signal, before and while it dials', async () => {
    const abort = new AbortController();
    const dialer = new Dialer({ clock: systemClock, egress });
    const place = { host: '127.0.0.1', port: await unusedPort() };
    const options = { timeoutMs: 5_000, signal: abort.signal };
    const dialed = dialer.dial(place, options);
    abort.abort();
    await expect(dialed).rejects.toMatchObject({ code: 'ABORT_ERR' });
    await expect(dialer.dial(place, options)).rejects.toMatchObject({ code: 'ABORT_ERR' });
  });

  it('closes a connection whose handshake takes too long', async () => {
    const opened = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const callee = await startRawCallee((socket) => {
      socket.resume();
      void once(socket, 'close').then(() => closed.resolve());
      opened.resolve();
    });
    const clock = new HandClock();
    const dialed = new Dialer({ clock, egress }).dial(
      { host: '127.0.0.1', port: callee.port, tls: {} },
      { timeoutMs: 50, signal },
    );
    await opened.promise;
    clock.fireAll();
    await expect(dialed).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await closed.promise;
  });
});
