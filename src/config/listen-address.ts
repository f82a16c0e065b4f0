import { BlockList, isIP } from 'node:net';

/** Where a listener binds: a host name or address without brackets, and a port; port 0 takes any free one. */
export type ListenAddress = { readonly host: string; readonly port: number };

/** Reads `host:port` or `[ipv6]:port`; undefined when it is neither. */
export function listenAddressFromText(text: string): ListenAddress | undefined {
  const match = /^(?:\[(?<ipv6>[^\]]+)\]|(?<name>[^:[\]/@\s]+)):(?<port>\d{1,5})$/.exec(text);
  const { ipv6, name, port } = match?.groups ?? {};
  if (Number(port) > 65_535 || (ipv6 !== undefined && isIP(ipv6) !== 6)) return undefined;
  const host = ipv6 ?? name;
  return host === undefined ? undefined : { host, port: Number(port) };
}

/** Writes an address as it is read. */
export function listenAddressToText({ host, port }: ListenAddress): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * True when only this machine reaches a listener on the host: an address in
 * 127.0.0.0/8, ::1, or `localhost`. Other names are not, whatever they resolve
 * to at the moment; 0.0.0.0 and :: mean every network card.
 */
export function isLoopbackHost(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  return loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}
