/**
 * Where the policy of egress-policy.ts meets the sockets: nothing is dialled
 * that it does not allow.
 *
 * The judged lookup answers with the addresses that may be called, and exactly
 * those are dialled, so that there is no second lookup whose answer could
 * differ. Of a name with allowed and refused addresses the allowed ones are
 * left. Where a socket asks no lookup because its host is an address, that is
 * judged by `refusalOf` before the socket is made.
 */
import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { EgressPolicy } from '../../platform/egress-policy.ts';
import { type AddressClass, addressClassFrom } from '../../platform/ip-address.ts';

const words: Readonly<Record<AddressClass, string>> = {
  public: 'a public address',
  loopback: 'a loopback address',
  private: 'a private address',
  'link-local': 'a link-local address',
  shared: 'an address of carrier-grade NAT',
  metadata: "the address of a cloud's metadata service",
  multicast: 'a multicast address',
  broadcast: 'the broadcast address',
  unspecified: 'the unspecified address',
  reserved: 'a reserved address',
};

/**
 * The error for a host that may not be called. Its message names the host as
 * the target does and the kind of address that it leads to, not the address:
 * targets must be no way to read a private DNS.
 */
export class EgressRefusal extends Error {
  readonly code = 'ERR_EGRESS_REFUSED';

  constructor(host: string, why: string) {
    super(`${host} leads to ${why}`);
    this.name = 'EgressRefusal';
  }
}

/** Why an address and port may not be called; undefined when they may. */
export function refusalOf(
  egress: EgressPolicy,
  { host, port, address = host }: { readonly host: string; readonly port: number; readonly address?: string },
): EgressRefusal | undefined {
  if (!egress.allows(host, address)) {
    const what = words[addressClassFrom(address)];
    return new EgressRefusal(host, `${what}, which may not be called; CARILLON_EGRESS_ALLOW opens it`);
  }
  // Only of what is open otherwise, so that it is no way to ask for ports.
  if (!egress.isOwn(address, port)) return undefined;
  return new EgressRefusal(host, 'a port of Carillon or its database, which may not be called');
}

/**
 * A lookup for connections to a port: it finds only addresses which may be called there, and fails with an
 * EgressRefusal when there are others only.
 */
export function judgedLookup(
  egress: EgressPolicy,
  port: number,
  lookup: LookupFunction = systemLookup as LookupFunction,
): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, answer, family = 0) => {
      if (error) {
        callback(error, []);
        return;
      }
      const found = typeof answer === 'string' ? [{ address: answer, family }] : answer;
      const refusals = found.map(({ address }) => refusalOf(egress, { host, port, address }));
      const allowed = found.filter((_, i) => refusals[i] === undefined);
      const [first] = allowed;
      if (!first) callback(refusals[0] ?? notFound(), []);
      else if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

const notFound = (): Error => Object.assign(new Error('ENOTFOUND'), { code: 'ENOTFOUND' });
