/**
 * The native gRPC port. grpc-js calls the handlers directly, because going
 * through connect-node costs two thirds of the rate (bench/unary-overhead.ts).
 *
 * Stopping: new calls are refused and streams are ended, both with UNAVAILABLE
 * and RetryInfo; unary calls under way, and streams whose handlers asked to be
 * told, may finish until the grace time is over and then get the same answer;
 * connections that are still there are cut off.
 */
import type { Http2Session } from 'node:http2';
import type { Server as NetServer } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type ChannelOptions, Server, ServerCredentials } from '@grpc/grpc-js';
import { Health } from '../../gen/grpc/health/v1/health_pb.js';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Service as Part } from '../platform/service.ts';
import { formatAddress, type HostAndPort, parseAddress, placeOf } from './address.ts';
import type { Interceptor } from './call.ts';
import { gateConnections } from './connection-gate.ts';
import { ConnectionGuard, type ConnectionGuardOptions } from './connection-guard.ts';
import { http2Limits } from './connection-limits.ts';
import { GrpcTlsCredentials } from './grpc-credentials.ts';
import { decodeForChain, definitionOf, implementationOf } from './grpc-definitions.ts';
import { GrpcHealth } from './grpc-health.ts';
import { decodeReflection, reflectionOf, reflectionServices } from './grpc-reflection.ts';
import { describeUnknownMethods } from './grpc-unknown-methods.ts';
import { LiveCalls } from './live-calls.ts';
import { serverIsStopping } from './serve.ts';
import { requestStreamPaths, type Service } from './services/service.ts';
import { closeSlowRequests } from './slow-requests.ts';
import type { TlsMaterial } from './tls-material.ts';

/** What the gRPC server is made with. */
export type GrpcServerOptions = {
  /** Where to listen, host:port; port 0 takes a free one. */
  readonly address: string;
  readonly services: readonly Service[];
  readonly chain: readonly Interceptor[];
  /** Resolves while the instance can serve; for health checks. */
  readonly ready: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What connections may do beyond their calls. */
  readonly guard?: Omit<ConnectionGuardOptions, 'clock' | 'logger'> | undefined;
  /** Its certificate, which has to be started before the server. Default none: plain text. */
  readonly tls?: TlsMaterial | undefined;
  /** Whether tools may ask for the protos. Default true. */
  readonly reflection?: boolean;
  /** The largest message that is taken, in bytes. Default 4 MiB; the fields' own bounds add up to about that. */
  readonly maxReceiveBytes?: number;
  /** How long a request may take to arrive, in milliseconds. Default 30,000. */
  readonly requestTimeoutMs?: number;
  /** After how long without traffic a connection is pinged, in milliseconds. Default 30,000. */
  readonly keepaliveMs?: number;
  /** How long stopping waits for calls under way, in milliseconds. Default 10,000. */
  readonly stopGraceMs?: number;
};

/** How long callers have to take their last answers before their connections are cut off, in milliseconds. */
const cutOffMs = 500;

