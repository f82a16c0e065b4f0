import type { EventEmitter } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { Clock } from '../platform/clock.ts';

/**
 * Closes HTTP/2 streams whose request has not arrived in full after
 * `timeoutMs`: a message that drips in byte by byte holds a stream and its
 * buffers, and no handler has a deadline on it yet. Nearly all requests are
 * complete within the turn of the event loop that they arrive in, so that only
 * the others cost a timer. Paths that stream their requests are exempt.
 */
export function closeSlowRequests(
  server: EventEmitter,
  options: { readonly clock: Clock; readonly timeoutMs: number; isExempt(path: string): boolean },
): void {
  const { clock, timeoutMs, isExempt } = options;
  let fresh: ServerHttp2Stream[] = [];
  server.on('stream', (stream: ServerHttp2Stream, headers: { readonly ':path'?: string }) => {
    if (isExempt(headers[':path'] ?? '')) return;
    if (fresh.push(stream) === 1) clock.setTimer(0, watchIncomplete);
  });

  function watchIncomplete(): void {
    const arrived = fresh;
    fresh = [];
    for (const stream of arrived) if (isIncomplete(stream)) watch(stream);
  }

  function watch(stream: ServerHttp2Stream): void {
    const cancel = clock.setTimer(timeoutMs, () => {
      if (isIncomplete(stream)) stream.close(constants.NGHTTP2_CANCEL);
    });
    stream.once('close', cancel);
  }
}

/** Whether the caller has not yet sent the end of its request. */
function isIncomplete(stream: ServerHttp2Stream): boolean {
  return !stream.destroyed && !stream.closed && !stream.readableEnded && !stream.endAfterHeaders;
}
