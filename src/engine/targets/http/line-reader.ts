import { cutUtf8 } from './callee-text.ts';

const LF = 10;
const CR = 13;

/** Told of a line: its text without the line end, cut to the bound, and how many bytes it had in all. */
export type OnLine = (text: string, bytes: number) => void;

export type LineReaderOptions = {
  /** The most bytes of a line that are kept. */
  readonly maxLineBytes: number;
  /** Whether a CR alone ends a line, as in an event stream. Otherwise LF and CRLF do. */
  readonly crEndsLine: boolean;
  readonly onLine: OnLine;
};

/**
 * Cuts a stream of bytes into lines of UTF-8 text. Chunks may break anywhere,
 * within a character or a CRLF; the lines are the same. It keeps at most one
 * line's bound of bytes, whatever comes: the rest of a longer line is counted
 * and dropped. A byte order mark at the start of the stream is no text.
 */
export class LineReader {
  readonly #options: LineReaderOptions;
  /** The beginning of a line that is not over; one byte beyond the bound, for the CR of a CRLF. */
  #kept = Buffer.alloc(0);
  #keptLength = 0;
  /** How many bytes the unfinished line has had. */
  #lineLength = 0;
  #lastByte = 0;
  #skipLf = false;
  #first = true;

  constructor(options: LineReaderOptions) {
    this.#options = options;
  }

  /** How many bytes the line that is not over has had so far. */
  get unfinishedBytes(): number {
    return this.#lineLength;
  }

  /** Takes the next bytes; calls back for every line that they complete. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    const { crEndsLine } = this.#options;
    let start = this.#skipLf && chunk[0] === LF ? 1 : 0;
    this.#skipLf = false;
    let lf = chunk.indexOf(LF, start);
    let cr = crEndsLine ? chunk.indexOf(CR, start) : -1;
    while (lf !== -1 || cr !== -1) {
      const endsWithCr = cr !== -1 && (lf === -1 || cr < lf);
      const end = endsWithCr ? cr : lf;
      this.#endLine(chunk, start, end);
      start = end + 1;
      if (endsWithCr) {
        if (chunk[start] === LF) start++;
        else this.#skipLf = start === chunk.length;
        cr = chunk.indexOf(CR, start);
      }
      if (lf !== -1 && lf < start) lf = chunk.indexOf(LF, start);
    }
    if (start < chunk.length) this.#append(chunk, start, chunk.length);
  }

  /** Takes the end of the stream: what stands after the last line end is a line, too. */
  end(): void {
    if (this.#lineLength > 0) this.#endLine(this.#kept, 0, 0);
  }

  #endLine(chunk: Buffer, start: number, end: number): void {
    if (this.#lineLength === 0) {
      this.#emit(chunk, start, end - start, chunk[end - 1]);
      return;
    }
    if (end > start) this.#append(chunk, start, end);
    const length = this.#lineLength;
    this.#lineLength = 0;
    this.#keptLength = 0;
    this.#emit(this.#kept, 0, length, this.#lastByte);
  }

  /** Hands over the line of `length` bytes that begins at `start`; of a long one the source may hold a part. */
  #emit(source: Buffer, start: number, length: number, lastByte: number | undefined): void {
    const { maxLineBytes, crEndsLine, onLine } = this.#options;
    const bytes = !crEndsLine && length > 0 && lastByte === CR ? length - 1 : length;
    // No Buffer for a line that is kept whole: a stream of tiny lines would be made of them.
    const text =
      bytes <= maxLineBytes
        ? source.toString('utf8', start, start + bytes)
        : cutUtf8(source.subarray(start, start + maxLineBytes + 1), maxLineBytes).toString('utf8');
    onLine(this.#first && text.startsWith('\ufeff') ? text.slice(1) : text, bytes);
    this.#first = false;
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const limit = this.#options.maxLineBytes + 1;
    this.#lineLength += end - start;
    this.#lastByte = chunk[end - 1] as number;
    const wanted = Math.min(this.#keptLength + (end - start), limit);
    if (wanted > this.#kept.length) {
      const grown = Buffer.allocUnsafe(Math.min(Math.max(wanted, 2 * this.#kept.length, 1_024), limit));
      this.#kept.copy(grown, 0, 0, this.#keptLength);
      this.#kept = grown;
    }
    const room = wanted - this.#keptLength;
    this.#keptLength += chunk.copy(this.#kept, this.#keptLength, start, Math.min(end, start + room));
  }
}