/** Serves gRPC with health checks and reflection. */
export class GrpcServer implements Part {
  readonly #options: GrpcServerOptions;
  readonly #live = new LiveCalls();
  readonly #server: Server;
  readonly #guard: ConnectionGuard;
  #isStopping = false;
  #address: string | undefined;
  #starting: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#server = new Server(channelOptions(options));
    Object.assign(insideOf(this.#server).commonServerOptions, http2Limits);
    this.#guard = new ConnectionGuard({ ...options.guard, clock: options.clock, logger: options.logger });
    this.#addServices();
  }

  /** Where it listens, with the port that it got. Throws before `start` has resolved. */
  get address(): string {
    if (this.#address === undefined) throw new Error('the gRPC server does not listen yet');
    return this.#address;
  }

  /** The addresses and ports that it is bound to. */
  get places(): readonly HostAndPort[] {
    return [...insideOf(this.#server).http2Servers.keys()].flatMap((server) => placeOf(server));
  }

  start(): Promise<void> {
    if (!this.#isStopping) this.#starting ??= this.#listen();
    return this.#starting ?? Promise.resolve();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#shutDown();
    return this.#stopped;
  }

  #addServices(): void {
    const { services, ready, clock, chain, reflection = true } = this.#options;
    const live = this.#live;
    const isStopping = (): boolean => this.#isStopping;
    for (const service of services) {
      this.#server.addService(
        definitionOf(service.desc, decodeForChain),
        implementationOf(service, { chain, clock, live, isStopping }),
      );
    }
    const serviceNames = services.map((service) => service.desc.typeName);
    const health = new GrpcHealth({ ready, serviceNames, clock, live, isStopping });
    this.#server.addService(definitionOf(Health, decodeForChain), health.implementation);
    describeUnknownMethods(this.#server);
    if (!reflection) return;
    const all = [...services.map((service) => service.desc), Health, ...reflectionServices];
    for (const desc of reflectionServices) {
      this.#server.addService(definitionOf(desc, decodeReflection), reflectionOf(all, live));
    }
  }

  async #listen(): Promise<void> {
    const { address, services, clock, tls, requestTimeoutMs = 30_000 } = this.#options;
    const streamPaths = requestStreamPaths(services);
    const { host } = parseAddress(address);
    const credentials = tls ? new GrpcTlsCredentials(tls) : ServerCredentials.createInsecure();
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, bound) => {
        if (error === null) resolve(bound);
        else reject(new Error(`cannot listen on ${address}`, { cause: error }));
      });
    });
    this.#address = formatAddress({ host, port });
    this.#guard.start();
    for (const server of insideOf(this.#server).http2Servers.keys()) {
      this.#guard.guardConnections(server);
      this.#guard.guardSessions(server);
      if (tls) gateConnections<TLSSocket>(server, 'secureConnection', (socket) => tls.admits(socket));
      closeSlowRequests(server, {
        clock,
        timeoutMs: requestTimeoutMs,
        streamsRequests: (path) => streamPaths.has(path) || path.startsWith('/grpc.reflection.'),
      });
    }
  }

  async #shutDown(): Promise<void> {
    const { clock, stopGraceMs = 10_000 } = this.#options;
    this.#isStopping = true;
    this.#live.stopStreams(serverIsStopping);
    await this.#starting?.catch(() => undefined);
    const cancelEnd = clock.setTimer(stopGraceMs, () => this.#live.endAll(serverIsStopping));
    // `drain` is what cuts off connections after the grace time, and must come
    // first: it waits for sessions to close that `tryShutdown` has already
    // marked as closed. `forceShutdown` then forgets the server; by itself it
    // does not reach connections while channelz is off.
    if (this.#address !== undefined) this.#server.drain(this.#address, stopGraceMs + cutOffMs);
    // grpc-js waits for ever for a session that a client is closing at this very
    // moment: once no call is under way, connections get a moment and no more.
    const noCalls = this.#live.idle().then(() => clock.sleep(lingerMs));
    await Promise.race([noCalls, new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()))]);
    cancelEnd();
    for (const { sessions } of insideOf(this.#server).http2Servers.values()) {
      for (const session of sessions) session.destroy();
    }
    this.#server.forceShutdown();
    this.#guard.stop();
  }
}

/** How long stopping waits for connections without calls to close, in milliseconds. */
const lingerMs = 250;

function channelOptions(options: GrpcServerOptions): ChannelOptions {
  return {
    'grpc.max_receive_message_length': options.maxReceiveBytes ?? 4 * 1_024 * 1_024,
    'grpc.keepalive_time_ms': options.keepaliveMs ?? 30_000,
    'grpc.keepalive_timeout_ms': 20_000,
    // Nobody reads it, and it costs counters on every call.
    'grpc.enable_channelz': 0,
  };
}

/** What grpc-js keeps to itself. */
type Inside = {
  /** What each HTTP/2 server is made with; there are options for three of its settings only. */
  readonly commonServerOptions: object;
  /** The HTTP/2 servers with their sessions. */
  readonly http2Servers: ReadonlyMap<NetServer, { readonly sessions: ReadonlySet<Http2Session> }>;
};

/** The private members of grpc-js's server; tests of limits, slow requests and stopping hold them. */
function insideOf(server: Server): Inside {
  return server as unknown as Inside;
}
