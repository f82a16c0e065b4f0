import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';

/**
 * Asks before a server takes a connection up; one that is not admitted is closed
 * without an answer. `connection` is a server's event of each TCP connection,
 * `secureConnection` that of each one whose TLS handshake is done. In front of
 * the listeners and not among them: one that runs behind has a socket to work
 * with that is gone.
 */
export function gateConnections<S extends Socket>(
  server: EventEmitter,
  event: 'connection' | 'secureConnection',
  admit: (socket: S) => boolean,
): void {
  const listeners = server.listeners(event);
  server.removeAllListeners(event);
  server.on(event, (socket: S) => {
    if (admit(socket)) for (const listener of listeners) listener.call(server, socket);
    else socket.destroy();
  });
}
