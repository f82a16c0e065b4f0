import type { IncomingMessage, ServerResponse } from 'node:http';
import type { LiveCalls } from './live-calls.ts';

/** A request of the HTTP port. One of HTTP/2 comes as Node's compatibility API shows it, which has the same members. */
export type HttpRequest = IncomingMessage;

/** Its response, likewise; HTTP/2 has no `connection` header. */
export type HttpResponse = ServerResponse;

/** Serves some paths: answers and returns true, or leaves the request alone and returns false. */
export type Mount = (request: HttpRequest, response: HttpResponse) => boolean;

/** What a server shares with mounts that call its handlers. */
export type ServerState = {
  /** What it has under way: calls that are among them are ended when it stops. */
  readonly live: LiveCalls;
  isStopping(): boolean;
};
