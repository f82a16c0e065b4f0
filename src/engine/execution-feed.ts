/**
 * Live streams of what happens, on every instance.
 *
 * One loop reads the feed for all watchers of this instance, from position to
 * position (store/feed-store says why nothing is lost or repeated by that), and
 * only while there are watchers. What an event speaks of is read once, however
 * many watch it, and queued for each of them.
 *
 * A stream without a cursor begins with one snapshot of the tables, whose
 * position in the feed is P. It shows the backlog as it was at P (the execution,
 * or the job's open ones, or with `tail` the newest ones, each with its lines up
 * to then), then the feed from P on. A stream with a cursor goes on there: what
 * is left of the backlog, still as of P, then the feed from the cursor on. The
 * feed is read from the tables up to a position Q, at which the watcher entered
 * the loop; behind Q it gets every event live. Q is read after P and after
 * whatever made the cursor, so no event is on both sides, also when another
 * instance, whose loop was ahead, wrote the cursor. A stream of one execution
 * ends behind its final state.
 *
 * Where a stream begins is in stream-source.ts, what lies before its live events
 * in stream-past.ts, what waits for its client in watcher.ts.
 *
 * The loop's read fails: it is tried again from the same position. The
 * notification is lost: the safety interval reads. The client is slow: see
 * watcher.ts. The instance stops: streams end with UNAVAILABLE, and the cursor
 * works on any other instance.
 */
import { DomainError } from '../domain/errors.ts';
import { isFinal } from '../domain/execution.ts';
import type { FeedPosition } from '../domain/feed-position.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Service } from '../platform/service.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import { fillEvents } from './feed-contents.ts';
import { FeedJobs } from './feed-jobs.ts';
import type { StreamMessage, StreamRequest } from './operations.ts';
import { cursorFromText, cursorText } from './stream-cursor.ts';
import { StreamPast } from './stream-past.ts';
import { beginningOf, isOver, matcherOf } from './stream-source.ts';
import { Watcher } from './watcher.ts';

export type ExecutionFeedOptions = {
  readonly store: Pick<Store, 'db' | 'snapshot' | 'feed' | 'jobs' | 'ledger' | 'logs' | 'triggers'>;
  readonly notifier: Pick<Notifier, 'on'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly safetyIntervalMs: number;
  /** How often an idle stream sends a heartbeat. */
  readonly heartbeatMs: number;
  /** Bytes of lines that may wait for one client. */
  readonly bufferBytes: number;
};

export class ExecutionFeed implements Service {
  readonly #options: ExecutionFeedOptions;
  readonly #loop: Loop;
  readonly #watchers = new Set<Watcher>();
  readonly #jobs: FeedJobs;
  readonly #past: StreamPast;
  readonly #entering: Entering[] = [];
  #stopListening: (() => void)[] = [];
  #position: FeedPosition | undefined;
  /** Whether a pass is handing out what lies behind the position. */
  #handing = false;
  #stopped = false;

