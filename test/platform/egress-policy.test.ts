import { describe, expect, it } from 'vitest';
import { egressRuleFromText } from '../../src/platform/egress-policy.ts';
import { egressTo } from '../support/egress.ts';

describe('a policy', () => {
  it.each<[string, readonly string[], string, string, boolean]>([
    ['leaves public addresses open', [], 'example.com', '8.8.8.8', true],
    ['opens nothing else by itself', [], 'callee.internal', '10.0.0.7', false],
    ['opens a range', ['10.0.0.0/8'], 'callee.internal', '10.255.255.255', true],
    ['begins a range at its first address', ['10.0.0.0/8'], 'callee.internal', '10.0.0.0', true],
    ['opens no more than a range', ['10.0.0.0/9'], 'callee.internal', '10.128.0.0', false],
    ['opens an address', ['192.168.1.5'], '192.168.1.5', '192.168.1.5', true],
    ['opens one address only', ['192.168.1.5'], '192.168.1.6', '192.168.1.6', false],
    ['opens an address for every name', ['192.168.1.5'], 'any.example', '192.168.1.5', true],
    ['opens an address in its mapped form', ['192.168.1.5'], 'x', '::ffff:192.168.1.5', true],
    ['opens an address behind NAT64', ['10.0.0.0/8'], 'x', '64:ff9b::a00:7', true],
    ['opens a range of IPv6', ['fd00:1::/32'], 'x', 'fd00:1:2::3', true],
    ['opens no more than a range of IPv6', ['fd00:1::/32'], 'x', 'fd00:2::3', false],
    ['knows an IPv6 address in every notation', ['FD00:0:0::0001'], 'x', 'fd00::1', true],
    ['opens no IPv4 loopback with the one of IPv6', ['::1'], 'localhost', '127.0.0.1', false],
    ['opens no IPv4 address with all of IPv6', ['::/0'], 'x', '::ffff:10.0.0.7', false],
    ['opens what a name leads to', ['callee.internal'], 'callee.internal', '10.0.0.7', true],
    ['takes names without regard to case', ['Callee.Internal'], 'CALLEE.internal', '10.0.0.7', true],
    ['takes a dot at the end for none', ['callee.internal'], 'callee.internal.', '127.0.0.1', true],
    ['takes a dot at the end of an entry for none', ['localhost.'], 'localhost', '::1', true],
    ['knows names beyond ASCII', ['bücher.intern'], 'xn--bcher-kva.intern', '10.0.0.7', true],
    ['opens no name below a name', ['callee.internal'], 'a.callee.internal', '10.0.0.7', false],
    ['opens the names below a suffix', ['*.svc.cluster.local'], 'a.b.svc.cluster.local', '10.0.0.7', true],
    ['opens no name that a suffix only resembles', ['*.internal'], 'evilinternal', '10.0.0.7', false],
    ['opens the suffix itself not', ['*.internal'], 'internal', '10.0.0.7', false],
    [
      'is not taken in by a name that goes on',
      ['callee.internal'],
      'callee.internal/.evil.example',
      '10.0.0.7',
      false,
    ],
    ['is not taken in by an escape', ['callee.internal'], 'callee%2einternal', '10.0.0.7', false],
    ['opens nothing for an address by names', ['*.internal', 'localhost'], '127.0.0.1', '127.0.0.1', false],
    ['opens link-local addresses by a range', ['169.254.0.0/16'], 'x', '169.254.1.1', true],
    ['opens no link-local address by a name', ['callee.internal'], 'callee.internal', '169.254.1.1', false],
    [
      'opens no metadata address by a name',
      ['metadata.internal'],
      'metadata.internal',
      '169.254.169.254',
      false,
    ],
    ['opens no metadata address by a range', ['0.0.0.0/0', '::/0'], 'x', '169.254.169.254', false],
    ['opens no metadata address of IPv6 by a range', ['fd00::/8', '::/0'], 'x', 'fd00:ec2::254', false],
    [
      'opens no metadata address in its mapped form',
      ['0.0.0.0/0', '::/0'],
      'x',
      '::ffff:169.254.169.254',
      false,
    ],
    ['opens a metadata address that is listed', ['169.254.169.254'], 'x', '169.254.169.254', true],
    ['opens a metadata address that is listed as a range', ['168.63.129.16/32'], 'x', '168.63.129.16', true],
    ['opens all the rest by the widest ranges', ['0.0.0.0/0', '::/0'], 'x', '255.255.255.255', true],
    ['refuses what is no address', ['0.0.0.0/0', '::/0'], 'x', 'callee.internal', false],
  ])('%s: %j, %s at %s', (_rule, entries, host, address, expected) => {
    expect(egressTo(...entries).allows(host, address)).toBe(expected);
  });
});

describe('an entry', () => {
  const notAny = 'be a list of addresses, ranges such as 10.0.0.0/8, host names';
  it.each([
    ['', notAny],
    ['10.0.0.0/33', notAny],
    ['10.0.0/8', notAny],
    ['10.0.0.0/8/8', notAny],
    ['10.0.0.0-10.0.0.9', notAny],
    ['127.1', notAny],
    ['2130706433', notAny],
    ['0x7f000001', notAny],
    ['::1/129', notAny],
    ['[::1]', notAny],
    ['fe80::1%eth0', notAny],
    ['callee.internal:9000', notAny],
    ['http://callee.internal', notAny],
    ['callee internal', notAny],
    ['callee..internal', notAny],
    ['-callee.internal', notAny],
    ['a.*.internal', notAny],
    ['*.', notAny],
    ['*.0.0.1', notAny],
    [`${'a'.repeat(64)}.internal`, notAny],
    ['10.0.0.1/8', 'have 10.0.0.0/8 in place of "10.0.0.1/8", which has bits set behind its prefix'],
    ['192.168.7.255/25', 'have 192.168.7.128/25 in place of'],
    ['fd00:1:2::/16', 'have fd00::/16 in place of'],
    ['::ffff:10.0.0.7', 'have the IPv4 addresses that "::ffff:10.0.0.7" stands for'],
    ['64:ff9b::/96', 'have the IPv4 addresses that "64:ff9b::/96" stands for'],
    ['*', 'name what it opens'],
    ['all', 'name what it opens'],
    ['none', 'be none alone'],
  ])('%j is refused, and told what would be right', (text, requirement) => {
    const rule = egressRuleFromText(text);
    expect(rule).toEqual({ kind: 'problem', requirement: expect.stringContaining(requirement) });
  });
});
