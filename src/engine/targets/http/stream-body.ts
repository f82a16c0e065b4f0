/**
 * The line protocol: how a callee talks while it works.
 *
 * Purpose. A callee that answers with `application/x-ndjson` (also
 * `application/ndjson`, `application/jsonlines`) or `text/event-stream` and
 * keeps the body open is heard line by line: each line is in the execution's
 * log as soon as its last byte is here.
 *
 * NDJSON. Lines end with LF or CRLF; the last one needs no end; blank ones are
 * nothing. A line is, in this order:
 *   {"result": {…}}     nothing else in it: the attempt's result; the last one counts.
 *   {"error": "text"}   nothing else in it: the attempt fails, retryable, with that message.
 *                       The first one counts, later ones are ERROR lines. The body is read on.
 *   {"message": "text", …}  a log line. `msg` does as well. Optional members:
 *       level           debug, info, warn, warning or error in any case; else INFO
 *       time, timestamp ISO 8601 with a zone; else the moment of arrival
 *       data            an object, kept as structured data
 *     Every other member goes into the data, and so does a level or a time
 *     that is not understood. A member of `data` wins over one beside it.
 *   another JSON object an INFO line of the text itself; its level and time count.
 *   anything else       an INFO line of the text itself.
 *
 * Event stream. As in the WHATWG specification: `data` fields of one event are
 * joined by LF, a comment, `id` and `retry` mean nothing, lines end with LF,
 * CRLF or CR. Unlike there, an event that the end of the body cuts off counts.
 *   event `log`, `message` or none   the data is read as an NDJSON line is.
 *   event `result`                   the data, a JSON object, is the result; else it is an INFO line.
 *   event `error`                    the attempt fails: with the data, or where that is a JSON
 *                                    object with its `message`, `msg` or `error`.
 *   other events                     nothing.
 *
 * Bounds. A line or an event of more than `maxLineBytes` becomes an INFO line
 * of its beginning with `… (cut, N bytes)` and has no other meaning. When the
 * lines of an attempt reach `maxLogBytes`, one WARN line `log limit reached`
 * follows and no more; result and error still count. A line counts its bytes
 * and 64 for being one: 16 MiB of empty-looking lines would be 16 million rows. A JSON object that nests
 * deeper than 32 levels is text.
 *
 * Invariants. Where the chunks break never matters. What is kept between two
 * chunks is at most one line and one event, whatever the callee sends.
 */
import type { LogLine } from '../../../domain/execution.ts';
import type { Json } from '../../../domain/job.ts';
import type { AnswerMask } from '../../secrets/answer-mask.ts';
import { usedUpBytes } from '../log-allowance.ts';
import { cutMarker, cutUtf8, jsonObjectFrom } from './callee-text.ts';
import { LineReader } from './line-reader.ts';
import { type Entry, entryFromText, textLine } from './log-entry.ts';
import type { ResponseBody } from './response-body.ts';

export type StreamFormat = 'ndjson' | 'event-stream';

export type StreamBodyOptions = {
  readonly format: StreamFormat;
  readonly maxLineBytes: number;
  readonly maxLogBytes: number;
  /** For what the attempt was delivered with. */
  readonly mask: AnswerMask;
};

const heardEvents: ReadonlySet<string> = new Set(['', 'log', 'message', 'result', 'error']);

/** What a line costs besides its text, towards the log limit. */
const lineOverheadBytes = 64;

