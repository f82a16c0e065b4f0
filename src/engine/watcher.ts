import { DomainError } from '../domain/errors.ts';
import { isFinal, type LogLevel } from '../domain/execution.ts';
import type { FeedPosition } from '../domain/feed-position.ts';
import type { FeedEvent } from '../store/feed-store.ts';
import type { FilledEvent } from './feed-contents.ts';
import type { StreamEvent, StreamMessage } from './operations.ts';
import { type BacklogEntry, cursorText } from './stream-cursor.ts';

/** Where in the feed a filled event stands. */
export type BatchPlace = {
  readonly since: FeedPosition;
  readonly until: FeedPosition;
  readonly index: number;
};

export type WatcherOptions = {
  readonly epoch: string;
  readonly minLevel: LogLevel;
  /** Bytes of log lines that may wait for the client. */
  readonly maxBytes: number;
  /** Whether the stream shows this job's executions. */
  readonly wants: (event: { readonly executionId: number; readonly jobId: number }) => boolean;
};

type Queued = { readonly message: StreamMessage; readonly bytes: number };

const levels: readonly LogLevel[] = ['DEBUG', 'INFO', 'WARN', 'ERROR'];

/** State changes are never dropped; a client that leaves so many of them unread is let go of. */
const maxMessages = 100_000;

/**
 * One client's place in what happens.
 *
 * Remembers for each execution that it shows how far it has come (state and
 * line), so that what is read from the tables and what arrives from the feed
 * may overlap. Messages wait in a queue for the client; when the lines in it
 * exceed the byte bound, the oldest are dropped and a gap message takes their
 * place, so a slow client costs bounded memory and holds nobody up.
 */
export class Watcher {
  readonly #options: WatcherOptions;
  readonly #shown = new Map<number, { seq: number; stage: number }>();
  #queue: Queued[] = [];
  #bytes = 0;
  #wake: (() => void) | undefined;
  #failure: DomainError | undefined;

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  wants(event: FeedEvent): boolean {
    return this.#options.wants(event);
  }

  /** Whether lines of this level are shown. */
  shows(level: LogLevel): boolean {
    return levels.indexOf(level) >= levels.indexOf(this.#options.minLevel);
  }

  /** Notes what the client has seen of an execution. */
  note(executionId: number, seq: number, stage: number): void {
    const shown = this.#shown.get(executionId);
    if (!shown) this.#shown.set(executionId, { seq, stage });
    else {
      shown.seq = Math.max(shown.seq, seq);
      shown.stage = Math.max(shown.stage, stage);
    }
  }

  /**
   * Turns a filled event into the messages that the client has not seen, from
   * line `afterSeq` on, and notes them as seen.
   */
  messagesOf(
    filled: FilledEvent,
    place: BatchPlace,
    backlog: readonly BacklogEntry[] = [],
    afterSeq = 0,
  ): StreamMessage[] {
    const messages: StreamMessage[] = [];
    const { epoch } = this.#options;
    const cursorAt = (seq: number): string =>
      cursorText({
        epoch,
        since: place.since,
        backlog,
        batch: { until: place.until, event: place.index, seq },
      });
    if (filled.kind === 'execution') {
      const { execution, stage } = filled;
      const shown = this.#shown.get(execution.id);
      if (shown && shown.stage >= stage) return messages;
      if (isFinal(execution.state)) this.#shown.delete(execution.id);
      else this.note(execution.id, 0, stage);
      // Past every line: the event is seen whole.
      messages.push({ cursor: cursorAt(Number.MAX_SAFE_INTEGER), event: { kind: 'execution', execution } });
      return messages;
    }
    const seen = Math.max(this.#shown.get(filled.executionId)?.seq ?? 0, afterSeq);
    for (const entry of filled.entries) {
      if (entry.seq <= seen) continue;
      this.note(entry.executionId, entry.seq, 0);
      if (!this.shows(entry.level)) continue;
      messages.push({ cursor: cursorAt(entry.seq), event: { kind: 'log', entry } });
    }
    return messages;
  }

  /** Queues what a live event has for the client. */
  offer(filled: FilledEvent, place: BatchPlace): void {
    for (const message of this.messagesOf(filled, place)) {
      const bytes = bytesOf(message.event);
      this.#queue.push({ message, bytes });
      this.#bytes += bytes;
    }
    if (this.#bytes > this.#options.maxBytes) this.#dropOldestLines();
    if (this.#queue.length > maxMessages) {
      this.fail(
        new DomainError('UNAVAILABLE', 'the client reads too slowly; go on from the last cursor', {
          retryAfterMs: 1_000,
        }),
      );
    }
    this.#wake?.();
  }

  /** Ends the stream with an error once the queue is empty. */
  fail(error: DomainError): void {
    this.#failure = error;
    this.#wake?.();
  }

  /** The next message; undefined when there is none now. */
  take(): StreamMessage | undefined {
    const queued = this.#queue.shift();
    if (queued) this.#bytes -= queued.bytes;
    else if (this.#failure) throw this.#failure;
    return queued?.message;
  }

  /** Calls back when there may be a message. */
  onMessage(wake: (() => void) | undefined): void {
    this.#wake = wake;
    if (wake && (this.#queue.length > 0 || this.#failure)) wake();
  }

  #dropOldestLines(): void {
    const kept: Queued[] = [];
    for (const queued of this.#queue) {
      const { event } = queued.message;
      if (event.kind !== 'log' || this.#bytes <= this.#options.maxBytes / 2) {
        kept.push(queued);
        continue;
      }
      this.#bytes -= queued.bytes;
      const { executionId, seq } = event.entry;
      const last = kept.at(-1)?.message.event;
      if (last?.kind === 'gap' && last.executionId === executionId) {
        const gap = { ...last, lastSeq: seq, count: last.count + 1 };
        kept[kept.length - 1] = { message: { cursor: queued.message.cursor, event: gap }, bytes: 0 };
      } else {
        const gap = { kind: 'gap', executionId, firstSeq: seq, lastSeq: seq, count: 1 } as const;
        kept.push({ message: { cursor: queued.message.cursor, event: gap }, bytes: 0 });
      }
    }
    this.#queue = kept;
  }
}

/** What a message costs while it waits: the text of a line, with something for the rest. */
function bytesOf(event: StreamEvent): number {
  if (event.kind !== 'log') return 0;
  const { message, data } = event.entry;
  return 200 + message.length * 2 + (data === undefined ? 0 : JSON.stringify(data).length * 2);
}
