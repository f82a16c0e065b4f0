import { randomFillSync } from 'node:crypto';
import type { Interceptor } from '../call.ts';

/** The header that carries the id, both ways. */
export const requestIdHeader = 'x-request-id';

/** Visible ASCII without quotes and backslash, so that an id can stand in any log and header. */
const sane = /^[!#-[\]-~]{1,128}$/;

/** Gives the call its id: the caller's `x-request-id` when it is sane, else a new one. The response carries it. */
export function identifyRequests(): Interceptor {
  return {
    name: 'request-id',
    open(call) {
      const given = call.header(requestIdHeader);
      call.requestId = given !== undefined && sane.test(given) ? given : createRequestId();
      call.setHeader(requestIdHeader, call.requestId);
    },
  };
}

const idBytes = 9;
const pool = Buffer.alloc(idBytes * 512);
let used = pool.length;

/**
 * 72 random bits as 12 characters. A UUID is three times as long, and a header
 * that is new in every response is paid by its length: 4 µs a call more.
 */
function createRequestId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += idBytes;
  return pool.toString('base64url', used - idBytes, used);
}
