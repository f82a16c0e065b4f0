import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { OwnPorts } from '../../src/platform/own-ports.ts';

/** Addresses of this machine besides loopback; a machine without a network has none. */
const others = Object.values(networkInterfaces())
  .flat()
  .flatMap((each) => (each && !each.internal ? [each] : []));

describe('the own ports', () => {
  it.each<[string, readonly string[], string, boolean]>([
    ['have the address of a listener', ['127.0.0.1'], '127.0.0.1', true],
    ['have it in its mapped form', ['127.0.0.1'], '::ffff:127.0.0.1', true],
    ['have it bound in its mapped form', ['::ffff:127.0.0.1'], '127.0.0.1', true],
    ['have it behind NAT64', ['127.0.0.1'], '64:ff9b::7f00:1', true],
    ['have it by the unspecified address, which leads to it', ['127.0.0.1'], '0.0.0.0', true],
    ['have that of IPv6 alike', ['::1'], '::', true],
    ['have a public address', ['203.0.113.9'], '203.0.113.9', true],
    ['do not have its neighbour', ['127.0.0.1'], '127.0.0.2', false],
    ['do not have the other loopback address', ['127.0.0.1'], '::1', false],
    ['have all of loopback for a listener on every address', ['0.0.0.0'], '127.0.0.2', true],
    ['have IPv6 for one on every address of both', ['::'], '::1', true],
    ['have IPv4 for one on every address of both', ['::'], '127.0.0.1', true],
    ['do not have IPv6 for one on every address of IPv4', ['0.0.0.0'], '::1', false],
    ['do not have other machines for one on every address', ['0.0.0.0', '::'], '203.0.113.9', false],
    ['do not have IPv6 machines for one on every address', ['0.0.0.0', '::'], '2001:db8::9', false],
    ['have each of two', ['203.0.113.9', '127.0.0.1'], '203.0.113.9', true],
    ['do not have what is no address', ['::'], 'localhost', false],
    [
      'do not have the name of a listener, but its address when it is bound',
      ['localhost'],
      '127.0.0.1',
      false,
    ],
  ])('%s: %j, %s', (_rule, listeners, called, expected) => {
    const own = new OwnPorts();
    for (const address of listeners) own.addListener(address, 50_051);
    expect(own.has(called, 50_051)).toBe(expected);
    expect(own.has(called, 50_052)).toBe(false);
  });

  it('have every address of this machine for a listener on all of them', () => {
    const own = new OwnPorts();
    own.addListener('::', 50_051);
    expect(others.filter(({ address }) => !own.has(address, 50_051))).toEqual([]);
  });

  it('have the address of a database, and on this machine all of the machine’s', () => {
    const own = new OwnPorts();
    own.addDatabase('203.0.113.9', 5_432);
    own.addDatabase('127.0.0.1', 5_433);
    expect(own.has('203.0.113.9', 5_432)).toBe(true);
    expect(own.has('127.0.0.1', 5_432)).toBe(false);
    for (const address of ['127.0.0.1', '127.0.0.2', '::1', ...others.map((each) => each.address)]) {
      expect([address, own.has(address, 5_433)]).toEqual([address, true]);
    }
    expect(own.has('203.0.113.9', 5_433)).toBe(false);
  });

  it('have no port that the system has yet to choose', () => {
    const own = new OwnPorts();
    own.addListener('127.0.0.1', 0);
    expect([own.hasPort(0), own.has('127.0.0.1', 0)]).toEqual([false, false]);
  });
});
