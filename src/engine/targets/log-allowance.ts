import type { LogLine } from '../../domain/execution.ts';

/** The most bytes of one log line; what is longer is cut. */
export const maxLogLineBytes = 65_536;

/** What a line costs besides its text: many empty ones would be many rows. */
const lineOverheadBytes = 64;

/** How much one attempt may still log, so that a talkative callee cannot fill the disk. */
export class LogAllowance {
  #leftBytes: number;
  #isUsedUp = false;

  constructor(maxBytes: number) {
    this.#leftBytes = maxBytes;
  }

  /** The line while there is room for it, then once a line that says so, then nothing. */
  admit(line: LogLine, bytes: number): LogLine | undefined {
    if (this.#isUsedUp) return undefined;
    this.#leftBytes -= bytes + lineOverheadBytes;
    if (this.#leftBytes >= 0) return line;
    this.#isUsedUp = true;
    return { level: 'WARN', message: 'log limit reached' };
  }
}
