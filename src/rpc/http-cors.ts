import { cors } from '@connectrpc/connect';
import { requestIdHeader } from './interceptors/request-id.ts';
import type { Mount } from './mount.ts';

/** How long browsers remember a preflight, in seconds; Chromium takes no more than two hours. */
const maxAgeSeconds = 7_200;

/**
 * Lets scripts of the listed origins call the RPCs, and of no others: without
 * the header a browser keeps the answer from them. Answers preflights itself
 * and then returns true.
 */
export function createCors(origins: readonly string[]): Mount {
  const allowed = new Set(origins);
  const methods = cors.allowedMethods.join(', ');
  const requestHeaders = [...cors.allowedHeaders, requestIdHeader, 'authorization'].join(', ');
  const responseHeaders = [...cors.exposedHeaders, requestIdHeader].join(', ');

  return (request, response) => {
    const { origin } = request.headers;
    if (allowed.size > 0) response.setHeader('vary', 'origin');
    if (origin === undefined || !allowed.has(origin)) return false;
    response.setHeader('access-control-allow-origin', origin);
    response.setHeader('access-control-expose-headers', responseHeaders);
    const isPreflight =
      request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
    if (!isPreflight) return false;
    response.setHeader('access-control-allow-methods', methods);
    response.setHeader('access-control-allow-headers', requestHeaders);
    response.setHeader('access-control-max-age', String(maxAgeSeconds));
    response.writeHead(204);
    response.end();
    return true;
  };
}
