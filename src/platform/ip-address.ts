/**
 * What an IP address is for, by the IANA registries of special addresses: the
 * one place that knows the library for it.
 *
 * IPv6 has several ways to write an IPv4 address. Two of them lead to it: the
 * mapped form (::ffff:a.b.c.d) by the system, the well-known prefix of NAT64
 * (64:ff9b::a.b.c.d) by the network. Such an address is taken as the IPv4
 * address in every question here. The others (::a.b.c.d, ::ffff:0:a.b.c.d,
 * 6to4, Teredo, local prefixes of NAT64) are out of use or mean something else
 * from network to network; they are reserved, whatever is in them.
 */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** What an address is for. Only `public` ones belong to somebody on the internet. */
export type AddressClass =
  | 'public'
  | 'loopback'
  | 'private'
  | 'link-local'
  | 'shared'
  | 'metadata'
  | 'multicast'
  | 'broadcast'
  | 'unspecified'
  | 'reserved';

type Address = ReturnType<typeof ipaddr.parse>;

/** A range of addresses: its first one and how many leading bits all have in common. */
export type AddressRange = { readonly first: Address; readonly bits: number };

const addressClasses: Readonly<Partial<Record<string, AddressClass>>> = {
  unicast: 'public',
  loopback: 'loopback',
  private: 'private',
  uniqueLocal: 'private',
  linkLocal: 'link-local',
  carrierGradeNat: 'shared',
  multicast: 'multicast',
  broadcast: 'broadcast',
  unspecified: 'unspecified',
};

/** All that is given out of IPv6 for the internet; the library calls unicast what is merely not known to be special. */
const globalUnicast: AddressRange = { first: ipaddr.parse('2000::'), bits: 3 };

const nat64: AddressRange = { first: ipaddr.parse('64:ff9b::'), bits: 96 };

/** Where clouds answer a machine with its credentials and settings: AWS, Google, Azure, Oracle, Alibaba, Scaleway, OpenStack. */
const metadataAddresses: ReadonlySet<string> = new Set(
  [
    '169.254.169.254',
    '169.254.170.2',
    '169.254.170.23',
    '169.254.42.42',
    '168.63.129.16',
    '192.0.0.192',
    '100.100.100.200',
    'fd00:ec2::254',
    'fd00:ec2::23',
    'fd20:ce::254',
    'fd00:42::42',
    'fe80::a9fe:a9fe',
  ].map((text) => ipaddr.parse(text).toString()),
);

/** What an address is for; `reserved` for a text that is no address. */
export function addressClassFrom(text: string): AddressClass {
  const address = addressFrom(text);
  if (!address) return 'reserved';
  if (metadataAddresses.has(address.toString())) return 'metadata';
  const addressClass = addressClasses[address.range()] ?? 'reserved';
  const isUnknown =
    addressClass === 'public' && address.kind() === 'ipv6' && !isWithin(address, globalUnicast);
  return isUnknown ? 'reserved' : addressClass;
}

/** The one notation of an address, without a zone, and as IPv4 where it leads to that; undefined for what is none. */
export function plainAddressFrom(text: string): string | undefined {
  return addressFrom(text)?.toString();
}

/** The range that a text means, an address or `address/bits`; undefined when it is neither. */
export function addressRangeFrom(text: string): AddressRange | undefined {
  const [, address = '', bits] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const first = parse(address);
  if (!first) return undefined;
  const most = first.kind() === 'ipv4' ? 32 : 128;
  if (Number(bits ?? most) > most) return undefined;
  return { first, bits: Number(bits ?? most) };
}

/** The range as it is written. */
export function addressRangeToText({ first, bits }: AddressRange): string {
  return `${first}/${bits}`;
}

/** The range that begins where its leading bits say: 10.1.2.3/8 becomes 10.0.0.0/8. */
export function wholeRange({ first, bits }: AddressRange): AddressRange {
  const kept = first
    .toByteArray()
    .map((byte, i) => byte & (0xff00 >> Math.min(Math.max(bits - 8 * i, 0), 8)) & 0xff);
  return { first: ipaddr.fromByteArray(kept), bits };
}

/** Whether the range is one address. */
export function isSingle({ first, bits }: AddressRange): boolean {
  return bits === (first.kind() === 'ipv4' ? 32 : 128);
}

/** Whether the addresses of the range stand for IPv4 ones, as which they are judged. */
export function standsForIpv4({ first, bits }: AddressRange): boolean {
  return bits >= 96 && embeddedIpv4(first) !== undefined;
}

/** Whether the address is in the range. */
export function isInRange(text: string, range: AddressRange): boolean {
  const address = addressFrom(text);
  return address !== undefined && isWithin(address, range);
}

function isWithin(address: Address, { first, bits }: AddressRange): boolean {
  return address.kind() === first.kind() && address.match(first, bits);
}

/** The address without a zone, as IPv4 where it stands for one; undefined when the text is none. */
function addressFrom(text: string): Address | undefined {
  const [plain = ''] = text.split('%');
  const address = parse(plain);
  return address && (embeddedIpv4(address) ?? address);
}

/**
 * The address as the system reads it. The library alone reads more notations
 * than one can connect to, and takes ::1.2.3.4 for ::ffff:1.2.3.4; a URL has
 * IPv6 addresses in plain groups.
 */
function parse(text: string): Address | undefined {
  const family = isIP(text);
  if (family === 0) return undefined;
  return ipaddr.parse(family === 4 ? text : new URL(`http://[${text}]`).hostname.slice(1, -1));
}

function embeddedIpv4(address: Address): Address | undefined {
  if (address.kind() === 'ipv4') return undefined;
  const isEmbedded = address.range() === 'ipv4Mapped' || isWithin(address, nat64);
  return isEmbedded ? ipaddr.fromByteArray(address.toByteArray().slice(12)) : undefined;
}

/**
 * What is counted as one caller of the network: an IPv4 address, or the 64
 * leading bits of an IPv6 one, because each line gets that many addresses for
 * itself. A text that is no address is one caller by itself.
 */
export function callerNetworkOf(text: string): string {
  const address = addressFrom(text);
  if (!address) return text;
  return addressRangeToText(wholeRange({ first: address, bits: address.kind() === 'ipv4' ? 32 : 64 }));
}

/** The same of an address and port, as connections tell it. */
export const callerNetworkOfPeer = (peer: string): string =>
  callerNetworkOf(isIP(peer) ? peer : peer.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1'));
