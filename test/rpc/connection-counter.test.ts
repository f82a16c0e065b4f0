import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ConnectionCounter } from '../../src/rpc/connection-counter.ts';
import { type LogLine, memoryLogger } from '../conformance/servers.ts';
import { ManualClock } from '../platform/manual-clock.ts';

const from = (remoteAddress: string | undefined): Socket =>
  Object.assign(new EventEmitter(), { remoteAddress }) as unknown as Socket;

function counterOf(limits: { readonly max?: number; readonly maxPerAddress?: number }) {
  const clock = new ManualClock();
  const logged: LogLine[] = [];
  return {
    clock,
    logged,
    counter: new ConnectionCounter({ clock, logger: memoryLogger(logged), ...limits }),
  };
}

describe('connections', () => {
  it.each([
    ['of one IPv4 address', '192.0.2.1', '192.0.2.1', false],
    ['of one IPv4 address in both its forms', '192.0.2.1', '::ffff:192.0.2.1', false],
    ['of two IPv4 addresses', '192.0.2.1', '192.0.2.2', true],
    ['of one /64', '2001:db8:1:2::1', '2001:db8:1:2:ffff::2', false],
    ['of two /64', '2001:db8:1:2::1', '2001:db8:1:3::1', true],
    ['of one link, whatever its zone', 'fe80::1%eth0', 'fe80::2%eth1', false],
    ['of no address', undefined, undefined, false],
  ])('%s: %s and %s', (_what, first, second, areBothAdmitted) => {
    const { counter } = counterOf({ maxPerAddress: 1 });
    expect(counter.admit(from(first))).toBe(true);
    expect(counter.admit(from(second))).toBe(areBothAdmitted);
  });

  it('make room when they close, and never more than there was', () => {
    const { counter } = counterOf({ max: 2, maxPerAddress: 1 });
    const one = from('192.0.2.1');
    expect(counter.admit(one)).toBe(true);
    expect(counter.admit(from('192.0.2.1'))).toBe(false);
    one.emit('close');
    one.emit('close');
    expect(counter.admit(from('192.0.2.1'))).toBe(true);
    expect(counter.admit(from('192.0.2.2'))).toBe(true);
    expect(counter.admit(from('192.0.2.3'))).toBe(false);
  });

  it('that are refused are logged once in ten seconds, with their number', async () => {
    const { counter, logged, clock } = counterOf({ maxPerAddress: 1 });
    for (let i = 0; i < 100; i++) counter.admit(from('192.0.2.1'));
    expect(logged).toMatchObject([{ level: 'warn', network: '192.0.2.1/32', maxPerAddress: 1, refused: 1 }]);
    await clock.advance(10_000);
    counter.admit(from('192.0.2.1'));
    expect(logged[1]).toMatchObject({ refused: 99 });
  });
});
