/**
 * What a connection may do beyond its calls, for both ports. It holds what
 * Node's own settings (connection-limits.ts) do not reach:
 *
 * | limit | number | why, and what happens beyond it |
 * | --- | --- | --- |
 * | connections of all callers, of one address | 10,000, 1,000 | file descriptors and memory; closed without an answer |
 * | first frames of HTTP/2 | 10 s | a socket that is no caller yet; closed |
 * | pings | 100 at once, 10 a second | no keepalive is below one a second; GOAWAY with ENHANCE_YOUR_CALM |
 * | settings | 100 at once, 1 a second | clients send some at the start and when they widen a window; likewise |
 * | time without a call | 15 min | proxies and clients forget connections; GOAWAY, which clients expect |
 * | age | none; an option | behind a balancer of connections, so that callers spread again; GOAWAY, then 60 s |
 * | a reader that takes nothing | 120 s | bytes that wait are memory; its stream is reset, its connection cut when it is silent |
 *
 * Clients that measure their bandwidth (grpc-go, grpc-java) ping for what they
 * receive, as fast as the way there and back allows. Such a ping comes behind
 * something that was sent; one that comes behind nothing but the answer to the
 * ping before is counted.
 *
 * The age of a connection ends its streams too, when 60 seconds have not: log
 * streams go on elsewhere by their cursors, workers keep their attempts.
 */
import type { EventEmitter } from 'node:events';
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { systemRandom } from '../platform/random.ts';
import { ConnectionCounter } from './connection-counter.ts';
import { gateConnections } from './connection-gate.ts';
import { StalledReaders } from './stalled-readers.ts';

/** What the guard of a port is made with. */
export type ConnectionGuardOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Counts connections; one for both ports. Default: one of its own, with its defaults. */
  readonly connections?: ConnectionCounter | undefined;
  /** How long an HTTP/2 connection may take until its first frames are here, in milliseconds. Default 10,000. */
  readonly firstFramesTimeoutMs?: number | undefined;
  /** How long an HTTP/2 connection may be without a call, in milliseconds. Default 900,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** How old a connection may get, in milliseconds, give or take a tenth. Default 0: any age. */
  readonly maxAgeMs?: number | undefined;
  /** How long the calls of a connection that is too old may go on, in milliseconds. Default 60,000. */
  readonly ageGraceMs?: number | undefined;
  /** How long a caller may take nothing of what waits for it, in milliseconds. Default 120,000. */
  readonly stallTimeoutMs?: number | undefined;
  /** How long such a caller has to answer a ping, or it is gone with all its calls, in milliseconds. Default 20,000. */
  readonly lifeSignTimeoutMs?: number | undefined;
};

/** How long a caller that is sent away has to hear why, in milliseconds. */
const goawayMs = 50;

/** More than the answer to a ping takes: 17 bytes, and what TLS adds. */
const pingAnswerBytes = 64;

/** Refills with time up to its size; each event takes one. */
class Budget {
  readonly #size: number;
  readonly #perMs: number;
  #left: number;
  #atMs: number;

  constructor(size: number, perSecond: number, nowMs: number) {
    this.#size = size;
    this.#perMs = perSecond / 1_000;
    this.#left = size;
    this.#atMs = nowMs;
  }

