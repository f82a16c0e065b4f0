/**
 * One plain-text port for HTTP/1.1 and HTTP/2 with prior knowledge: an HTTP/2
 * client begins with "PRI * HTTP/2.0", and no HTTP/1 method is called PRI.
 * The HTTP/1 server listens; its own `connection` listener gets what is
 * HTTP/1, the HTTP/2 server the rest.
 */
import type { Server as Http1Server } from 'node:http';
import type { Http2Server } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock } from '../platform/clock.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n', 'latin1');

/** What sharing needs to know. */
export type SharedPortOptions = {
  readonly http1: Http1Server;
  readonly http2: Http2Server;
  readonly clock: Clock;
  /** How long a connection may stay silent before its first bytes, in milliseconds. */
  readonly firstBytesTimeoutMs: number;
};

/**
 * Sends each connection of the HTTP/1 server to the one of the two that it
 * speaks to. Returns how to close the connections that have not said anything:
 * neither server knows of them yet.
 */
export function sharePort(options: SharedPortOptions): () => void {
  const { http1, http2, clock, firstBytesTimeoutMs } = options;
  const silent = new Set<Socket>();
  const http1Listeners = http1.listeners('connection');
  http1.removeAllListeners('connection');
  http1.on('connection', (socket: Socket) => {
    const cancelTimeout = clock.setTimer(firstBytesTimeoutMs, () => socket.destroy());
    const forget = (): void => {
      cancelTimeout();
      silent.delete(socket);
    };
    silent.add(socket);
    socket.once('close', forget);
    socket.on('error', destroy);
    peek(socket, (isHttp2) => {
      forget();
      socket.off('close', forget);
      socket.off('error', destroy);
      if (isHttp2) {
        // HTTP/1 lets a caller close its side and wait for the answer. In HTTP/2
        // that is the end of the connection, and of the streams on it.
        socket.allowHalfOpen = false;
        http2.emit('connection', socket);
      } else for (const listener of http1Listeners) listener.call(http1, socket);
    });
  });
  return () => {
    for (const socket of silent) socket.destroy();
  };
}

/** Reads until the protocol is known and puts back what was read. */
function peek(socket: Socket, decide: (isHttp2: boolean) => void): void {
  let seen = Buffer.alloc(0);
  const onReadable = (): void => {
    const chunk: Buffer | null = socket.read();
    if (chunk !== null) seen = Buffer.concat([seen, chunk]);
    const compared = Math.min(seen.length, preface.length);
    const isHttp2 = preface.subarray(0, compared).equals(seen.subarray(0, compared));
    if (isHttp2 && compared < preface.length) return;
    socket.off('readable', onReadable);
    socket.off('end', destroy);
    socket.unshift(seen);
    decide(isHttp2);
  };
  socket.on('readable', onReadable);
  socket.on('end', destroy);
}

/** Lets go of a connection that ends or breaks before it has said anything. */
function destroy(this: Socket): void {
  this.destroy();
}
