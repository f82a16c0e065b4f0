/**
 * One port for HTTP/1.1 and HTTP/2. With TLS the two sides agree on one of them
 * in the handshake (ALPN; a client that does not ask speaks HTTP/1.1). In plain
 * text an HTTP/2 client begins with "PRI * HTTP/2.0", and no HTTP/1 method is
 * called PRI. The HTTP/1 server listens; its own listener of connections gets
 * what is HTTP/1, the HTTP/2 server the rest.
 */
import type { Server as Http1Server } from 'node:http';
import type { Http2Server } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../platform/clock.ts';
import type { TlsMaterial } from './tls-material.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n', 'latin1');

/** What sharing needs to know. */
export type SharedPortOptions = {
  readonly http1: Http1Server;
  readonly http2: Http2Server;
  /** Told of each connection that goes to the HTTP/1 server. */
  readonly onHttp1: (socket: Socket) => void;
  /** Whom the TLS of the HTTP/1 server admits; undefined where it has none. */
  readonly tls: TlsMaterial | undefined;
  readonly clock: Clock;
  /** How long a connection may stay silent before its first bytes, in milliseconds. */
  readonly firstBytesTimeoutMs: number;
};

/** Tells the version from the first bytes; undefined while there are too few of them. */
type TellHttp2 = (seen: Buffer) => boolean | undefined;

/**
 * Sends each connection of the HTTP/1 server to the one of the two that it
 * speaks to. Returns how to close the connections that have not said anything:
 * neither server knows of them yet.
 */
export function sharePort(options: SharedPortOptions): () => void {
  const { http1, http2, onHttp1, tls, clock, firstBytesTimeoutMs } = options;
  const silent = new Set<Socket>();
  const event = tls === undefined ? 'connection' : 'secureConnection';
  const http1Listeners = http1.listeners(event);
  http1.removeAllListeners(event);
  if (tls === undefined) {
    http1.on(event, (socket: Socket) => share(socket, tellByPreface));
  } else {
    const handshaking = watchHandshakes(http1, silent);
    http1.on(event, (socket: TLSSocket) => {
      handshaking.end(socket);
      if (tls.admits(socket)) share(socket, () => socket.alpnProtocol === 'h2');
      else socket.destroy();
    });
  }
  return () => {
    for (const socket of silent) socket.destroy();
  };

  function share(socket: Socket, tell: TellHttp2): void {
    const cancelTimeout = clock.setTimer(firstBytesTimeoutMs, () => socket.destroy());
    const forget = (): void => {
      cancelTimeout();
      silent.delete(socket);
    };
    silent.add(socket);
    socket.once('close', forget);
    socket.on('error', destroy);
    peek(socket, tell, (isHttp2) => {
      forget();
      socket.off('close', forget);
      socket.off('error', destroy);
      if (isHttp2) {
        // HTTP/1 lets a caller close its side and wait for the answer. In HTTP/2
        // that is the end of the connection, and of the streams on it.
        socket.allowHalfOpen = false;
        http2.emit('connection', socket);
        return;
      }
      onHttp1(socket);
      for (const listener of http1Listeners) listener.call(http1, socket);
    });
  }
}

function tellByPreface(seen: Buffer): boolean | undefined {
  const compared = Math.min(seen.length, preface.length);
  const isHttp2 = preface.subarray(0, compared).equals(seen.subarray(0, compared));
  return isHttp2 && compared < preface.length ? undefined : isHttp2;
}

/**
 * Counts connections among the silent ones until their handshakes are done. The
 * TLS server shows two sockets for one connection, which have its two ends in common.
 */
function watchHandshakes(server: Http1Server, silent: Set<Socket>): { end(socket: TLSSocket): void } {
  const handshaking = new Map<string, Socket>();
  const endsOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;
  server.prependListener('connection', (socket: Socket) => {
    const ends = endsOf(socket);
    handshaking.set(ends, socket);
    silent.add(socket);
    socket.once('close', () => {
      silent.delete(socket);
      if (handshaking.get(ends) === socket) handshaking.delete(ends);
    });
  });
  return {
    end(socket) {
      const ends = endsOf(socket);
      const raw = handshaking.get(ends);
      if (raw !== undefined) silent.delete(raw);
      handshaking.delete(ends);
    },
  };
}

/** Reads until the protocol is known and puts back what was read. */
function peek(socket: Socket, tell: TellHttp2, decide: (isHttp2: boolean) => void): void {
  let seen = Buffer.alloc(0);
  const onReadable = (): void => {
    const chunk: Buffer | null = socket.read();
    if (chunk !== null) seen = Buffer.concat([seen, chunk]);
    const isHttp2 = seen.length > 0 ? tell(seen) : undefined;
    if (isHttp2 === undefined) return;
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
