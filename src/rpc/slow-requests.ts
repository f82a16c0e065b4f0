import type { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { Clock } from '../platform/clock.ts';

/** How long a caller may go on sending a request that has been answered, in milliseconds. */
const answeredMs = 500;

/**
 * Closes HTTP/2 streams whose request has not arrived in full after
 * `timeoutMs`: a message that drips in byte by byte holds a stream and its
 * buffers, and no handler has a deadline on it yet. Nor does a stream stay
 * open whose request was refused for its size: callers stop sending at the
 * answer, and some never say so. Nearly all requests are complete within the
 * turn of the event loop that they arrive in, so that only the others cost a
 * timer. Where requests are streams only the answer sets an end to them.
 */
export function closeSlowRequests(
  server: EventEmitter,
  options: { readonly clock: Clock; readonly timeoutMs: number; streamsRequests(path: string): boolean },
): void {
  const { clock, timeoutMs, streamsRequests } = options;
  let fresh: ServerHttp2Stream[] = [];
  server.on('stream', (stream: ServerHttp2Stream, headers: { readonly ':path'?: string }) => {
    if (streamsRequests(headers[':path'] ?? '')) closeAnswered(stream);
    else if (fresh.push(stream) === 1) clock.setTimer(0, watchIncomplete);
  });

  function watchIncomplete(): void {
    const arrived = fresh;
    fresh = [];
    for (const stream of arrived) if (isIncomplete(stream)) watch(stream);
  }

  function watch(stream: ServerHttp2Stream): void {
    closeAfter(stream, timeoutMs, constants.NGHTTP2_CANCEL);
    closeAnswered(stream);
  }

  function closeAnswered(stream: ServerHttp2Stream): void {
    const onAnswered = (): void => closeAfter(stream, answeredMs, constants.NGHTTP2_NO_ERROR);
    if (stream.writableFinished) onAnswered();
    else stream.once('finish', onAnswered);
  }

  function closeAfter(stream: ServerHttp2Stream, ms: number, code: number): void {
    const cancel = clock.setTimer(ms, () => {
      if (!isIncomplete(stream)) return;
      stream.close(code);
      // A stream that holds bytes which nobody reads does not go by itself.
      clock.setTimer(0, () => stream.destroy());
    });
    stream.once('close', cancel);
  }
}

/** Whether the caller has not yet sent the end of its request, or it has not been read. */
function isIncomplete(stream: ServerHttp2Stream): boolean {
  return !stream.destroyed && !stream.readableEnded && !stream.endAfterHeaders;
}

/**
 * Closes an HTTP/1 connection whose request was answered before it had arrived
 * in full, when the caller has had time to read the answer; slow requests are
 * Node's `requestTimeout` to end.
 */
export function closeUnreadRequest(request: IncomingMessage, response: ServerResponse, clock: Clock): void {
  const { socket } = request;
  response.once('finish', () => {
    if (request.complete) return;
    const cancel = clock.setTimer(answeredMs, () => {
      if (!request.complete) socket.destroy();
    });
    // Of the request, not of its connection, which may have thousands of such requests behind it.
    request.once('close', cancel);
  });
}
