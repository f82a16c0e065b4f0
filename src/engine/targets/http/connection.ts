import { isIP, type LookupFunction, Socket } from 'node:net';
import { buildConnector, Client, type Dispatcher } from 'undici';
import type { EgressPolicy } from '../../../platform/egress-policy.ts';
import { judgedLookup, refusalOf } from '../egress.ts';

/** How connections are opened. */
export type ConnectOptions = {
  /** Which addresses may be connected to. */
  readonly egress: EgressPolicy;
  /** Resolves names, in place of the system's resolver. Not asked for a URL whose host is an address. */
  readonly lookup?: LookupFunction;
  /** Certificates (PEM) to trust in place of the ones that come with Node. */
  readonly ca?: string | readonly string[];
  /** How long a connection may take to stand, TLS included, in milliseconds. */
  readonly timeoutMs: number;
};

/** Opens the sockets of every connection; one for all, since it keeps the TLS sessions, by port where that is an own one. */
export type Connector = buildConnector.connector;

/**
 * The connector of these options: HTTP/1.1 only, and no proxy whatever the
 * environment says. It opens no socket to an address that `egress` does not
 * allow and fails with an EgressRefusal then.
 */
export function createConnector({ egress, lookup, ca, timeoutMs }: ConnectOptions): Connector {
  const connectorFor = (port: number): Connector =>
    buildConnector({
      allowH2: false,
      timeout: timeoutMs,
      lookup: judgedLookup(egress, port, lookup),
      ...(ca !== undefined && { ca: typeof ca === 'string' ? ca : [...ca] }),
    } as buildConnector.BuildOptions);
  const connect = connectorFor(0);
  const ownConnectors = new Map<number, Connector>();
  const connectorOfOwn = (port: number): Connector => {
    const connector = ownConnectors.get(port) ?? connectorFor(port);
    ownConnectors.set(port, connector);
    return connector;
  };
  return (target, callback) => {
    const { hostname, protocol } = target;
    const port = Number(target.port) || (protocol === 'https:' ? 443 : 80);
    // Of an address the socket asks no lookup. Whatever its notation was, the URL has made it plain.
    const refusal = isIP(hostname) === 0 ? undefined : refusalOf(egress, { host: hostname, port });
    // A lookup is not told the port. It matters for the few own ports only, so all others share one connector.
    if (!refusal) return (egress.isOwnPort(port) ? connectorOfOwn(port) : connect)(target, callback);
    queueMicrotask(() => callback(refusal, null));
  };
}

export type ConnectionOptions = {
  readonly connector: Connector;
  /** How long it stays open without a request, in milliseconds, unless the callee says. */
  readonly idleMs: number;
  /** The longest idle time that a callee can ask for, in milliseconds. */
  readonly maxIdleMs: number;
  /** The most bytes of names and values that response headers may have. */
  readonly maxHeaderBytes: number;
};

/**
 * One keep-alive connection, which carries one request at a time. It is an
 * undici Client without pipelining. It opens its socket with the first request
 * and again when a request finds it closed.
 */
export class Connection {
  readonly #client: Client;
  #socket: Socket | undefined;
  /** Whether an earlier request has used it: the callee may have closed it since. */
  reused = false;

  /** `onClosed` is told each time that its socket has closed. */
  constructor(origin: string, options: ConnectionOptions, onClosed: () => void) {
    const { connector, idleMs, maxIdleMs, maxHeaderBytes } = options;
    this.#client = new Client(origin, {
      connect: (target, callback) => {
        // The connector returns its socket at once, though its type does not say so. It is
        // wanted while it connects: undici does not give up a connection attempt by itself.
        const socket: unknown = connector(target, callback);
        if (socket instanceof Socket) this.#socket = socket;
      },
      keepAliveTimeout: idleMs,
      keepAliveMaxTimeout: maxIdleMs,
      maxHeaderSize: maxHeaderBytes,
      pipelining: 1,
      allowH2: false,
      useMilo: false,
      // Time is judged by the attempt, which knows more: see Exchange.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#client.on('disconnect', onClosed);
  }

  /** Sends a request; the handler is told everything else. */
  send(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(request, handler);
  }

  /** Closes the socket at once, also one that is still connecting; resolves when nothing is left of it. */
  destroy(): Promise<void> {
    const closed = this.#client.destroy();
    this.#socket?.destroy();
    return closed;
  }
}
