import { DomainError } from '../domain/errors.ts';
import { isFinal, type LogLevel } from '../domain/execution.ts';
import type { FeedPosition } from '../domain/feed-position.ts';
import { Queue } from '../platform/queue.ts';
import type { FeedEvent } from '../store/feed-store.ts';
import type { FilledEvent } from './feed-contents.ts';
import type { StreamEvent, StreamMessage } from './operations.ts';
import { cursorText } from './stream-cursor.ts';

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

/** A message that the client gets unless it has seen what it says. */
type Candidate = {
  readonly message: StreamMessage;
  /** Of its batch: what the batch finished may come again until the feed has moved on from here. */
  readonly since: FeedPosition;
  /** Of the execution whose state it tells. */
  readonly stage: number;
};

type Queued = Candidate & { readonly bytes: number };

const levels: readonly LogLevel[] = ['DEBUG', 'INFO', 'WARN', 'ERROR'];

/** State changes are never dropped; a client that leaves so many of them unread is let go of. */
const maxMessages = 100_000;

/**
 * One client's place in what happens.
 *
 * Remembers for each execution how far the feed has brought the client (state
 * and line): a batch whose handing out failed half-way comes again as a whole.
 * Messages wait in a queue for the client; when the lines in it exceed the byte
 * bound, the oldest are dropped and a gap message takes their place, so a slow
 * client costs bounded memory and holds nobody up.
 */
export class Watcher {
  readonly #options: WatcherOptions;
  readonly #shown = new Map<number, { seq: number; stage: number }>();
  /** Executions whose final state was shown in the batch that begins at `#finishedSince`. */
  readonly #finished: number[] = [];
  #finishedSince: FeedPosition | undefined;
  #queue = new Queue<Queued>();
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
  #note(executionId: number, seq: number, stage: number): void {
    const shown = this.#shown.get(executionId);
    if (!shown) this.#shown.set(executionId, { seq, stage });
    else {
      shown.seq = Math.max(shown.seq, seq);
      shown.stage = Math.max(shown.stage, stage);
    }
  }

  /** The messages of a filled event that the client has not seen, from behind line `afterSeq` on; notes them as seen. */
  messagesOf(filled: FilledEvent, place: BatchPlace, afterSeq = 0): StreamMessage[] {
    return this.#candidatesOf(filled, place)
      .filter(({ message: { event } }) => event.kind !== 'log' || event.entry.seq > afterSeq)
      .flatMap((candidate) => this.#admit(candidate) ?? []);
  }

  /** Queues what a live event has for the client; nothing once the stream is to end, since the next one goes on from there. */
  offer(filled: FilledEvent, place: BatchPlace): void {
    if (this.#failure) return;
    for (const candidate of this.#candidatesOf(filled, place)) {
      const bytes = bytesOf(candidate.message.event);
      this.#queue.push({ ...candidate, bytes });
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
    for (let queued = this.#queue.take(); queued; queued = this.#queue.take()) {
      this.#bytes -= queued.bytes;
      const message = this.#admit(queued);
      if (message) return message;
    }
    if (this.#failure) throw this.#failure;
    return undefined;
  }

  /** Calls back when there may be a message. */
  onMessage(wake: (() => void) | undefined): void {
    this.#wake = wake;
    if (wake && (this.#queue.length > 0 || this.#failure)) wake();
  }

  #candidatesOf(filled: FilledEvent, { since, until, index }: BatchPlace): Candidate[] {
    const { epoch } = this.#options;
    const cursorAt = (seq: number): string =>
      cursorText({ epoch, since, backlog: [], batch: { until, event: index, seq } });
    if (filled.kind === 'execution') {
      const { execution, stage } = filled;
      // Past every line: the event is seen whole.
      const cursor = cursorAt(Number.MAX_SAFE_INTEGER);
      return [{ message: { cursor, event: { kind: 'execution', execution } }, since, stage }];
    }
    return filled.entries
      .filter((entry) => this.shows(entry.level))
      .map((entry) => ({
        message: { cursor: cursorAt(entry.seq), event: { kind: 'log', entry } },
        since,
        stage: 0,
      }));
  }

  /** The message for the client, noted as seen; undefined when it has seen all that the message says. */
  #admit({ message, since, stage }: Candidate): StreamMessage | undefined {
    this.#forgetFinished(since);
    const { event } = message;
    switch (event.kind) {
      case 'execution': {
        const { id, state } = event.execution;
        if ((this.#shown.get(id)?.stage ?? -1) >= stage) return undefined;
        this.#note(id, 0, stage);
        if (isFinal(state)) this.#finished.push(id);
        return message;
      }
      case 'log': {
        const { executionId, seq } = event.entry;
        if ((this.#shown.get(executionId)?.seq ?? 0) >= seq) return undefined;
        this.#note(executionId, seq, 0);
        return message;
      }
      case 'gap': {
        const { executionId, firstSeq, lastSeq, count } = event;
        const seen = this.#shown.get(executionId)?.seq ?? 0;
        if (seen >= lastSeq) return undefined;
        this.#note(executionId, lastSeq, 0);
        if (seen < firstSeq) return message;
        const left = { firstSeq: seen + 1, count: Math.min(count, lastSeq - seen) };
        return { ...message, event: { ...event, ...left } };
      }
      default:
        return message;
    }
  }

  /**
   * Lets go of executions that are over, once the feed has moved on: a batch
   * whose handing out failed half-way comes again from the same position.
   */
  #forgetFinished(since: FeedPosition): void {
    if (since === this.#finishedSince) return;
    this.#finishedSince = since;
    for (const id of this.#finished.splice(0)) this.#shown.delete(id);
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
        // A line that waits twice, because its batch was read again, is missing once.
        if (seq <= last.lastSeq) continue;
        const gap = { ...last, lastSeq: seq, count: last.count + 1 };
        kept[kept.length - 1] = {
          ...queued,
          message: { cursor: queued.message.cursor, event: gap },
          bytes: 0,
        };
      } else {
        const gap = { kind: 'gap', executionId, firstSeq: seq, lastSeq: seq, count: 1 } as const;
        kept.push({ ...queued, message: { cursor: queued.message.cursor, event: gap }, bytes: 0 });
      }
    }
    this.#queue = new Queue(kept);
  }
}

/** What a message costs while it waits: the text of a line, with something for the rest. */
function bytesOf(event: StreamEvent): number {
  if (event.kind !== 'log') return 0;
  const { message, data } = event.entry;
  return 200 + message.length * 2 + (data === undefined ? 0 : JSON.stringify(data).length * 2);
}
