/**
 * The HTTP port: Connect, gRPC-Web and gRPC through connect-node, JSON for
 * curl, and the pages for probes, in HTTP/1.1 and HTTP/2, with or without TLS.
 *
 * Stopping: `/readyz` turns red, new calls are refused and streams are ended
 * with UNAVAILABLE and RetryInfo, idle connections are closed; unary calls under
 * way, and streams whose handlers asked to be told, may finish until the grace
 * time is over and then get the same answer; connections that are still there
 * are cut off.
 */

import { once } from 'node:events';
import { createServer as createHttp1Server, type Server as Http1Server, type ServerOptions } from 'node:http';
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Session } from 'node:http2';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Service as Part } from '../platform/service.ts';
import { formatAddress, type HostAndPort, parseAddress, placeOf } from './address.ts';
import type { Interceptor } from './call.ts';
import { createConnectRoutes } from './connect-routes.ts';
import { ConnectionGuard, type ConnectionGuardOptions } from './connection-guard.ts';
import { http2Limits, maxHeaderBytes } from './connection-limits.ts';
import { createCors } from './http-cors.ts';
import { refuseForeignHosts } from './http-hosts.ts';
import { aboutPage, createProbes, notFoundPage, sendJson } from './http-pages.ts';
import { LiveCalls } from './live-calls.ts';
import type { HttpRequest, HttpResponse, Mount, ServerState } from './mount.ts';
import { serverIsStopping } from './serve.ts';
import { requestStreamPaths, type Service } from './services/service.ts';
import { sharePort } from './shared-port.ts';
import { closeSlowRequests, closeUnreadRequest } from './slow-requests.ts';
import type { TlsMaterial } from './tls-material.ts';

/** What the HTTP server is made with. */
export type HttpServerOptions = {
  /** Where to listen, host:port; port 0 takes a free one. */
  readonly address: string;
  readonly services: readonly Service[];
  readonly chain: readonly Interceptor[];
  /** Resolves while the instance can serve; for `/readyz`. */
  readonly ready: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What connections may do beyond their requests. */
  readonly guard?: Omit<ConnectionGuardOptions, 'clock' | 'logger'> | undefined;
  /** Its certificate, which has to be started before the server. Default none: plain text. */
  readonly tls?: TlsMaterial | undefined;
  /**
   * What else the port serves, asked in order behind the probes and before the
   * RPCs; a function makes those that call handlers. Default none.
   */
  readonly mounts?: readonly Mount[] | ((server: ServerState) => readonly Mount[]);
  /** The host names by which it may be addressed, beside addresses and localhost. Default any: see http-hosts.ts. */
  readonly hosts?: readonly string[] | undefined;
  /** Origins whose scripts may call, such as `https://ops.example.com`. Default none. */
  readonly corsOrigins?: readonly string[];
  /** The largest request, in bytes. Default 4 MiB; the fields' own bounds add up to about that. */
  readonly maxReceiveBytes?: number;
  /** How long the headers of a request may take to arrive, in milliseconds. Default 10,000. */
  readonly headersTimeoutMs?: number;
  /** How long a whole request may take to arrive, in milliseconds. Default 30,000. */
  readonly requestTimeoutMs?: number;
  /** How long an idle HTTP/1 connection is kept, in milliseconds. Default 65,000: longer than the usual proxy keeps it. */
  readonly idleTimeoutMs?: number;
  /** How long stopping waits for requests under way, in milliseconds. Default 10,000. */
  readonly stopGraceMs?: number;
};

/** How often stopping looks for connections that have become idle, in milliseconds. */
const idleLookMs = 50;

/** How long callers have to take their last answers before their connections are cut off, in milliseconds. */
const cutOffMs = 500;

