/**
 * Gives log lines their place and stores them.
 *
 * The instance that holds an attempt is the only one that writes lines of that
 * execution, so it counts `seq` in memory, from the last stored line on. Lines
 * of all running attempts go to the database together: what arrives while a
 * batch is being written makes up the next one. The store refuses lines of an
 * attempt that this instance does not hold any more; their writer is told.
 * While the database is away a batch is kept and tried again; writers wait,
 * and so do the callees, because nothing more is read from them.
 */
import type { LogEntry, LogLine } from '../domain/execution.ts';
import { Batcher } from '../platform/batcher.ts';
import type { Clock } from '../platform/clock.ts';
import { writeUntilDone } from '../platform/kept-write.ts';
import type { Logger } from '../platform/logger.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';

export type LogWriterOptions = {
  readonly store: Pick<Store, 'db' | 'logs'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly instanceId: () => number;
};

/** So many lines of one attempt may wait to be stored before its callee has to wait. */
const maxWaitingLines = 1_000;

/** So many bytes of all attempts may wait to be stored before those who write have to wait. */
const maxWaitingBytes = 16 * 1_024 * 1_024;

/** What a line counts for besides its text and data. */
const lineBytes = 100;

export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #batcher: Batcher<readonly LogEntry[], ReadonlySet<number>>;
  readonly #stopping = new AbortController();
  readonly #waiting = { bytes: 0 };

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#batcher = new Batcher({ flush: (items) => this.#flush(items), maxItems: 500 });
  }

  /** Opens the log of one attempt; `lastSeq` is the last line that is stored. */
  open(executionId: number, attempt: number, lastSeq: number, onRefused: () => void): AttemptLog {
    return new AttemptLog({
      store: (entries) => this.#batcher.add(entries),
      waiting: this.#waiting,
      clock: this.#options.clock,
      executionId,
      attempt,
      lastSeq,
      onRefused,
    });
  }

  /** Ceases to try again; what cannot be stored now is given up. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#batcher.drain();
  }

  async #flush(items: readonly (readonly LogEntry[])[]): Promise<ReadonlySet<number>[]> {
    const { store, notifier, clock, logger, instanceId } = this.#options;
    const entries = items.flat();
    const stored = await writeUntilDone(() => store.logs.append(store.db, instanceId(), entries), {
      clock,
      signal: this.#stopping.signal,
      onFailure: (error) =>
        logger.warn({ error, lines: entries.length }, 'log lines not stored, trying again'),
    });
    if (stored.size > 0) notifier.notify('feed');
    return items.map(() => stored);
  }
}

type AttemptLogOptions = {
  /** Stores lines; resolves to the executions whose lines were accepted. */
  readonly store: (entries: readonly LogEntry[]) => Promise<ReadonlySet<number>>;
  /** What waits to be stored, of all attempts. */
  readonly waiting: { bytes: number };
  readonly clock: Clock;
  readonly executionId: number;
  readonly attempt: number;
  readonly lastSeq: number;
  readonly onRefused: () => void;
};

/** The log of one attempt, while it runs. */
export class AttemptLog {
  readonly #options: AttemptLogOptions;
  #seq: number;
  #waitingLines = 0;
  #last: Promise<void> | undefined;

  constructor(options: AttemptLogOptions) {
    this.#options = options;
    this.#seq = options.lastSeq;
  }

  /** Adds lines in order. Resolves at once while few wait, else when these are stored. */
  async add(lines: readonly LogLine[]): Promise<void> {
    if (lines.length === 0) return;
    const { executionId, attempt, clock, waiting } = this.#options;
    const now = clock.now();
    const entries = lines.map((line) => ({
      ...line,
      executionId,
      attempt,
      seq: ++this.#seq,
      at: line.at ?? now,
    }));
    const bytes = entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
    this.#waitingLines += entries.length;
    waiting.bytes += bytes;
    this.#last = this.#store(entries).finally(() => {
      waiting.bytes -= bytes;
    });
    if (this.#waitingLines > maxWaitingLines || waiting.bytes > maxWaitingBytes) await this.#last;
  }

  /** Resolves when every line is stored or refused. */
  async flush(): Promise<void> {
    await this.#last;
  }

  async #store(entries: readonly LogEntry[]): Promise<void> {
    try {
      const stored = await this.#options.store(entries);
      if (!stored.has(this.#options.executionId)) this.#options.onRefused();
    } catch {
      // The instance stops while the database is away: the attempt is lost with it, and so are its last lines.
      this.#options.onRefused();
    } finally {
      this.#waitingLines -= entries.length;
    }
  }
}

const sizeOf = ({ message, data }: LogLine): number =>
  lineBytes + message.length + (data === undefined ? 0 : JSON.stringify(data).length);
