import { BlockList } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AddressClass, addressClassFrom } from '../../src/platform/ip-address.ts';

/** The special ranges of IANA's registry for IPv4, its multicast included. */
const specialIpv4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];

const special = new BlockList();
for (const range of specialIpv4) {
  const [first = '', bits] = range.split('/');
  special.addSubnet(first, Number(bits), 'ipv4');
}
// Azure's metadata service is the one at a public address.
special.addAddress('168.63.129.16');

const textFromNumber = (n: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(n / 2 ** shift) % 256).join('.');

/** Any address, and more often than chance would have it one around the ends of a special range. */
const ipv4 = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  fc
    .tuple(fc.constantFrom(...specialIpv4), fc.boolean(), fc.integer({ min: -2, max: 2 }))
    .map(([range, atEnd, offset]) => {
      const [first = '', bits] = range.split('/');
      const start = first.split('.').reduce((n, part) => n * 256 + Number(part), 0);
      const at = start + (atEnd ? 2 ** (32 - Number(bits)) : 0) + offset;
      return Math.min(Math.max(at, 0), 2 ** 32 - 1);
    }),
);

describe('the class of an address', () => {
  it.each<[AddressClass, readonly string[]]>([
    ['public', ['8.8.8.8', '1.1.1.1', '172.32.0.1', '100.128.0.1', '2606:4700:4700::1111', '2a00:1450::1']],
    [
      'loopback',
      ['127.0.0.1', '127.255.255.255', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::FFFF:7f00:1'],
    ],
    ['loopback', ['64:ff9b::7f00:1', '64:ff9b::127.0.0.1']],
    ['private', ['10.0.0.7', '172.16.0.1', '172.31.255.255', '192.168.1.5', 'fc00::1', 'fd12:3456::1']],
    ['private', ['::ffff:10.0.0.7', '64:ff9b::a00:7']],
    ['link-local', ['169.254.0.1', 'fe80::1', 'fe80::1%eth0', 'febf::1']],
    ['shared', ['100.64.0.1', '100.127.255.255']],
    ['metadata', ['169.254.169.254', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', '169.254.170.2']],
    ['metadata', ['168.63.129.16', '100.100.100.200', '192.0.0.192', 'fd00:ec2::254', 'FD00:EC2:0::254']],
    ['metadata', ['fd20:ce::254', 'fe80::a9fe:a9fe%eth0']],
    ['multicast', ['224.0.0.1', '239.255.255.255', 'ff02::1']],
    ['broadcast', ['255.255.255.255']],
    ['unspecified', ['0.0.0.0', '0.1.2.3', '::', '::ffff:0.0.0.0']],
    ['reserved', ['240.0.0.1', '192.0.2.1', '198.18.0.1', '203.0.113.9', '192.88.99.1', '192.0.0.8']],
    // IPv4 addresses in the forms that do not lead to them.
    ['reserved', ['::127.0.0.1', '::7f00:1', '::ffff:0:127.0.0.1', '2002:7f00:1::', '64:ff9b:1::7f00:1']],
    ['reserved', ['2001:0:4136:e378:8000:63bf:80ff:fffe', '2001:db8::1', '3fff::1', '100::1', '5f00::1']],
    [
      'reserved',
      ['fec0::1', '2001:20::1', '4000::1', '1::1', '', 'localhost', '127.1', '2130706433', '[::1]'],
    ],
  ])('is %s for %j', (expected, addresses) => {
    expect(addresses.map(addressClassFrom)).toEqual(addresses.map(() => expected));
  });

  it('is public for IPv4 exactly outside the special ranges', () => {
    fc.assert(
      fc.property(ipv4, (n) => {
        const address = textFromNumber(n);
        expect([address, addressClassFrom(address) === 'public'], address).toEqual([
          address,
          !special.check(address, 'ipv4'),
        ]);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is the same for an IPv4 address and for the forms of IPv6 that lead to it', () => {
    fc.assert(
      fc.property(
        ipv4,
        fc.constantFrom('::ffff:', '0:0:0:0:0:ffff:', '64:ff9b::', '64:FF9B:0:0:0:0:'),
        (n, prefix) => {
          const address = textFromNumber(n);
          expect(addressClassFrom(prefix + address)).toBe(addressClassFrom(address));
        },
      ),
    );
  });

  it('is never public for IPv6 outside 2000::/3, but for forms of public IPv4 addresses', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        if (addressClassFrom(address) !== 'public' || /^(::ffff:|64:ff9b:)/i.test(address)) return;
        expect(address).toMatch(/^[23][0-9a-f]{3}:/i);
      }),
      { numRuns: 1_000 },
    );
  });
});
