import { randomUUID } from 'node:crypto';
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
      call.requestId = given !== undefined && sane.test(given) ? given : randomUUID();
      call.setHeader(requestIdHeader, call.requestId);
    },
  };
}
