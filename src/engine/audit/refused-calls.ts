/**
 * Calls that were refused, on their way into the audit.
 *
 * A refused call has changed nothing: its transaction was rolled back, so its
 * row is written afterwards, by itself, and the reply does not wait for it.
 * Rows go in batches and keep their place in the order of the refusals of this
 * instance. Whoever lists events at the same instance waits for those that were
 * noted before, and so finds its own.
 *
 * - What is noted is gathered for a moment before it is written. A read of
 *   another tenant's thing is written and one of a missing thing is not: were it
 *   written at once, the work would take the time of this reply or the caller's
 *   next one, and tell the two apart (`npm run bench -- not-found`). Both are
 *   noted, and the latter is dropped when the gathering ends.
 * - The database is away: a batch is kept and tried again; what comes meanwhile
 *   waits behind it. A row that is written late says by how much.
 * - The reply to an insert is lost: the batch is written again under the ids
 *   that were drawn for it, and what is there already stays single.
 * - A flood of refusals: of calls that are alike, so many have a row of their own
 *   while they are gathered, and the last one's row counts the rest: who calls
 *   without a pause at a limit fills no table. So many wait in all and no more:
 *   those beyond are counted, and one row says how many were left out. No reply
 *   is held back for them.
 * - The instance is killed: refusals of its last moments are missing, and no
 *   change is, because changes have their rows in their own transactions. When
 *   it stops in order, what waits is written first.
 */
import { Batcher } from '../../platform/batcher.ts';
import type { Clock } from '../../platform/clock.ts';
import { writeUntilDone } from '../../platform/kept-write.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Service } from '../../platform/service.ts';
import type { AuditRow } from '../../store/audit-store.ts';
import type { Store } from '../../store/store.ts';
import type { RefusalRecorder, RefusedCall } from './audit-operations.ts';
import { auditRow } from './audit-rows.ts';

export type RefusedCallsOptions = {
  readonly store: Pick<Store, 'db' | 'audits' | 'triggers'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How many may wait to be written. Default 5,000, some megabytes. */
  readonly maxWaiting?: number;
};

/** How long refusals are gathered, in milliseconds. */
const gatherMs = 250;

/** How many calls that are alike have a row of their own while they are gathered. */
const maxAlike = 20;

/** A refusal later than this in the audit says so, in milliseconds. */
const lateMs = 1_000;

type Noted = {
  readonly call: RefusedCall;
  readonly notedMs: number;
  /** How many calls before it, alike, have no row of their own. */
  readonly alike?: number;
};

/** What was noted of calls that are alike since the gathering began. */
type Alike = { count: number; rest?: Noted };

export class RefusedCalls implements RefusalRecorder, Service {
  readonly #options: RefusedCallsOptions;
  readonly #batcher: Batcher<Noted, undefined>;
  readonly #stopping = new AbortController();
  #gathered: Noted[] = [];
  readonly #alike = new Map<string, Alike>();
  #cancelGathering: (() => void) | undefined;
  #waiting = 0;
  #leftOut = 0;
  /** Settles when what was noted last is written, or given up. */
  #last: Promise<unknown> = Promise.resolve();
  #isFailing = false;
  readonly #whenFailing = new Set<() => void>();

  constructor(options: RefusedCallsOptions) {
    this.#options = options;
    this.#batcher = new Batcher({ flush: (noted) => this.#write(noted), maxItems: 500 });
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  /** Writes what waits, once more if that fails, and gives up the rest. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#release();
    await this.#batcher.drain();
  }

  record(call: RefusedCall): void {
    const { clock, maxWaiting = 5_000 } = this.#options;
    const noted: Noted = { call, notedMs: clock.monotonicMs() };
    const kind = kindOf(call);
    const alike = this.#alike.get(kind);
    if (alike?.rest) {
      alike.count++;
      alike.rest = { ...noted, alike: alike.count - maxAlike - 1 };
      return;
    }
    if (this.#waiting >= maxWaiting) {
      if (!call.isDropped) this.#leftOut++;
      return;
    }
    this.#waiting++;
    if (alike) alike.count++;
    else this.#alike.set(kind, { count: 1 });
    if (alike && alike.count > maxAlike) alike.rest = noted;
    else this.#gathered.push(noted);
    this.#cancelGathering ??= clock.setTimer(gatherMs, () => this.#release());
  }

  /** Ends the gathering: what was noted is written. */
  #release(): void {
    this.#cancelGathering?.();
    this.#cancelGathering = undefined;
    const rest = [...this.#alike.values()].flatMap((alike) => alike.rest ?? []);
    this.#alike.clear();
    for (const noted of [...this.#gathered.splice(0), ...rest]) {
      if (noted.call.isDropped) this.#waiting--;
      else this.#last = this.#batcher.add(noted);
    }
  }

  /** Resolves when what was recorded so far is written, or the database does not take it now. */
  async flush(): Promise<void> {
    this.#release();
    if (this.#isFailing) return;
    await new Promise<void>((resolve) => {
      this.#whenFailing.add(resolve);
      void this.#last.then(() => {
        this.#whenFailing.delete(resolve);
        resolve();
      });
    });
  }

  async #write(noted: readonly Noted[]): Promise<undefined[]> {
    const { store, clock, logger } = this.#options;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    let ids: readonly number[] | undefined;
    try {
      await writeUntilDone(
        async () => {
          const nowMs = clock.monotonicMs();
          const rows = noted.map((each) => rowOf(each, nowMs));
          if (leftOut > 0) rows.push(leftOutRow(leftOut));
          ids ??= await store.triggers.drawIds(store.db, rows.length);
          await store.audits.insert(store.db, rows, ids);
        },
        { clock, signal: this.#stopping.signal, onFailure: (error) => this.#fail(error, noted.length) },
      );
    } catch (error) {
      const calls = noted.length + leftOut;
      logger.error({ error, calls }, 'refused calls are missing from the audit: the instance stops');
    }
    this.#isFailing = false;
    this.#waiting -= noted.length;
    return noted.map(() => undefined);
  }

  #fail(error: unknown, calls: number): void {
    this.#options.logger.warn({ error, calls }, 'refused calls not written to the audit, trying again');
    this.#isFailing = true;
    for (const resolve of this.#whenFailing) resolve();
    this.#whenFailing.clear();
  }
}

/** What calls that are alike have in common: who calls from where, what, and why it was refused. */
function kindOf({ caller, reason, namespace, object, isDropped }: RefusedCall): string {
  const { actor, peer, method } = caller;
  const address = peer.slice(0, Math.max(0, peer.lastIndexOf(':')));
  return JSON.stringify([actor, address, method, reason, namespace, object, isDropped]);
}

function rowOf({ call, notedMs, alike }: Noted, nowMs: number): AuditRow {
  const { caller, reason, namespace, object, details } = call;
  const late = Math.round(nowMs - notedMs);
  const written = {
    ...details,
    ...(alike && { refusedAlikeBefore: alike }),
    ...(late > lateMs && { writtenLateMs: late }),
  };
  return auditRow(caller, { namespace, object, details: written }, reason);
}

/** Says that refusals are missing: nobody's call, so nobody's name. */
const leftOutRow = (count: number): AuditRow => ({
  actor: 'carillon',
  method: '',
  namespace: null,
  objectType: 'audit',
  objectId: null,
  objectName: null,
  peer: '',
  requestId: '',
  outcome: 'LEFT_OUT',
  before: null,
  after: null,
  details: { refusedCalls: count },
});
