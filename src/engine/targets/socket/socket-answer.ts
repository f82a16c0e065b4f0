import type { LogLine } from '../../../domain/execution.ts';
import type { Json } from '../../../domain/job.ts';
import type { AnswerMask } from '../../secrets/answer-mask.ts';
import { boundedText, isJsonObject, jsonObjectFrom } from '../http/callee-text.ts';
import { accepted, failed, failureFromCallee } from '../http/failure.ts';
import { LineReader } from '../http/line-reader.ts';
import { entryFromText, textLine } from '../http/log-entry.ts';
import { LogAllowance, maxLogLineBytes } from '../log-allowance.ts';
import type { DeliveryResult } from '../target.ts';

export type SocketAnswerOptions = {
  /** The most bytes of a line. */
  readonly maxLineBytes: number;
  /** The most bytes of all lines that are logged. */
  readonly maxLogBytes: number;
  /** For what the attempt was delivered with. */
  readonly mask: AnswerMask;
};

/**
 * Reads what a socket callee says; the words are those of SocketTarget in
 * target.proto. Where the chunks break never matters, and what is kept between
 * two of them is at most one line. After the end nothing is heard.
 */
export class SocketAnswer {
  /** How the attempt ended, once the callee has said it or broken the rules. */
  end: DeliveryResult | undefined;
  readonly #options: SocketAnswerOptions;
  readonly #reader: LineReader;
  readonly #allowance: LogAllowance;
  #lines: LogLine[] = [];
  #isClosed = false;

  constructor(options: SocketAnswerOptions) {
    this.#options = options;
    this.#allowance = new LogAllowance(options.maxLogBytes);
    this.#reader = new LineReader({
      maxLineBytes: options.maxLineBytes,
      crEndsLine: false,
      onLine: (text, bytes) => this.#onLine(text, bytes),
    });
  }

  /** Takes the next bytes; returns the log lines that they complete. */
  push(chunk: Buffer): readonly LogLine[] {
    this.#reader.push(chunk);
    // Not only when it is over: it may never be.
    if (this.#reader.unfinishedBytes > this.#options.maxLineBytes) this.#endByTooLongLine();
    return this.#takeLines();
  }

  /**
   * Takes the end of the connection, which ends the last line, too; returns the
   * log lines that are left. A callee that was killed may have ended it, so
   * words without a line end are taken for their beginning.
   */
  close(): readonly LogLine[] {
    this.#isClosed = true;
    this.#reader.end();
    return this.#takeLines();
  }

  #takeLines(): readonly LogLine[] {
    const lines = this.#lines;
    if (lines.length > 0) this.#lines = [];
    return lines;
  }

  #onLine(text: string, bytes: number): void {
    if (this.end) return;
    if (bytes > this.#options.maxLineBytes) {
      this.#endByTooLongLine();
      return;
    }
    if (text.trim() === '') return;
    const { mask } = this.#options;
    const object = jsonObjectFrom(text);
    const stated = isAcceptance(object)
      ? accepted(this.#allowance.usedBytes)
      : endFromState(object && mask.jsonFrom(object, text));
    if (stated) {
      this.end = stated;
      return;
    }
    const entry = entryFromText(text, mask, this.#isClosed);
    switch (entry.kind) {
      case 'result':
        this.end = succeeded(entry.result);
        return;
      case 'error':
        this.end = failureFromCallee(entry.message);
        return;
      case 'line':
        this.#log(bytes <= maxLogLineBytes ? entry.line : this.#longLine(text), bytes);
    }
  }

  #longLine(text: string): LogLine {
    const { mask } = this.#options;
    return textLine(boundedText(this.#isClosed ? mask.cutText(text) : mask.text(text), maxLogLineBytes));
  }

  #log(line: LogLine, bytes: number): void {
    const admitted = this.#allowance.admit(line, Math.min(bytes, maxLogLineBytes));
    if (admitted) this.#lines.push(admitted);
  }

  #endByTooLongLine(): void {
    this.end ??= failed(`answer has a line of more than ${this.#options.maxLineBytes} bytes`, false);
  }
}

/** Whether an object says that the callee will report later. */
function isAcceptance(object: { [key: string]: Json } | undefined): boolean {
  return object?.accepted === true && Object.keys(object).length === 1;
}

/** The end that an object with a state means; undefined for any other object. */
function endFromState(object: { [key: string]: Json } | undefined): DeliveryResult | undefined {
  switch (object?.state) {
    case 'SUCCEEDED':
      return succeeded(isJsonObject(object.result) ? object.result : undefined);
    case 'FAILED': {
      const { message, retryable, retry_after_ms: retryAfterMs } = object;
      return failureFromCallee(
        typeof message === 'string' ? message : '',
        retryable !== false,
        typeof retryAfterMs === 'number' ? retryAfterMs : undefined,
      );
    }
    default:
      return undefined;
  }
}

function succeeded(result: { [key: string]: Json } | undefined): DeliveryResult {
  return { outcome: 'SUCCEEDED', message: '', retryable: false, ...(result && { result }) };
}
