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
 * The loop's read fails: it is tried again from the same position. The
 * notification is lost: the safety interval reads. The client is slow: see
 * watcher.ts. The instance stops: streams end with UNAVAILABLE, and the cursor
 * works on any other instance.
 */
import { DomainError } from '../domain/errors.ts';
import { isFinal } from '../domain/execution.ts';
import type { FeedPosition } from '../domain/feed-position.ts';
import { selects } from '../domain/selector.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Service } from '../platform/service.ts';
import type { FeedEvent } from '../store/feed-store.ts';
import type { StoredDefinition } from '../store/job-store.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import { executionAtStage, fillEvents, isFinalStage, stageOf } from './feed-contents.ts';
import type { StreamMessage, StreamRequest } from './operations.ts';
import { executionNotFound, jobNotFound } from './refusals.ts';
import { type BacklogEntry, cursorFromText, cursorText, type StreamCursor } from './stream-cursor.ts';
import { Watcher } from './watcher.ts';

export type ExecutionFeedOptions = {
  readonly store: Pick<Store, 'db' | 'snapshot' | 'feed' | 'jobs' | 'ledger' | 'logs'>;
  readonly notifier: Pick<Notifier, 'on'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly safetyIntervalMs: number;
  /** How often an idle stream sends a heartbeat. */
  readonly heartbeatMs: number;
  /** Bytes of lines that may wait for one client. */
  readonly bufferBytes: number;
};

/** The most executions that a stream shows the past of. */
const maxBacklog = 200;

/** Lines of the past that are read at once. */
const pageLines = 1_000;

export class ExecutionFeed implements Service {
  readonly #options: ExecutionFeedOptions;
  readonly #loop: Loop;
  readonly #watchers = new Set<Watcher>();
  readonly #jobs = new Map<number, StoredDefinition>();
  readonly #entering: Entering[] = [];
  #stopListening: (() => void)[] = [];
  #position: FeedPosition | undefined;
  /** Whether a pass is handing out what lies behind the position. */
  #handing = false;
  #stopped = false;

