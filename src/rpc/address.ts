import type { Server } from 'node:net';

/** A listening address in two parts. */
export type HostAndPort = { readonly host: string; readonly port: number };

/** Splits `host:port` or `[v6]:port`; port 0 takes a free one. Throws for anything else. */
export function parseAddress(address: string): HostAndPort {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535)
    throw new Error(`"${address}" is not an address of the form host:port`);
  return { host, port };
}

/** Writes an address as `host:port`, an IPv6 one in brackets. */
export function formatAddress({ host, port }: HostAndPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Where a server is bound to; empty for one that does not listen, or not on a network. */
export function placeOf(server: Server): readonly HostAndPort[] {
  const bound = server.address();
  return bound === null || typeof bound === 'string' ? [] : [{ host: bound.address, port: bound.port }];
}
