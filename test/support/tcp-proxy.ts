/**
 * A TCP proxy whose link can be broken while the test runs: between an instance
 * and its database, a worker and the service, a client and the API.
 *
 *   mode       | open connections                  | new connections
 *   -----------+-----------------------------------+------------------------------------
 *   pass       | forwarded                         | forwarded
 *   cut        | reset on both sides               | reset as soon as they are accepted
 *   halt       | nothing is read from either side  | accepted, nothing is read
 *   blackhole  | forwarded                         | accepted and read, never answered
 *   delay      | forwarded ms ± jitterMs later, in order, each way
 *   throttle   | forwarded at so many bytes a second, each way
 *   one-way    | client → server is forwarded, server → client is dropped
 *
 * A switch takes effect at once for what arrives from then on; what waits for
 * its delay still goes out. A halted connection goes on where it stood when the
 * mode changes; what one-way or blackhole swallowed is gone, so such a
 * connection is only good for being reset.
 *
 * Reply lost after commit: `onClientData` sees each chunk before it is
 * forwarded, so a callback that finds COMMIT in it and calls
 * `connection.setMode({ kind: 'one-way' })` lets the commit through and drops
 * its answer; `onServerData` then tells that the answer has come (the commit
 * has happened), the moment to call `connection.reset()`.
 */
import { createConnection, createServer, type Server, type Socket } from 'node:net';

/** What the proxy does with bytes and new connections; see the table above. */
export type ProxyMode =
  | { readonly kind: 'pass' | 'cut' | 'halt' | 'blackhole' | 'one-way' }
  | { readonly kind: 'delay'; readonly ms: number; readonly jitterMs?: number }
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number };

/** Sees a chunk before it is forwarded or dropped. */
export type DataListener = (data: Buffer, connection: ProxiedConnection) => void;

/** One client's connection through the proxy. */
export type ProxiedConnection = {
  /** Counts from 1 in the order of acceptance. */
  readonly id: number;
  /** Switches this connection only; the proxy's next switch counts for it again. */
  setMode(mode: ProxyMode): void;
  /** Resets both sides. */
  reset(): void;
};

/** The port that the proxy forwards to. */
export type TcpProxyOptions = {
  readonly port: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
};

/** A running proxy. */
export class TcpProxy {
  readonly #server: Server;
  readonly #upstream: { readonly host: string; readonly port: number };
  readonly #links = new Set<Link>();
  readonly #clientListeners = new Set<DataListener>();
  readonly #serverListeners = new Set<DataListener>();
  #mode: ProxyMode = { kind: 'pass' };
  #accepted = 0;