  constructor(options: ExecutionFeedOptions) {
    this.#options = options;
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
      notifier.on('timers', () => this.#jobs.clear()),
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
    await this.#loadJobs(events);
    const wanted = events
      .map((event, index) => ({ index, event }))
      .filter(({ event }) => watchers.some((watcher) => watcher.wants(event)));
    for await (const slice of fillEvents(store, store.db, wanted)) {
      for (const { index, event, filled } of slice) {
        for (const watcher of watchers) {
          if (watcher.wants(event)) watcher.offer(filled, { since, until, index });
        }
      }
    }
    this.#handing = false;
    return until;
  }

  async *stream(request: StreamRequest, signal: AbortSignal): AsyncGenerator<StreamMessage> {
    if (this.#stopped) throw stopping();
    const { source } = request;
    const { store, bufferBytes } = this.#options;
    const wants = await this.#matcherOf(source);
    const only = 'executionId' in source ? source.executionId : undefined;
    // What is over is in the tables to the end: there is nothing to wait for.
    const follow = request.follow && !(only !== undefined && (await this.#isOver(only)));
    const { epoch, position } = await store.feed.readPosition(store.db);
    const cursor = request.cursor === '' ? undefined : cursorFromText(request.cursor);
    if (cursor && !(await store.feed.isKept(store.db, cursor.since, cursor.epoch))) throw cursorExpired();
    const watcher = new Watcher({ epoch, minLevel: request.minLevel, maxBytes: bufferBytes, wants });
    try {
      const start = cursor ?? { epoch, ...(await this.#beginningOf(request)) };
      const live = follow ? await this.#enter(watcher) : cursor ? position : start.since;
      for await (const message of this.#past(watcher, start, live)) {
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

  /** Shows what lies before the live events: what is left of the backlog, then the feed. */
  async *#past(watcher: Watcher, start: StreamCursor, live: FeedPosition): AsyncGenerator<StreamMessage> {
    const { since, backlog, batch } = start;
    for (let i = 0; i < backlog.length; i++) yield* this.#pastOf(watcher, start, i);
    if (batch) yield* this.#between(watcher, since, batch.until, batch.event, batch.seq);
    yield* this.#between(watcher, batch?.until ?? since, live, 0, 0);
  }

  /** Shows one execution of the backlog: its state unless final, its lines, then its final state. */
  async *#pastOf(
    watcher: Watcher,
    { epoch, since, backlog }: StreamCursor,
    index: number,
  ): AsyncGenerator<StreamMessage> {
    const { store } = this.#options;
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
    const { store } = this.#options;
    let count = 0;
    for await (const events of store.feed.readBetween(store.db, since, until)) {
      await this.#loadJobs(events);
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

  /** Where a new stream begins: a position, and as of then the executions whose past it shows, oldest first. */
  async #beginningOf({
    source,
    tail,
  }: StreamRequest): Promise<{ readonly since: FeedPosition; readonly backlog: readonly BacklogEntry[] }> {
    const { store } = this.#options;
    const only = 'executionId' in source ? [source.executionId] : undefined;
    const jobs =
      'job' in source
        ? { jobIds: [(await this.#findJob(source.job)).id] }
        : 'selector' in source
          ? { selector: source.selector }
          : { jobIds: [] };
    return store.snapshot(async (tx) => {
      const { position: since } = await store.feed.readPosition(tx);
      const executions = only
        ? await store.ledger.listByIds(tx, only)
        : tail === undefined
          ? await store.ledger.listOpen(tx, jobs, maxBacklog)
          : await store.ledger.listNewest(tx, jobs, maxBacklog);
      const lastSeqs = await store.logs.listLastSeqs(
        tx,
        executions.map(({ id }) => id),
      );
      const backlog = executions.map(({ id, state, attempt }) => ({
        executionId: id,
        seq: 0,
        stage: 0,
        untilSeq: lastSeqs.get(id) ?? 0,
        untilStage: stageOf(state, attempt),
      }));
      return { since, backlog: tail === undefined ? backlog : cutToTail(backlog, tail, only !== undefined) };
    });
  }

  async #matcherOf(
    source: StreamRequest['source'],
  ): Promise<(event: { executionId: number; jobId: number }) => boolean> {
    if ('executionId' in source) {
      const { store } = this.#options;
      const known = await store.ledger.listKnownIds(store.db, [source.executionId]);
      if (!known.has(source.executionId)) throw executionNotFound(source.executionId);
      return (event) => event.executionId === source.executionId;
    }
    if ('job' in source) {
      const { id } = await this.#findJob(source.job);
      return (event) => event.jobId === id;
    }
    return (event) => {
      const job = this.#jobs.get(event.jobId);
      return job !== undefined && selects(source.selector, { key: job.key, labels: job.definition.labels });
    };
  }

  async #findJob(
    ref: Extract<StreamRequest['source'], { job: unknown }>['job'],
  ): Promise<{ readonly id: number }> {
    const { store } = this.#options;
    const [job] = await store.ledger.resolveJobs(store.db, [ref]);
    if (!job) throw jobNotFound(ref);
    return job;
  }

  /** Loads keys and labels of the jobs in these events, for streams by selector. */
  async #loadJobs(events: readonly FeedEvent[]): Promise<void> {
    const { store } = this.#options;
    const missing = [...new Set(events.map((event) => event.jobId))].filter((id) => !this.#jobs.has(id));
    if (missing.length === 0) return;
    if (this.#jobs.size > 50_000) this.#jobs.clear();
    for (const job of await store.jobs.listDefinitions(store.db, missing)) this.#jobs.set(job.id, job);
  }

  async #isOver(executionId: number): Promise<boolean> {
    const { store } = this.#options;
    const [execution] = await store.ledger.listByIds(store.db, [executionId]);
    return execution !== undefined && isFinal(execution.state);
  }
}

/** Cuts a backlog to its last lines: executions without any of them are left out, unless they are open. */
function cutToTail(backlog: readonly BacklogEntry[], tail: number, keepAll: boolean): BacklogEntry[] {
  const kept: BacklogEntry[] = [];
  let left = tail;
  for (const entry of backlog.toReversed()) {
    const lines = Math.min(left, entry.untilSeq);
    if (lines === 0 && isFinalStage(entry.untilStage) && !keepAll) continue;
    left -= lines;
    kept.unshift({ ...entry, seq: entry.untilSeq - lines });
  }
  return kept;
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
