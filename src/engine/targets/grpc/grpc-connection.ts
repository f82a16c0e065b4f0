import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Clock } from '../../../platform/clock.ts';
import { type Dialer, errorWithCode, type Place } from '../dialer.ts';

export type GrpcConnectionOptions = {
  readonly dialer: Dialer;
  readonly clock: Clock;
  /** How long it may take until the callee has said its HTTP/2 settings, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** The most calls at once. */
  readonly maxCalls: number;
};

/** The code of the error for a callee that does not speak HTTP/2 over TLS. */
export const noHttp2Code = 'ERR_HTTP2_NOT_NEGOTIATED';

const settings = {
  enablePush: false,
  // A wish, for headers and for trailers; Node refuses more than 128 of them or 64 KiB.
  maxHeaderListSize: 16_384,
};

/** What the calls of one connection may hold together, in MB: Node counts their unread windows of 64 KiB. */
const maxSessionMemoryMb = 64;

/**
 * One HTTP/2 connection to a callee, which carries the calls of many attempts.
 * It opens when it is made. Retired, it takes no new calls and goes when the
 * last one has ended.
 */
export class GrpcConnection {
  /** Resolves when calls can be made, rejects when it will never come to that. */
  readonly opened: Promise<void>;
  /** Resolves when no more calls can be begun, whoever was the reason. */
  readonly unusable: Promise<void>;
  /** Whom it connects to. */
  readonly key: string;
  /** How many attempts have it. */
  calls = 0;
  readonly #options: GrpcConnectionOptions;
  readonly #giveUp = new AbortController();
  #session: ClientHttp2Session | undefined;
  #isRetired = false;

  constructor(key: string, place: Place, options: GrpcConnectionOptions) {
    this.key = key;
    this.#options = options;
    const unusable = Promise.withResolvers<void>();
    this.unusable = unusable.promise;
    this.opened = this.#open(place, unusable.resolve);
    this.opened.catch(() => unusable.resolve());
  }

  /** Whether one more call fits. */
  get hasRoom(): boolean {
    const theirs = this.#session?.remoteSettings?.maxConcurrentStreams ?? Number.POSITIVE_INFINITY;
    return !this.#isRetired && this.calls < Math.min(this.#options.maxCalls, Math.max(theirs, 1));
  }

  /** Whether it takes no new calls. */
  get isRetired(): boolean {
    return this.#isRetired;
  }

  /** Begins a call; throws when the connection has been lost. */
  request(headers: OutgoingHttpHeaders): ClientHttp2Stream {
    if (!this.#session) throw errorWithCode('ECONNRESET');
    return this.#session.request(headers, { endStream: false });
  }

  /** Keeps new calls away. */
  retire(): void {
    this.#isRetired = true;
  }

  /** Closes the socket at once, also one that is still connecting. */
  destroy(): void {
    this.#isRetired = true;
    this.#giveUp.abort();
    this.#session?.destroy();
  }

  async #open(place: Place, onUnusable: () => void): Promise<void> {
    const { dialer, connectTimeoutMs } = this.#options;
    const { signal } = this.#giveUp;
    const socket = await dialer.dial(place, { timeoutMs: connectTimeoutMs, alpn: 'h2', signal });
    if (socket instanceof TLSSocket && socket.alpnProtocol !== 'h2') {
      socket.destroy();
      throw errorWithCode(noHttp2Code);
    }
    const session = this.#begin(socket, place);
    session.on('goaway', onUnusable);
    session.on('close', onUnusable);
    await this.#awaitSettings(session, socket);
  }

  #begin(socket: Socket, { host, port, tls }: Place): ClientHttp2Session {
    const name = host.includes(':') ? `[${host}]` : host;
    const session = connect(`${tls ? 'https' : 'http'}://${name}:${port}`, {
      createConnection: () => socket,
      settings,
      maxSessionMemory: maxSessionMemoryMb,
    });
    // Every call is told by its own stream; the session would take the process down.
    session.on('error', () => undefined);
    this.#session = session;
    if (this.#giveUp.signal.aborted) session.destroy();
    return session;
  }

  /** Until then nothing shows that there is HTTP/2 at the other end, and no request must be written. */
  #awaitSettings(session: ClientHttp2Session, socket: Socket): Promise<void> {
    const { clock, connectTimeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      // An alert of the callee behind the handshake destroys the session without a word of its own.
      socket.once('error', (error) => {
        cancelTimer();
        reject(error);
        session.destroy();
        socket.destroy();
      });
      const cancelTimer = clock.setTimer(connectTimeoutMs, () => {
        reject(errorWithCode('ETIMEDOUT'));
        session.destroy();
      });
      session.once('remoteSettings', () => {
        cancelTimer();
        resolve();
      });
      session.once('error', reject);
      session.once('close', () => {
        cancelTimer();
        reject(errorWithCode('UND_ERR_SOCKET'));
      });
    });
  }
}