/** Serves HTTP. */
export class HttpServer implements Part {
  readonly #options: HttpServerOptions;
  readonly #live = new LiveCalls();
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #handlers: readonly Mount[];
  readonly #http1: Http1Server;
  readonly #http2: Http2Server;
  readonly #guard: ConnectionGuard;
  readonly #closeSilent: () => void;
  #isStopping = false;
  #address: string | undefined;
  #starting: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    const { clock, logger, tls, headersTimeoutMs = 10_000 } = options;
    this.#guard = new ConnectionGuard({
      firstFramesTimeoutMs: headersTimeoutMs,
      ...options.guard,
      clock,
      logger,
    });
    this.#handlers = this.#createHandlers();
    this.#http1 = this.#createHttp1();
    this.#http2 = this.#createHttp2();
    this.#closeSilent = sharePort({
      http1: this.#http1,
      http2: this.#http2,
      onHttp1: (socket) => this.#guard.guardSocket(socket),
      tls,
      clock,
      firstBytesTimeoutMs: headersTimeoutMs,
    });
    this.#http1.prependListener('connection', (socket: Socket) => this.#keep(socket));
    this.#guard.guardConnections(this.#http1);
    this.#guard.guardSessions(this.#http2);
  }

  /** Where it listens, with the port that it got. Throws before `start` has resolved. */
  get address(): string {
    if (this.#address === undefined) throw new Error('the HTTP server does not listen yet');
    return this.#address;
  }

  /** The address and port that it is bound to. */
  get places(): readonly HostAndPort[] {
    return placeOf(this.#http1);
  }

  start(): Promise<void> {
    if (!this.#isStopping) this.#starting ??= this.#listen();
    return this.#starting ?? Promise.resolve();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#shutDown();
    return this.#stopped;
  }

  #createHandlers(): readonly Mount[] {
    const { services, chain, ready, clock, logger, mounts = [], corsOrigins = [], hosts } = this.#options;
    const { maxReceiveBytes = 4 * 1_024 * 1_024 } = this.#options;
    const live = this.#live;
    const isStopping = (): boolean => this.#isStopping;
    return [
      ...(hosts ? [refuseForeignHosts(hosts)] : []),
      createCors(corsOrigins),
      createProbes({ ready, clock, logger, isStopping }),
      ...(typeof mounts === 'function' ? mounts({ live, isStopping }) : mounts),
      createConnectRoutes({ services, chain, clock, logger, live, maxReceiveBytes, isStopping }),
      aboutPage,
      notFoundPage,
    ];
  }

  #createHttp1(): Http1Server {
    const { clock, tls, idleTimeoutMs = 65_000 } = this.#options;
    const { headersTimeoutMs = 10_000, requestTimeoutMs = 30_000 } = this.#options;
    const options: ServerOptions = {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: idleTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      // TCP's own, so that watchers whose machine is gone are noticed.
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs),
    };
    const server = tls ? createTlsServer(tls, options) : createHttp1Server(options);
    server.on('request', (request, response) => {
      closeUnreadRequest(request, response, clock);
      if (this.#isStopping || this.#guard.isTooOld(request.socket)) response.setHeader('connection', 'close');
      this.#handle(request, response);
    });
    return server;
  }

  #createHttp2(): Http2Server {
    const { services, clock, requestTimeoutMs = 30_000 } = this.#options;
    const streamPaths = requestStreamPaths(services);
    const server = createHttp2Server(http2Limits);
    server.on('request', (request, response) =>
      this.#handle(request as unknown as HttpRequest, response as unknown as HttpResponse),
    );
    server.on('session', (session) => {
      this.#sessions.add(session);
      session.once('close', () => this.#sessions.delete(session));
      if (this.#isStopping) session.close();
    });
    closeSlowRequests(server, {
      clock,
      timeoutMs: requestTimeoutMs,
      streamsRequests: (path) => streamPaths.has(path.split('?', 1)[0] ?? ''),
    });
    return server;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  #handle(request: HttpRequest, response: HttpResponse): void {
    try {
      this.#handlers.some((handle) => handle(request, response));
    } catch (error) {
      this.#options.logger.error({ url: request.url, error }, 'request failed');
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { code: 'internal', message: 'internal error' });
    }
  }

  async #listen(): Promise<void> {
    const { address, logger, tls } = this.#options;
    const { host, port } = parseAddress(address);
    if (tls) (this.#http1 as HttpsServer).setSecureContext(tls.context);
    this.#http1.listen({ host, port });
    this.#guard.start();
    try {
      await once(this.#http1, 'listening');
    } catch (error) {
      throw new Error(`cannot listen on ${address}`, { cause: error });
    }
    this.#http1.on('error', (error) => logger.error({ error }, 'http server failed'));
    this.#address = formatAddress({ host, port: (this.#http1.address() as AddressInfo).port });
  }

  async #shutDown(): Promise<void> {
    const { clock, stopGraceMs = 10_000 } = this.#options;
    this.#isStopping = true;
    this.#live.stopStreams(serverIsStopping);
    await this.#starting?.catch(() => undefined);
    if (!this.#http1.listening) return this.#guard.stop();
    const done = new AbortController();
    const closed = once(this.#http1, 'close').then(() => done.abort());
    this.#http1.close();
    this.#closeSilent();
    for (const session of this.#sessions) session.close();
    const cancelEnd = clock.setTimer(stopGraceMs, () => this.#live.endAll(serverIsStopping));
    const cancelCut = clock.setTimer(stopGraceMs + cutOffMs, () => {
      for (const socket of this.#sockets) socket.destroy();
    });
    while (!done.signal.aborted) {
      this.#http1.closeIdleConnections();
      await clock.sleep(idleLookMs, done.signal);
    }
    cancelEnd();
    cancelCut();
    await closed;
    this.#guard.stop();
  }
}

/** Speaks both versions by ALPN. It gets its certificate before it listens, and each one after that. */
function createTlsServer(tls: TlsMaterial, options: ServerOptions): HttpsServer {
  const server = createHttpsServer({
    ...options,
    ...tls.serverOptions,
    ALPNProtocols: ['h2', 'http/1.1'],
  });
  tls.onChange((context) => server.setSecureContext(context));
  return server;
}
