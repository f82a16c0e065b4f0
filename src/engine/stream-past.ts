import { isFinal } from '../domain/execution.ts';
import type { FeedPosition } from '../domain/feed-position.ts';
import type { Store } from '../store/store.ts';
import { executionAtStage, fillEvents } from './feed-contents.ts';
import type { FeedJobs } from './feed-jobs.ts';
import type { StreamMessage } from './operations.ts';
import { cursorText, type StreamCursor } from './stream-cursor.ts';
import type { Watcher } from './watcher.ts';

/** Lines of the past that are read at once. */
const pageLines = 1_000;

/**
 * Shows a watcher what lies before its live events, from the tables: what is
 * left of the backlog, as of the position where the feed of its cursor begins,
 * then the feed from there to where the live events begin.
 */
export class StreamPast {
  readonly #store: Pick<Store, 'db' | 'feed' | 'jobs' | 'ledger' | 'logs'>;
  readonly #jobs: FeedJobs;

  constructor(store: Pick<Store, 'db' | 'feed' | 'jobs' | 'ledger' | 'logs'>, jobs: FeedJobs) {
    this.#store = store;
    this.#jobs = jobs;
  }

  /** The messages between a cursor and the position from which on the watcher gets live events. */
  async *messages(watcher: Watcher, start: StreamCursor, live: FeedPosition): AsyncGenerator<StreamMessage> {
    const { since, backlog, batch } = start;
    for (let i = 0; i < backlog.length; i++) yield* this.#backlogEntry(watcher, start, i);
    if (batch) yield* this.#between(watcher, since, batch.until, batch.event, batch.seq);
    yield* this.#between(watcher, batch?.until ?? since, live, 0, 0);
  }

  /** Shows one execution of the backlog: its state unless final, its lines, then its final state. */
  async *#backlogEntry(
    watcher: Watcher,
    { epoch, since, backlog }: StreamCursor,
    index: number,
  ): AsyncGenerator<StreamMessage> {
    const store = this.#store;
    const entry = backlog[index]!;
    const { executionId, untilSeq, untilStage } = entry;
    const rest = backlog.slice(index + 1);
    let { seq, stage } = entry;
    const cursor = (): string =>
      cursorText({ epoch, since, backlog: [{ executionId, seq, stage, untilSeq, untilStage }, ...rest] });
    const [present] = await store.ledger.listByIds(store.db, [executionId]);
    if (!present) return;
    const execution = executionAtStage(present, untilStage);
    if (!isFinal(execution.state) && untilStage > stage) {
      stage = untilStage;
      yield { cursor: cursor(), event: { kind: 'execution', execution } };
    }
    while (seq < untilSeq) {
      const lines = await store.logs.list(store.db, {
        executionId,
        afterSeq: seq,
        beforeSeq: untilSeq + 1,
        minLevel: 'DEBUG',
        attempt: 0,
        newestFirst: false,
        limit: pageLines,
      });
      for (const line of lines) {
        seq = line.seq;
        if (watcher.shows(line.level)) yield { cursor: cursor(), event: { kind: 'log', entry: line } };
      }
      if (lines.length < pageLines) break;
    }
    if (isFinal(execution.state) && untilStage > stage) {
      stage = untilStage;
      yield { cursor: cursor(), event: { kind: 'execution', execution } };
    }
  }

  /** Shows the feed between two positions, behind an event and a line of it. */
  async *#between(
    watcher: Watcher,
    since: FeedPosition,
    until: FeedPosition,
    fromEvent: number,
    afterSeq: number,
  ): AsyncGenerator<StreamMessage> {
    const store = this.#store;
    let count = 0;
    for await (const events of store.feed.readBetween(store.db, since, until)) {
      await this.#jobs.load(events);
      const wanted = events
        .map((event, i) => ({ index: count + i, event }))
        .filter(({ index, event }) => index >= fromEvent && watcher.wants(event));
      count += events.length;
      for await (const slice of fillEvents(store, store.db, wanted)) {
        for (const { index, event, filled } of slice) {
          const seenLines = index === fromEvent ? afterSeq : 0;
          if (event.kind === 'state' && index === fromEvent && seenLines > 0) continue;
          yield* watcher.messagesOf(filled, { since, until, index }, seenLines);
        }
      }
    }
  }
}
