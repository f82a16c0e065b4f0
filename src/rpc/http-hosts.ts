import { isIP } from 'node:net';
import { sendJson } from './http-pages.ts';
import type { HttpRequest, Mount } from './mount.ts';

/**
 * Refuses requests that address the port by a name which is not its own. Where
 * nobody needs credentials, whoever reaches the port is trusted, and on loopback
 * that is this machine; but a page from anywhere can point its own name at
 * 127.0.0.1, and for its browser the port is then of its own origin (DNS
 * rebinding). What it cannot change is the name in the request. An address is
 * nobody's name, and `localhost` leads nowhere else.
 */
export function refuseForeignHosts(names: readonly string[]): Mount {
  const known = new Set(names);
  return (request, response) => {
    const host = hostOf(request);
    if (host === undefined || isIP(host) > 0 || host === 'localhost' || host.endsWith('.localhost'))
      return false;
    if (known.has(host)) return false;
    sendJson(response, 421, {
      code: 'failed_precondition',
      message: 'this host name is not one of the port; CARILLON_HTTP_HOSTS lists those that are',
    });
    return true;
  };
}

/** The host that a request names, without its port, in lower case; undefined for one without, which no browser sends. */
function hostOf({ headers }: HttpRequest): string | undefined {
  const authority = (headers[':authority'] as string | undefined) ?? headers.host;
  return authority
    ?.toLowerCase()
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}
