import { StringDecoder } from 'node:string_decoder';

/** The longest line that is kept, in characters; of a longer one the beginning. Carillon keeps 65,536 bytes and says so. */
const maxLineLength = 65_537;

/** Bytes as lines: ended by LF or CRLF, UTF-8, the last one also without an end. Holds one bounded line at a time. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #line = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(bytes: Buffer): void {
    this.#pushText(this.#decoder.write(bytes));
  }

  /** Says that no more will come. */
  end(): void {
    this.#pushText(this.#decoder.end());
    if (this.#line !== '') this.#emit();
  }

  #pushText(text: string): void {
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      this.#append(text, from, end);
      this.#emit();
      from = end + 1;
    }
    this.#append(text, from, text.length);
  }

  #append(text: string, from: number, to: number): void {
    const room = maxLineLength - this.#line.length;
    if (room > 0) this.#line += text.slice(from, Math.min(to, from + room));
  }

  #emit(): void {
    const line = this.#line;
    this.#line = '';
    this.#onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
  }
}
