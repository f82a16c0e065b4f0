import { prefixBytes } from './run-request.ts';

/** Why a stream of messages cannot be read on. */
export type MessageFault = 'too long' | 'compressed';

const noBytes: Buffer = Buffer.alloc(0);

/**
 * Cuts the bytes of an answer into gRPC messages. Chunks may break anywhere. It
 * keeps at most one message, whose memory grows with what has come of it, not
 * with what its prefix announces; one that is announced beyond the bound or
 * compressed is a fault at once, and nothing is read after that.
 */
export class MessageReader {
  fault: MessageFault | undefined;
  readonly #maxBytes: number;
  readonly #prefix = Buffer.alloc(prefixBytes);
  #prefixLength = 0;
  #kept: Buffer = noBytes;
  #keptLength = 0;
  /** How many bytes the message has in all, once its prefix is here. */
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes the next bytes; returns the messages that they complete. */
  push(chunk: Buffer): readonly Buffer[] {
    const messages: Buffer[] = [];
    let at = 0;
    while (!this.fault && at < chunk.length) {
      if (this.#prefixLength < prefixBytes) at = this.#readPrefix(chunk, at);
      else at = this.#keep(chunk, at);
      if (this.#prefixLength === prefixBytes && !this.fault && this.#keptLength === this.#length) {
        messages.push(this.#length === 0 ? noBytes : this.#kept.subarray(0, this.#length));
        this.#kept = noBytes;
        this.#keptLength = 0;
        this.#prefixLength = 0;
      }
    }
    return messages;
  }

  #readPrefix(chunk: Buffer, at: number): number {
    const copied = chunk.copy(this.#prefix, this.#prefixLength, at);
    this.#prefixLength += copied;
    if (this.#prefixLength === prefixBytes) {
      this.#length = this.#prefix.readUInt32BE(1);
      if (this.#prefix[0] !== 0) this.fault = 'compressed';
      else if (this.#length > this.#maxBytes) this.fault = 'too long';
    }
    return at + copied;
  }

  #keep(chunk: Buffer, at: number): number {
    const end = Math.min(at + this.#length - this.#keptLength, chunk.length);
    const wanted = this.#keptLength + end - at;
    if (wanted > this.#kept.length) {
      const grown = Buffer.allocUnsafe(Math.min(Math.max(wanted, 2 * this.#kept.length), this.#length));
      this.#kept.copy(grown, 0, 0, this.#keptLength);
      this.#kept = grown;
    }
    chunk.copy(this.#kept, this.#keptLength, at, end);
    this.#keptLength = wanted;
    return end;
  }
}
