import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import type { Clock } from '../../../platform/clock.ts';

/** What came next of an answer: bytes, neither at its end, or how it broke off. */
export type NextOfAnswer = { readonly value?: Buffer; readonly error?: unknown };

/** One call on a connection: its request is sent, its answer is read as fast as it is asked for. */
export class GrpcCall {
  /** Resolves when nothing is left of it. */
  readonly closed: Promise<void>;
  /** Whether the callee is given time to end it. */
  isLetEnd = false;
  readonly #stream: ClientHttp2Stream;
  readonly #chunks: AsyncIterator<Buffer>;
  #headers: IncomingHttpHeaders | undefined;
  #trailers: IncomingHttpHeaders | undefined;

  constructor(stream: ClientHttp2Stream, body: Buffer) {
    this.#stream = stream;
    this.closed = new Promise((resolve) => stream.once('close', resolve));
    stream.on('response', (headers) => {
      this.#headers = headers;
    });
    stream.on('trailers', (trailers) => {
      this.#trailers = trailers;
    });
    // Whoever reads the answer is told.
    stream.on('error', () => undefined);
    // The end of reading is not the end of the call.
    this.#chunks = stream
      .iterator({ destroyOnReturn: false })
      [Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    stream.end(body);
  }

  /** The response headers, once they are here. */
  get headers(): IncomingHttpHeaders | undefined {
    return this.#headers;
  }

  /** Where the status is, once it is here: the trailers, or the headers of an answer that has nothing else. */
  get trailers(): IncomingHttpHeaders | undefined {
    return this.#trailers ?? this.#headers;
  }

  /** Whether the callee has refused the call before it looked at it, so that it may be made again. */
  get wasRefused(): boolean {
    return !this.#headers && this.#stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
  }

  /** Whether the call ended by a reset or with its connection rather than by the end of an answer. */
  get wasReset(): boolean {
    return this.#stream.aborted || (this.#stream.rstCode ?? 0) !== constants.NGHTTP2_NO_ERROR;
  }

  /** Waits for what comes next. */
  async next(): Promise<NextOfAnswer> {
    try {
      const { done, value } = await this.#chunks.next();
      return done ? {} : { value };
    } catch (error) {
      return { error };
    }
  }

  /** Ends the call at once and tells the callee. */
  cancel(): void {
    if (this.#stream.destroyed) return;
    this.#stream.close(constants.NGHTTP2_CANCEL);
    // Otherwise it would wait for somebody to read what is here of the answer.
    this.#stream.destroy();
  }

  /** Gives the callee this time to end the call, without hearing what it says; then cancels it. */
  letEnd(clock: Clock, graceMs: number): void {
    this.isLetEnd = true;
    if (this.#stream.destroyed) return;
    const cancelTimer = clock.setTimer(graceMs, () => this.cancel());
    this.#stream.once('close', cancelTimer);
    void this.#chunks.return?.();
    this.#stream.resume();
  }
}
