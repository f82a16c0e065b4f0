/**
 * What the worker has to say, in as few messages as there can be: what comes
 * up in one turn of the event loop, and while the last messages are still
 * being written, goes together. So batches grow by themselves under load, and
 * no more than one round of messages waits inside the stream.
 *
 * Order: an attempt's result goes behind its log lines. That an attempt has
 * begun is said only of those that have not ended meanwhile; short ones cost
 * nothing but their result.
 *
 * Without a stream everything waits. A new stream gets every result that was
 * not acknowledged once more; log lines are sent once, and those that were on
 * their way when a stream broke may be lost.
 */
import type {
  AttemptRef,
  WorkerResult,
  WorkerServiceConnectRequest,
} from '../../gen/carillon/v1/worker_service_pb.js';
import type { Clock } from '../platform/clock.ts';
import type { Attempt } from './attempt.ts';
import { LogBuffer } from './log-buffer.ts';

/** What the worker sends. */
export type OutgoingMessage = Exclude<WorkerServiceConnectRequest['message'], { case: undefined }>;

/** Where messages go. `written` is called when there is room for more. */
export type Channel = { send(message: OutgoingMessage, written?: () => void): void };

/** The most attempts or results of one message. */
const maxBatchItems = 10_000;

/** When a message of results has enough, in bytes; its last result may go above it. */
const resultBatchBytes = 512 * 1_024;

export class Outbox {
  /** The log lines that wait. */
  readonly lines: LogBuffer;
  #started: Attempt[] = [];
  #ended: Attempt[] = [];
  #channel: Channel | undefined;
  #unwritten = 0;
  #isScheduled = false;

  constructor(clock: Clock) {
    this.lines = new LogBuffer(clock, () => this.#schedule());
  }

  /** Says that an attempt has begun. */
  addStarted(attempt: Attempt): void {
    this.#started.push(attempt);
    this.#schedule();
  }

  /** Says how an attempt ended. */
  addEnded(attempt: Attempt): void {
    // Without a stream it waits in the runner, from where the next stream gets it.
    if (this.#channel === undefined) return;
    this.#ended.push(attempt);
    this.#schedule();
  }

  /** Sends from now on to a new stream; first what ended before. */
  open(channel: Channel, ended: Attempt[]): void {
    this.#channel = channel;
    this.#unwritten = 0;
    this.#ended = ended;
    this.#schedule();
  }

  /** Sends nothing more to the stream, which is gone. */
  close(): void {
    this.#channel = undefined;
    this.#ended = [];
  }

  #schedule(): void {
    if (this.#isScheduled || this.#channel === undefined || this.#unwritten > 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#channel === undefined || this.#unwritten > 0) return;
    const attempts = this.#takeStarted();
    if (attempts.length > 0) {
      this.#send({ case: 'started', value: { $typeName: 'carillon.v1.WorkerStarted', attempts } });
    }
    const entries = this.lines.takeBatch();
    if (entries.length > 0) {
      this.#send({ case: 'logs', value: { $typeName: 'carillon.v1.WorkerLogs', entries } });
    }
    const results = this.#takeResults();
    if (results.length > 0) {
      this.#send({ case: 'results', value: { $typeName: 'carillon.v1.WorkerResults', results } });
    }
  }

  #send(message: OutgoingMessage): void {
    const channel = this.#channel;
    if (channel === undefined) return;
    this.#unwritten++;
    channel.send(message, () => {
      // A stream that is gone says so late.
      if (channel !== this.#channel || --this.#unwritten > 0) return;
      if (this.#started.length > 0 || this.lines.length > 0 || this.#ended.length > 0) this.#schedule();
    });
  }

  #takeStarted(): AttemptRef[] {
    if (this.#started.length === 0) return [];
    const refs: AttemptRef[] = [];
    const rest = this.#started.splice(0);
    for (const attempt of rest) {
      if (attempt.phase !== 'RUNNING') continue;
      if (refs.length < maxBatchItems) refs.push(attempt.ref);
      else this.#started.push(attempt);
    }
    return refs;
  }

  #takeResults(): WorkerResult[] {
    const results: WorkerResult[] = [];
    const { taken } = this.lines;
    let looked = 0;
    let bytes = 0;
    for (const attempt of this.#ended) {
      // One whose lines are still here waits for them.
      if (attempt.lastLine > taken || results.length >= maxBatchItems || bytes >= resultBatchBytes) break;
      looked++;
      // It may have been lost meanwhile.
      if (attempt.phase !== 'ENDED' || attempt.ended === undefined) continue;
      results.push(attempt.ended.result);
      bytes += attempt.ended.bytes;
    }
    this.#ended = looked === this.#ended.length ? [] : this.#ended.slice(looked);
    return results;
  }
}