// What may still say `result` or `error` when nothing is logged any more.
const maySettle = /^\s*\{\s*"(?:result|error)"/;

/** A body that is heard while it arrives. */
export class StreamBody implements ResponseBody {
  result: { [key: string]: Json } | undefined;
  error: string | undefined;
  readonly full = false;
  readonly #options: StreamBodyOptions;
  readonly #reader: LineReader;
  #lines: LogLine[] = [];
  #loggedBytes = 0;
  #limitReached = false;
  #event = '';
  #data: string | undefined;
  #dataBytes = 0;
  /** Whether what follows is the end of a broken body. */
  #isBroken = false;

  constructor(options: StreamBodyOptions) {
    this.#options = options;
    const isEventStream = options.format === 'event-stream';
    this.#reader = new LineReader({
      // Room for the name of the field, so that the bound is one of the data.
      maxLineBytes: options.maxLineBytes + (isEventStream ? 'data: '.length : 0),
      crEndsLine: isEventStream,
      onLine: isEventStream
        ? (text, bytes) => this.#onField(text, bytes)
        : (text, bytes) => this.#onText('', text, bytes),
    });
  }

  get text(): string {
    return this.error ?? '';
  }

  get loggedBytes(): number {
    return this.#limitReached ? usedUpBytes : this.#loggedBytes;
  }

  push(chunk: Buffer): readonly LogLine[] {
    this.#reader.push(chunk);
    return this.#takeLines();
  }

  end(isBroken = false): readonly LogLine[] {
    this.#isBroken = isBroken;
    this.#reader.end();
    this.#endEvent();
    return this.#takeLines();
  }

  #takeLines(): readonly LogLine[] {
    const lines = this.#lines;
    if (lines.length > 0) this.#lines = [];
    return lines;
  }

  /** One line of an event stream. */
  #onField(line: string, bytes: number): void {
    if (line === '') {
      this.#endEvent();
      return;
    }
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    if (name !== 'data' && name !== 'event') return;
    const valueStart = colon === -1 ? line.length : line[colon + 1] === ' ' ? colon + 2 : colon + 1;
    const value = line.slice(valueStart);
    if (name === 'event') {
      this.#event = value;
      return;
    }
    // Beyond the bound the data is only counted.
    const { maxLineBytes } = this.#options;
    if (this.#data === undefined) this.#data = value;
    else if (this.#dataBytes <= maxLineBytes) this.#data += `\n${value}`;
    this.#dataBytes += bytes - valueStart + 1;
  }

  #endEvent(): void {
    const data = this.#data;
    const event = this.#event;
    const bytes = this.#dataBytes - 1;
    this.#event = '';
    this.#data = undefined;
    this.#dataBytes = 0;
    if (data !== undefined && heardEvents.has(event)) this.#onText(event, data, bytes);
  }

  #onText(event: string, text: string, bytes: number): void {
    const { maxLineBytes, mask } = this.#options;
    if (bytes > maxLineBytes) {
      const cut = cutUtf8(Buffer.from(mask.cutText(text)), maxLineBytes).toString() + cutMarker(bytes);
      if (event === 'error') this.#onError(cut, bytes);
      else this.#log(textLine(cut), bytes);
      return;
    }
    if (this.#limitReached && event === '' && !maySettle.test(text)) return;
    const entry = entryFromEvent(event, text, mask, this.#isBroken);
    if (entry?.kind === 'line') this.#log(entry.line, bytes);
    else if (entry?.kind === 'result') this.result = entry.result;
    else if (entry?.kind === 'error') this.#onError(entry.message, bytes);
  }

  #onError(message: string, bytes: number): void {
    if (this.error === undefined) this.error = message;
    else this.#log(textLine(message, 'ERROR'), bytes);
  }

  #log(line: LogLine, bytes: number): void {
    if (this.#limitReached) return;
    const cost = Math.min(bytes, this.#options.maxLineBytes) + lineOverheadBytes;
    if (this.#loggedBytes + cost > this.#options.maxLogBytes) {
      this.#limitReached = true;
      this.#lines.push({ level: 'WARN', message: 'log limit reached' });
      return;
    }
    this.#loggedBytes += cost;
    this.#lines.push(line);
  }
}

function entryFromEvent(
  event: string,
  text: string,
  mask: AnswerMask,
  isUnfinished: boolean,
): Entry | undefined {
  const masked = (words: string): string => (isUnfinished ? mask.cutText(words) : mask.text(words));
  switch (event) {
    case 'result': {
      const result = jsonObjectFrom(text);
      return result
        ? { kind: 'result', result: mask.jsonFrom(result, text) }
        : { kind: 'line', line: textLine(masked(text)) };
    }
    case 'error':
      return { kind: 'error', message: masked(errorMessage(text)) };
    default:
      return text.trim() === '' ? undefined : entryFromText(text, mask, isUnfinished);
  }
}

function errorMessage(text: string): string {
  const object = jsonObjectFrom(text);
  const message = [object?.message, object?.msg, object?.error].find((value) => typeof value === 'string');
  return typeof message === 'string' ? message : text;
}