  private constructor(options: TcpProxyOptions) {
    this.#upstream = { host: options.host ?? '127.0.0.1', port: options.port };
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) =>
      this.#accept(client),
    );
  }

  /** Starts a proxy in front of a port; it listens on a free port of 127.0.0.1. */
  static async start(options: TcpProxyOptions): Promise<TcpProxy> {
    const proxy = new TcpProxy(options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  /** The port that clients connect to. */
  get port(): number {
    const address = this.#server.address();
    if (typeof address !== 'object' || !address) throw new Error('the proxy is closed');
    return address.port;
  }

  /** The connections that are open now, oldest first. */
  get connections(): readonly ProxiedConnection[] {
    return [...this.#links];
  }

  /** The same URL, through the proxy. */
  through(url: string): string {
    const changed = new URL(url);
    changed.hostname = '127.0.0.1';
    changed.port = String(this.port);
    return changed.href;
  }

  /** Switches all connections, present and coming. */
  setMode(mode: ProxyMode): void {
    this.#mode = mode;
    for (const link of [...this.#links]) {
      if (mode.kind === 'blackhole') link.setMode({ kind: 'pass' });
      else link.setMode(mode);
    }
  }

  /** Calls back with what clients send, before it is forwarded. Returns how to call it off. */
  onClientData(listener: DataListener): () => void {
    this.#clientListeners.add(listener);
    return () => this.#clientListeners.delete(listener);
  }

  /** Calls back with what the server sends, before it is forwarded or dropped. Returns how to call it off. */
  onServerData(listener: DataListener): () => void {
    this.#serverListeners.add(listener);
    return () => this.#serverListeners.delete(listener);
  }

  /** Resets all connections and listens no more. */
  async close(): Promise<void> {
    for (const link of [...this.#links]) link.reset();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket): void {
    const link = new Link(++this.#accepted, client, {
      connect: () => createConnection({ ...this.#upstream, allowHalfOpen: true }),
      onClientData: (data) => this.#tell(this.#clientListeners, data, link),
      onServerData: (data) => this.#tell(this.#serverListeners, data, link),
      onClosed: () => this.#links.delete(link),
    });
    this.#links.add(link);
    link.setMode(this.#mode);
  }

  #tell(listeners: ReadonlySet<DataListener>, data: Buffer, link: Link): void {
    for (const listener of [...listeners]) listener(data, link);
  }
}

type LinkOptions = {
  readonly connect: () => Socket;
  readonly onClientData: (data: Buffer) => void;
  readonly onServerData: (data: Buffer) => void;
  readonly onClosed: () => void;
};

/** Both sockets of one connection. The one to the server is opened when the mode first lets it. */
class Link implements ProxiedConnection {
  readonly id: number;
  readonly #client: Socket;
  readonly #options: LinkOptions;
  #server: Socket | undefined;
  #mode: ProxyMode = { kind: 'halt' };

  constructor(id: number, client: Socket, options: LinkOptions) {
    this.id = id;
    this.#client = client;
    this.#options = options;
    this.#watch(client);
  }

  setMode(mode: ProxyMode): void {
    this.#mode = mode;
    if (mode.kind === 'cut') {
      this.reset();
      return;
    }
    if (mode.kind === 'halt') {
      this.#client.pause();
      this.#server?.pause();
      return;
    }
    if (mode.kind === 'blackhole' && !this.#server) {
      // Without a listener that forwards, what is read is gone.
      this.#client.resume();
      return;
    }
    if (!this.#server) this.#open();
    this.#client.resume();
    this.#server?.resume();
  }

  reset(): void {
    this.#client.resetAndDestroy();
    this.#server?.resetAndDestroy();
    this.#options.onClosed();
  }

  #open(): void {
    const { connect, onClientData, onServerData } = this.#options;
    const client = this.#client;
    const server = connect();
    this.#server = server;
    this.#watch(server);
    const up = new Pipe(client, server, () => this.#mode);
    const down = new Pipe(server, client, () => this.#mode);
    client.on('data', (data: Buffer) => {
      onClientData(data);
      up.write(data);
    });
    client.on('end', () => up.end());
    server.on('data', (data: Buffer) => {
      onServerData(data);
      if (this.#mode.kind !== 'one-way') down.write(data);
    });
    server.on('end', () => {
      if (this.#mode.kind !== 'one-way') down.end();
    });
  }

  #watch(socket: Socket): void {
    // A side that breaks breaks the other one too, as a dead peer would.
    socket.on('error', () => this.reset());
    socket.on('close', () => {
      if (this.#client.destroyed && (this.#server?.destroyed ?? true)) this.#options.onClosed();
    });
    socket.setNoDelay(true);
  }
}

/** One direction: a queue in order, each chunk with the earliest moment at which it goes out. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #mode: () => ProxyMode;
  readonly #queue: { readonly at: number; readonly send: () => void }[] = [];

  constructor(from: Socket, to: Socket, mode: () => ProxyMode) {
    this.#from = from;
    this.#to = to;
    this.#mode = mode;
    to.on('drain', () => {
      if (mode().kind !== 'halt') from.resume();
    });
  }

  write(data: Buffer): void {
    this.#schedule(data.length, () => {
      if (!this.#to.destroyed && !this.#to.write(data)) this.#from.pause();
    });
  }

  end(): void {
    this.#schedule(0, () => this.#to.end());
  }

  #schedule(bytes: number, send: () => void): void {
    const now = performance.now();
    const mode = this.#mode();
    const last = this.#queue.at(-1)?.at ?? now;
    let at = now;
    if (mode.kind === 'delay') at = now + mode.ms + (Math.random() * 2 - 1) * (mode.jitterMs ?? 0);
    if (mode.kind === 'throttle') at = last + (bytes / mode.bytesPerSecond) * 1_000;
    this.#queue.push({ at: Math.max(at, last), send });
    if (this.#queue.length === 1) this.#sendDue();
  }

  /** Sends what is due; one timer for the head of the queue, since timers of different lengths may swap places. */
  #sendDue(): void {
    for (let head = this.#queue[0]; head; head = this.#queue[0]) {
      const waitMs = head.at - performance.now();
      if (waitMs > 0) {
        setTimeout(() => this.#sendDue(), waitMs);
        return;
      }
      this.#queue.shift();
      head.send();
    }
  }
}
