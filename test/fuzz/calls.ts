/** Well-formed calls of HTTP/2, each with an answer within its time: anything else is a fault of the server. */
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';

/** How long a call may take; the server gives unary calls half of it. */
const limitMs = 60_000;

/** What came back. */
export type Answer = {
  readonly httpStatus: number;
  /** The status of gRPC, from headers or trailers; undefined where there was none. */
  readonly grpcStatus: number | undefined;
  readonly grpcMessage: string;
  readonly body: string;
};

/** A connection to one port, opened again when the server has closed it. */
export class FuzzClient {
  readonly #address: string;
  #session: ClientHttp2Session | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  /**
   * Sends a request and waits for all of its answer.
   *
   * @throws Error when the answer does not come, or the stream is reset without one.
   */
  call(path: string, headers: Readonly<Record<string, string>>, body: Uint8Array): Promise<Answer> {
    const stream = this.#connected().request({ ':method': 'POST', ':path': path, ...headers });
    return new Promise((resolve, reject) => {
      let received: IncomingHttpHeaders = {};
      const chunks: Buffer[] = [];
      const late = setTimeout(() => {
        stream.destroy();
        reject(new Error(`${path}: no answer in ${limitMs} ms`));
      }, limitMs);
      stream.on('response', (answer) => {
        received = { ...answer };
      });
      stream.on('trailers', (trailers) => {
        received = { ...received, ...trailers };
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', () => undefined);
      stream.once('close', () => {
        clearTimeout(late);
        const httpStatus = Number(received[':status'] ?? 0);
        if (httpStatus === 0)
          return reject(new Error(`${path}: reset with ${stream.rstCode} without an answer`));
        const status = received['grpc-status'];
        resolve({
          httpStatus,
          grpcStatus: status === undefined ? undefined : Number(status),
          grpcMessage: String(received['grpc-message'] ?? ''),
          body: Buffer.concat(chunks).toString('latin1'),
        });
      });
      stream.end(body);
    });
  }

  close(): void {
    this.#session?.destroy();
  }

  #connected(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = connect(`http://${this.#address}`, { maxSessionMemory: 1_000 });
      this.#session.on('error', () => undefined);
    }
    return this.#session;
  }
}