  constructor(options: ExecutionFeedOptions) {
    this.#options = options;
    this.#jobs = new FeedJobs(options.store);
    this.#past = new StreamPast(options.store, this.#jobs);
    this.#loop = new Loop({
      clock: options.clock,
      tick: () => this.tick(),
      onError: (error, failures) => {
        if (failures === 1) options.logger.warn({ error }, 'feed not read, trying again');
        for (const { reject } of this.#entering.splice(0)) reject(error);
      },
    });
  }

  async start(): Promise<void> {
    const { notifier } = this.#options;
    this.#stopListening = [
      notifier.on('feed', () => {
        if (this.#watchers.size > 0) this.#loop.wake();
      }),
      // Labels may have changed.
      notifier.on('timers', () => this.#jobs.expire()),
    ];
    await this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const stop of this.#stopListening) stop();
    await this.#loop.stop();
    for (const watcher of this.#watchers) watcher.fail(stopping());
    for (const { reject } of this.#entering.splice(0)) reject(stopping());
  }

  /** One pass: hands every watcher what came since the last one. Returns how long to wait. */
  async tick(): Promise<number> {
    const { store, safetyIntervalMs } = this.#options;
    // Whoever enters now does so behind this read: their cursors must not be ahead of where they enter.
    const entering = this.#entering.splice(0);
    if (this.#watchers.size === 0) this.#position = undefined;
    try {
      if (this.#position !== undefined) this.#position = await this.#handOut(this.#position);
      else if (entering.length > 0) this.#position = (await store.feed.readPosition(store.db)).position;
    } catch (error) {
      this.#entering.unshift(...entering);
      throw error;
    }
    for (const { watcher, resolve } of entering) {
      this.#watchers.add(watcher);
      resolve(this.#position!);
    }
    // What changed while nobody watched yet woke nobody.
    return entering.length > 0 ? 0 : safetyIntervalMs;
  }

  /** Hands every watcher what lies behind a position; returns up to where. */
  async #handOut(since: FeedPosition): Promise<FeedPosition> {
    const { store } = this.#options;
    const watchers = [...this.#watchers];
    this.#handing = true;
    const { position: until, events } = await store.feed.readSince(store.db, since);
    await this.#jobs.load(events);
    // Who wants what is settled at once: labels may change while events are filled.
    const audiences = events.map((event) => watchers.filter((watcher) => watcher.wants(event)));
    const wanted = events
      .map((event, index) => ({ index, event }))
      .filter(({ index }) => audiences[index]!.length > 0);
    for await (const slice of fillEvents(store, store.db, wanted)) {
      for (const { index, filled } of slice) {
        for (const watcher of audiences[index]!) watcher.offer(filled, { since, until, index });
      }
    }
    this.#handing = false;
    return until;
  }

  async *stream(request: StreamRequest, signal: AbortSignal): AsyncGenerator<StreamMessage> {
    if (this.#stopped) throw stopping();
    const { source } = request;
    const { store, bufferBytes } = this.#options;
    const wants = await matcherOf(store, this.#jobs, source);
    const only = 'executionId' in source ? source.executionId : undefined;
    // What is over is in the tables to the end: there is nothing to wait for.
    const follow = request.follow && !(only !== undefined && (await isOver(store, only)));
    const { epoch, position } = await store.feed.readPosition(store.db);
    const cursor = request.cursor === '' ? undefined : cursorFromText(request.cursor);
    if (cursor && !(await store.feed.isKept(store.db, cursor.since, cursor.epoch))) throw cursorExpired();
    const watcher = new Watcher({ epoch, minLevel: request.minLevel, maxBytes: bufferBytes, wants });
    try {
      const start = cursor ?? { epoch, ...(await beginningOf(store, request)) };
      const live = follow ? await this.#enter(watcher) : cursor ? position : start.since;
      for await (const message of this.#past.messages(watcher, start, live)) {
        yield message;
        if (signal.aborted || endsStream(message, only)) return;
      }
      if (!follow) return;
      for await (const message of this.#live(watcher, { epoch, live }, signal)) {
        yield message;
        if (endsStream(message, only)) return;
      }
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  /** Enters a watcher at the end of the loop's next pass; resolves to the position from which on it gets live events. */
  #enter(watcher: Watcher): Promise<FeedPosition> {
    return new Promise((resolve, reject) => {
      this.#entering.push({ watcher, resolve, reject });
      this.#loop.wake();
    });
  }

  async *#live(
    watcher: Watcher,
    place: { epoch: string; live: FeedPosition },
    signal: AbortSignal,
  ): AsyncGenerator<StreamMessage> {
    const { clock, heartbeatMs } = this.#options;
    let lastCursor = cursorText({ epoch: place.epoch, since: place.live, backlog: [] });
    while (!signal.aborted) {
      const message = watcher.take();
      if (message) {
        lastCursor = message.cursor;
        yield message;
        continue;
      }
      if (!(await awaitMessage(watcher, clock, heartbeatMs, signal)) && !signal.aborted) {
        // All up to the position was taken, so the cursor moves on and does not grow old while nothing happens.
        if (!this.#handing && this.#position !== undefined) {
          lastCursor = cursorText({ epoch: place.epoch, since: this.#position, backlog: [] });
        }
        yield { cursor: lastCursor, event: { kind: 'heartbeat', at: clock.now() } };
      }
    }
  }
}

type Entering = {
  readonly watcher: Watcher;
  readonly resolve: (position: FeedPosition) => void;
  readonly reject: (error: unknown) => void;
};

const stopping = (): DomainError =>
  new DomainError('UNAVAILABLE', 'the instance is stopping; go on from the last cursor', {
    retryAfterMs: 200,
  });

const cursorExpired = (): DomainError =>
  new DomainError('CURSOR_EXPIRED', 'the cursor is older than what is kept; begin without one', {
    metadata: { field: 'cursor' },
  });

const endsStream = ({ event }: StreamMessage, executionId: number | undefined): boolean =>
  executionId !== undefined && event.kind === 'execution' && isFinal(event.execution.state);

/** Waits for a message, the heartbeat's time or the end; true when a message may be there. */
function awaitMessage(watcher: Watcher, clock: Clock, waitMs: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (arrived: boolean): void => {
      cancel();
      watcher.onMessage(undefined);
      signal.removeEventListener('abort', onAbort);
      resolve(arrived);
    };
    const onAbort = (): void => done(false);
    const cancel = clock.setTimer(waitMs, () => done(false));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) return done(false);
    watcher.onMessage(() => done(true));
  });
}