  take(nowMs: number): boolean {
    this.#left = Math.min(this.#size, this.#left + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

/** An HTTP/2 connection under guard. */
type Guarded = {
  readonly session: ServerHttp2Session;
  calls: number;
  idleSinceMs: number;
  /** When it is too old, and when its calls must be over. */
  readonly agesAtMs: number;
  endsAtMs: number | undefined;
  /** Whether it was told to be calm, which is the last that it hears. */
  isSentAway: boolean;
  /** Whether it was asked for a sign of life, and has not answered. */
  isAsked: boolean;
};

export class ConnectionGuard {
  readonly #options: ConnectionGuardOptions;
  readonly #connections: ConnectionCounter;
  readonly #stalled: StalledReaders;
  readonly #sessions = new Map<object, Guarded>();
  /** When HTTP/1 connections are too old. */
  readonly #agesAtMs = new WeakMap<Socket, number>();
  #cancelLook: () => void = () => undefined;
  #isStopped = false;

  constructor(options: ConnectionGuardOptions) {
    this.#options = options;
    this.#connections = options.connections ?? new ConnectionCounter(options);
    this.#stalled = new StalledReaders(this.#stallTimeoutMs);
  }

  /** Begins to look for connections that are idle, old or stalled. */
  start(): void {
    if (this.#isStopped) return;
    this.#cancelLook = this.#options.clock.setTimer(this.#lookEveryMs, () => {
      this.#look();
      this.start();
    });
  }

  /** Ends its own timer; what it guards is the server's to end. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelLook();
  }

  /** Counts the connections of a server that listens; the last who may change its listeners of `connection`. */
  guardConnections(server: EventEmitter): void {
    gateConnections<Socket>(server, 'connection', (socket) => this.#connections.admit(socket));
  }

  /** Guards an HTTP/1 connection until it closes. */
  guardSocket(socket: Socket): void {
    this.#agesAtMs.set(socket, this.#agesAt(this.#nowMs()));
    this.#stalled.add(socket, () => {
      this.#tell(socket.remoteAddress, 'takes nothing');
      socket.destroy();
    });
    socket.once('close', () => this.#stalled.delete(socket));
  }

  /** Whether an HTTP/1 connection is so old that its next answer is its last. */
  isTooOld(socket: Socket): boolean {
    return this.#nowMs() >= (this.#agesAtMs.get(socket) ?? Number.POSITIVE_INFINITY);
  }

  /** Guards the connections of an HTTP/2 server. */
  guardSessions(server: EventEmitter): void {
    server.on('session', (session: ServerHttp2Session) => this.#guardSession(session));
    server.on('stream', (stream: ServerHttp2Stream) => this.#guardStream(stream));
  }

  #guardSession(session: ServerHttp2Session): void {
    const { clock, firstFramesTimeoutMs = 10_000 } = this.#options;
    const nowMs = this.#nowMs();
    const agesAtMs = this.#agesAt(nowMs);
    this.#sessions.set(session, {
      session,
      calls: 0,
      idleSinceMs: nowMs,
      agesAtMs,
      endsAtMs: undefined,
      isSentAway: false,
      isAsked: false,
    });
    const cancelFirst = clock.setTimer(firstFramesTimeoutMs, () => session.destroy());
    session.once('remoteSettings', cancelFirst);
    session.once('close', () => {
      cancelFirst();
      this.#sessions.delete(session);
    });
    const settings = new Budget(100, 1, nowMs);
    session.on('remoteSettings', () => {
      if (!settings.take(this.#nowMs())) this.#calm(session, 'too many settings');
    });
    const pings = new Budget(100, 10, nowMs);
    let sentBytes = 0;
    session.on('ping', () => {
      if (session.destroyed) return;
      const { bytesWritten } = session.socket;
      const hasSent = bytesWritten - sentBytes > pingAnswerBytes;
      sentBytes = bytesWritten;
      if (!hasSent && !pings.take(this.#nowMs())) this.#calm(session, 'too many pings');
    });
  }

  #guardStream(stream: ServerHttp2Stream): void {
    const guarded = this.#sessions.get(stream.session ?? this);
    if (guarded === undefined) return;
    guarded.calls++;
    this.#stalled.add(stream, () => this.#cutStalled(guarded, stream));
    stream.once('close', () => {
      this.#stalled.delete(stream);
      if (--guarded.calls === 0) guarded.idleSinceMs = this.#nowMs();
    });
  }

  /** The rest of the connection may be alive; if it is, it answers. */
  #cutStalled(guarded: Guarded, stream: ServerHttp2Stream): void {
    const { session } = guarded;
    stream.close(constants.NGHTTP2_CANCEL);
    stream.destroy();
    if (session.destroyed || guarded.isAsked) return;
    this.#tell(session.socket.remoteAddress, 'takes nothing');
    guarded.isAsked = true;
    const { clock, lifeSignTimeoutMs = 20_000 } = this.#options;
    const cancel = clock.setTimer(lifeSignTimeoutMs, () => session.destroy());
    session.once('close', cancel);
    session.ping(() => {
      guarded.isAsked = false;
      cancel();
    });
  }

  /** Ends a connection that costs more than it is worth, and says so to the caller. */
  #calm(session: ServerHttp2Session, why: string): void {
    const guarded = this.#sessions.get(session);
    if (guarded === undefined || guarded.isSentAway || session.destroyed) return;
    guarded.isSentAway = true;
    this.#tell(session.socket.remoteAddress, why);
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    // TLS has not sent it yet.
    session.once(
      'close',
      this.#options.clock.setTimer(goawayMs, () => session.destroy()),
    );
  }

  #look(): void {
    const { idleTimeoutMs = 900_000, ageGraceMs = 60_000 } = this.#options;
    const nowMs = this.#nowMs();
    this.#stalled.look(nowMs);
    for (const guarded of this.#sessions.values()) {
      const { session, calls, idleSinceMs, agesAtMs, endsAtMs } = guarded;
      if (endsAtMs !== undefined) {
        if (nowMs >= endsAtMs) session.destroy();
      } else if (nowMs >= agesAtMs) {
        guarded.endsAtMs = nowMs + ageGraceMs;
        session.close();
      } else if (calls === 0 && nowMs - idleSinceMs >= idleTimeoutMs) {
        guarded.endsAtMs = nowMs + ageGraceMs;
        session.close();
      }
    }
  }

  #tell(remoteAddress: string | undefined, why: string): void {
    this.#options.logger.info({ remoteAddress, why }, 'connection or stream ended');
  }

  #agesAt(nowMs: number): number {
    const { maxAgeMs = 0 } = this.#options;
    // Spread, so that callers who came together do not come back together.
    return maxAgeMs === 0 ? Number.POSITIVE_INFINITY : nowMs + maxAgeMs * (0.9 + 0.2 * systemRandom());
  }

  get #stallTimeoutMs(): number {
    return this.#options.stallTimeoutMs ?? 120_000;
  }

  /** A quarter of the shortest limit: that much later than stated a limit may strike. */
  get #lookEveryMs(): number {
    const { idleTimeoutMs = 900_000, maxAgeMs = 0 } = this.#options;
    const limits = [idleTimeoutMs, this.#stallTimeoutMs, ...(maxAgeMs === 0 ? [] : [maxAgeMs])];
    return Math.min(...limits) / 4;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}
