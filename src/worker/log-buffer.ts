import type { JsonObject } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import type { WorkerLogEntry } from '../../gen/carillon/v1/worker_service_pb.js';
import type { Clock } from '../platform/clock.ts';
import { Queue } from '../platform/queue.ts';
import type { Attempt } from './attempt.ts';
import { jsonDataFrom } from './json-data.ts';
import { cutText, wordsOf } from './safe-text.ts';

/** How much may wait to be sent, in bytes on the wire at the most. Lines above it are dropped, and counted. */
const maxWaitingBytes = 16 * 1_024 * 1_024;

/** When `ready` lets go: half of that. */
const roomyBytes = maxWaitingBytes / 2;

/** Carillon keeps 65,536 bytes of a line. One character more is sent, so that it says that the line was cut. */
const maxMessageUnits = 65_537;

/** The largest data beside a line, in bytes as JSON. */
const maxDataBytes = 65_536;

/** The most lines of one message. */
const maxBatchLines = 10_000;

/** When a message has enough; its last line may go above it. */
const batchBytes = 1_024 * 1_024;

/**
 * How much more room a JSON object takes as google.protobuf.Struct, at the
 * worst: a number of one digit and a comma become eleven bytes.
 */
export const structFactor = 6;

/** What a line takes beside its text and data. */
const lineBytes = 48;

type Line = { readonly entry: WorkerLogEntry; readonly bytes: number };

/** The log lines of all attempts that wait to be sent, oldest first. Holds a bounded number of bytes. */
export class LogBuffer {
  readonly #clock: Clock;
  readonly #onLine: () => void;
  readonly #waiting = new Queue<Line>();
  #bytes = 0;
  #added = 0;
  #roomAwaited: (() => void)[] = [];

  /** `onLine` is told when a line waits. */
  constructor(clock: Clock, onLine: () => void) {
    this.#clock = clock;
    this.#onLine = onLine;
  }

  /** How many lines wait. */
  get length(): number {
    return this.#waiting.length;
  }

  /** The number of the newest line that was taken to be sent; lines count from 1. */
  get taken(): number {
    return this.#added - this.#waiting.length;
  }

  /** Adds a line of an attempt that runs; of any other it is dropped. */
  add(attempt: Attempt, level: LogLevel, message: unknown, data?: object): void {
    if (attempt.phase !== 'RUNNING') return;
    if (this.#bytes >= maxWaitingBytes) {
      attempt.droppedLines++;
      return;
    }
    this.noteDropped(attempt);
    let text = typeof message === 'string' ? cutText(message, maxMessageUnits) : wordsOf(message, 10_000);
    let object: JsonObject | undefined;
    let bytes = lineBytes;
    if (data !== undefined && data !== null) {
      const json = jsonDataFrom(data, maxDataBytes);
      if (json.problem === undefined) {
        object = json.object;
        bytes += json.bytes * structFactor;
      } else {
        text += ` (data left out: ${json.problem})`;
      }
    }
    this.#push(attempt, level, text, object, bytes);
  }

  /** Adds a line of the worker's own about an attempt, which always finds room. */
  warn(attempt: Attempt, message: string): void {
    this.#push(attempt, LogLevel.WARN, message, undefined, lineBytes);
  }

  /** Says in the log how many lines of the attempt found no room, when there were any. */
  noteDropped(attempt: Attempt): void {
    if (attempt.droppedLines === 0) return;
    const text = `${attempt.droppedLines} log lines left out here: they came faster than they could be sent`;
    attempt.droppedLines = 0;
    this.warn(attempt, text);
  }

  /** Resolves when there is room for more. */
  ready(): Promise<void> {
    if (this.#bytes < roomyBytes) return Promise.resolve();
    return new Promise((resolve) => this.#roomAwaited.push(resolve));
  }

  /** Takes what goes into the next message. */
  takeBatch(): WorkerLogEntry[] {
    const entries: WorkerLogEntry[] = [];
    let bytes = 0;
    while (entries.length < maxBatchLines && bytes < batchBytes) {
      const line = this.#waiting.take();
      if (line === undefined) break;
      entries.push(line.entry);
      bytes += line.bytes;
    }
    this.#bytes -= bytes;
    if (this.#bytes < roomyBytes) for (const resolve of this.#roomAwaited.splice(0)) resolve();
    return entries;
  }

  #push(
    attempt: Attempt,
    level: LogLevel,
    message: string,
    data: JsonObject | undefined,
    more: number,
  ): void {
    const { executionId, attempt: number } = attempt.assignment;
    const entry: WorkerLogEntry = {
      $typeName: 'carillon.v1.WorkerLogEntry',
      executionId,
      attempt: number,
      time: timestampFromDate(this.#clock.now()),
      level,
      message,
      data,
    };
    const bytes = more + Buffer.byteLength(message);
    this.#waiting.push({ entry, bytes });
    this.#bytes += bytes;
    attempt.lastLine = ++this.#added;
    this.#onLine();
  }
}
