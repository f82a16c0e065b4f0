import type { LogLine } from '../../domain/execution.ts';
import { boundedText } from './http/callee-text.ts';

/** The most bytes of one log line; what is longer is cut. */
export const maxLogLineBytes = 65_536;

/** What a line costs besides its text: many empty ones would be many rows. */
const lineOverheadBytes = 64;

/** What an attempt has used up once a line has said that nothing is left: more than any bound, also one that changes. */
export const usedUpBytes = Number.MAX_SAFE_INTEGER;

/** How much one attempt may still log, so that a talkative callee cannot fill the disk. */
export class LogAllowance {
  readonly #maxBytes: number;
  #usedBytes: number;

  /** `usedBytes` is what the attempt has logged before; that may be more than `maxBytes` now allows. */
  constructor(maxBytes: number, usedBytes = 0) {
    this.#maxBytes = maxBytes;
    this.#usedBytes = usedBytes;
  }

  /** What has been used up; `usedUpBytes` once a line has said that nothing is left. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether a line has said that nothing is left. */
  get isUsedUp(): boolean {
    return this.#usedBytes === usedUpBytes;
  }

  /** The line while there is room for it, then once a line that says so, then nothing. */
  admit(line: LogLine, bytes: number): LogLine | undefined {
    if (this.isUsedUp) return undefined;
    const usedBytes = this.#usedBytes + bytes + lineOverheadBytes;
    if (usedBytes <= this.#maxBytes) {
      this.#usedBytes = usedBytes;
      return line;
    }
    this.#usedBytes = usedUpBytes;
    return { level: 'WARN', message: 'log limit reached' };
  }

  /** Those of a worker's lines that there is room for, cut where they are too long. */
  admitAll(lines: readonly LogLine[]): readonly LogLine[] {
    const admitted: LogLine[] = [];
    for (const line of lines) {
      if (this.isUsedUp) break;
      const message = boundedText(line.message, maxLogLineBytes);
      const dataBytes = line.data === undefined ? 0 : Buffer.byteLength(JSON.stringify(line.data));
      const one = this.admit({ ...line, message }, Buffer.byteLength(message) + dataBytes);
      if (one) admitted.push(one);
    }
    return admitted;
  }
}
