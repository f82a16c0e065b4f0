/** HTTP/2 frame by frame, as no library sends it: for what callers do who mean harm. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** A frame as it came. */
export type Frame = {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
};

export const frameTypes = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flags = { endStream: 1, ack: 1, endHeaders: 4 } as const;

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** The bytes of a frame; the length may be another than the payload's. */
export function frameOf(
  type: number,
  flagBits: number,
  streamId: number,
  payload: Buffer = Buffer.alloc(0),
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flagBits, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** A header block without compression, each pair as a literal that is not indexed. */
export function headerBlock(pairs: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    pairs.flatMap(([name, value]) => [Buffer.from([0]), hpackText(name), hpackText(value)]),
  );
}

function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** The headers of a gRPC call. */
export function grpcHeaders(
  path: string,
  more: readonly (readonly [string, string])[] = [],
): readonly (readonly [string, string])[] {
  return [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', 'a'],
    [':path', path],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ];
}

/** A gRPC message as it stands in DATA frames. */
export function grpcMessage(bytes: Uint8Array, isCompressed = false): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(isCompressed ? 1 : 0, 0);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** A connection that is spoken to in frames. */
export class RawHttp2 {
  readonly socket: Socket;
  /** Everything that came, in order. */
  readonly frames: Frame[] = [];
  /** Settles when the connection is closed. */
  readonly closed: Promise<void>;
  #rest = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  /** Connects, with TLS where authorities are given, and sends the preface with these settings. */
  static async open(
    address: string,
    {
      ca,
      settings = {},
    }: { readonly ca?: string | undefined; readonly settings?: Readonly<Record<number, number>> } = {},
  ): Promise<RawHttp2> {
    const [host, port] = address.split(':');
    const where = { host, port: Number(port) };
    const socket = ca === undefined ? connect(where) : connectTls({ ...where, ca, ALPNProtocols: ['h2'] });
    const raw = new RawHttp2(socket);
    await once(socket, ca === undefined ? 'connect' : 'secureConnect');
    raw.send(Buffer.from(preface), frameOf(frameTypes.settings, 0, 0, settingsOf(settings)));
    return raw;
  }

  /** Sends bytes; what the other side does not take any more is dropped. */
  send(...bytes: readonly Buffer[]): void {
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(Buffer.concat(bytes));
  }

  /** Opens a stream with headers, in as many frames as they need. */
  headers(streamId: number, pairs: readonly (readonly [string, string])[], end = false): void {
    const block = headerBlock(pairs);
    const parts = [];
    for (let at = 0; at === 0 || at < block.length; at += 16_384) parts.push(block.subarray(at, at + 16_384));
    for (const [i, part] of parts.entries()) {
      const last = i === parts.length - 1 ? flags.endHeaders : 0;
      const ending = i === 0 && end ? flags.endStream : 0;
      this.send(
        frameOf(i === 0 ? frameTypes.headers : frameTypes.continuation, last | ending, streamId, part),
      );
    }
  }

  data(streamId: number, bytes: Buffer, end = true): void {
    this.send(frameOf(frameTypes.data, end ? flags.endStream : 0, streamId, bytes));
  }

  /** Acknowledges the server's settings, as clients do. */
  acknowledge(): void {
    this.send(frameOf(frameTypes.settings, flags.ack, 0));
  }

  /** The frames of a type that have come. */
  framesOf(type: number): readonly Frame[] {
    return this.frames.filter((frame) => frame.type === type);
  }

  /** The error code of the first GOAWAY; undefined until it comes. */
  get goawayCode(): number | undefined {
    return this.framesOf(frameTypes.goaway)[0]?.payload.readUInt32BE(4);
  }

  /** With which code the server has reset a stream; undefined while it has not. */
  resetCode(streamId: number): number | undefined {
    const frame = this.framesOf(frameTypes.rstStream).find((reset) => reset.streamId === streamId);
    return frame?.payload.readUInt32BE(0);
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < 9 + length) return;
      const [type = 0, flagBits = 0] = this.#rest.subarray(3, 5);
      const streamId = this.#rest.readUInt32BE(5) & 0x7f_ff_ff_ff;
      this.frames.push({ type, flags: flagBits, streamId, payload: this.#rest.subarray(9, 9 + length) });
      this.#rest = this.#rest.subarray(9 + length);
    }
  }
}

function settingsOf(settings: Readonly<Record<number, number>>): Buffer {
  return Buffer.concat(
    Object.entries(settings).map(([id, value]) => {
      const entry = Buffer.alloc(6);
      entry.writeUInt16BE(Number(id), 0);
      entry.writeUInt32BE(value, 2);
      return entry;
    }),
  );
}
