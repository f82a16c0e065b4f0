import { isUtf8 } from 'node:buffer';
import type { LogLine } from '../../../domain/execution.ts';
import type { Json } from '../../../domain/job.ts';
import type { AnswerMask } from '../../secrets/answer-mask.ts';
import { cutMarker, cutUtf8, jsonObjectFrom } from './callee-text.ts';
import { textLine } from './log-entry.ts';
import type { BodyLimits, ResponseBody } from './response-body.ts';

/** How much of a plain body is looked at for the message of a failed attempt. */
const failureTextBytes = 4_096;

/**
 * A body that is read as a whole: after success a JSON object is the result
 * and other text is one INFO line; after a failure it is text for the message.
 * Beyond the bound it is cut, and an object that was cut is text.
 */
export class PlainBody implements ResponseBody {
  result: { [key: string]: Json } | undefined;
  readonly error = undefined;
  /** One line at most, which the bound of a line holds. */
  readonly loggedBytes = 0;
  text = '';
  full = false;
  readonly #succeeded: boolean;
  readonly #limits: BodyLimits;
  readonly #mask: AnswerMask;
  #kept: Buffer = Buffer.alloc(0);
  #length = 0;

  constructor(succeeded: boolean, limits: BodyLimits, mask: AnswerMask) {
    this.#succeeded = succeeded;
    this.#limits = limits;
    this.#mask = mask;
  }

  push(chunk: Buffer): readonly LogLine[] {
    const { maxBodyBytes } = this.#limits;
    const length = Math.min(this.#length + chunk.length, maxBodyBytes);
    if (this.#length === 0 && chunk.length <= maxBodyBytes) {
      // Most bodies are one chunk, which needs no copy.
      this.#kept = chunk;
    } else {
      // One growing buffer: a callee that sends single bytes would cost a hundred times their size as chunks.
      if (length > this.#kept.length) {
        const grown = Buffer.allocUnsafe(Math.min(Math.max(length, 2 * this.#kept.length), maxBodyBytes));
        this.#kept.copy(grown, 0, 0, this.#length);
        this.#kept = grown;
      }
      chunk.copy(this.#kept, this.#length, 0, length - this.#length);
      this.full = this.#length + chunk.length > maxBodyBytes;
    }
    this.#length = length;
    return [];
  }

  end(isBroken = false): readonly LogLine[] {
    const { maxLineBytes, maxBodyBytes } = this.#limits;
    const body = this.#kept.subarray(0, this.#length);
    const isCut = this.full || isBroken;
    if (!this.#succeeded) {
      const beginning = cutUtf8(body, failureTextBytes);
      if (isUtf8(beginning))
        this.text = this.#masked(beginning.toString(), beginning.length < body.length || isCut);
      return [];
    }
    const whole = this.full ? cutUtf8(body, maxBodyBytes - 1) : body;
    if (!isUtf8(whole)) {
      return [textLine(`response body is not text (${this.full ? 'over ' : ''}${body.length} bytes)`)];
    }
    const text = whole.toString();
    const result = this.full ? undefined : jsonObjectFrom(text);
    this.result = result && this.#mask.jsonFrom(result, text);
    if (result || text.trim() === '') return [];
    if (body.length <= maxLineBytes && !this.full) return [textLine(this.#masked(text, isCut).trimEnd())];
    const marker = this.full ? `… (cut, over ${maxBodyBytes} bytes)` : cutMarker(body.length);
    const shown = cutUtf8(Buffer.from(this.#masked(text, isCut)), maxLineBytes).toString();
    return [textLine(shown + marker)];
  }

  #masked(text: string, isCut: boolean): string {
    return isCut ? this.#mask.cutText(text) : this.#mask.text(text);
  }
}

/**
 * A compressed body, which nobody asked for: it is read and dropped, never
 * inflated, so that a few bytes cannot become gigabytes here.
 */
export class EncodedBody implements ResponseBody {
  readonly result = undefined;
  readonly error = undefined;
  readonly loggedBytes = 0;
  readonly text = '';
  full = false;
  readonly #encoding: string;
  readonly #limits: BodyLimits;
  #length = 0;

  constructor(encoding: string, limits: BodyLimits) {
    this.#encoding = encoding;
    this.#limits = limits;
  }

  push(chunk: Buffer): readonly LogLine[] {
    this.#length += chunk.length;
    this.full = this.#length > this.#limits.maxBodyBytes;
    return [];
  }

  end(): readonly LogLine[] {
    if (this.#length === 0) return [];
    const encoding = /^[\w.*-]{1,40}$/.test(this.#encoding) ? this.#encoding : 'unknown';
    return [textLine(`response body not read: content-encoding ${encoding} is not accepted`, 'WARN')];
  }
}
