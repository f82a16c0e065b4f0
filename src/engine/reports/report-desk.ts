/**
 * Takes the reports of callees that answer later.
 *
 * States of such an attempt. It is *with its instance* from the claim on, as
 * every attempt; the instance delivers it. When the callee answers 202 the
 * instance *hands it over* (hand-overs.ts): from then on it is *with its
 * callee*, and no instance's life or death counts for it. It is *over* by
 * Complete, or by the leader's sweep (callee-sweep.ts), or, while it is with its
 * instance, by whatever ends attempts there. All of these lock the open row, so
 * one of them is first, and what it wrote stands (I16).
 *
 * Races.
 * - Complete arrives before the 202 has been read: it ends the attempt, whoever
 *   holds it. The hand-over that follows, or the instance's own end, finds the
 *   attempt over and changes nothing.
 * - Complete comes twice, because an answer was lost: the second is told that
 *   it had ended like this. One that says something else is refused, and so is
 *   every one on an attempt that Carillon has given up (deadline, silence, lost
 *   instance), whether or not a newer attempt has begun (I12). FAILED and
 *   CANCELED are alike in this, since a cancel decides which one is recorded.
 * - The instance is killed between the 202 and the hand-over: the attempt is
 *   still its own, and rescued as lost. A Complete that comes before the rescue
 *   counts. One that comes later is refused.
 * - Complete meets the cancel or the deadline: whichever the database sees
 *   first. A success stands also when a cancel was asked for before it.
 * - The cancel meets the hand-over: it is noted on the open row, which the
 *   hand-over leaves as it is; the callee hears of it with its next call.
 * - Lines arrive before the 202 has been read: the instance gives seq in its
 *   memory as long as it has the attempt, so they wait for a moment and are
 *   refused then. Lines meet the end: they are stored before it or not at all.
 *
 * What a callee reports is masked as what it answers: a line may repeat what
 * the attempt was delivered with.
 *
 * Complete and Heartbeat cost a share of two statements each, whatever their
 * number: what arrives while a batch is under way makes up the next one.
 */
import type { LogLine } from '../../domain/execution.ts';
import { retryWaitMs } from '../../domain/retry.ts';
import { Batcher } from '../../platform/batcher.ts';
import type { Clock } from '../../platform/clock.ts';
import type { AttemptEnd, EndedAttempt } from '../../store/attempt-store.ts';
import type { Notifier } from '../../store/notifier.ts';
import type { RecordedEnd, ReportedExecution } from '../../store/report-store.ts';
import type { Store } from '../../store/store.ts';
import type { CachedJob, JobCache } from '../job-cache.ts';
import type { JobContinuation } from '../job-continuation.ts';
import { attemptEnded, attemptNotAccepted, logOffsetTooHigh, tokenRefused } from '../refusals.ts';
import type { AnswerMask } from '../secrets/answer-mask.ts';
import type { TargetMasks } from '../secrets/target-masks.ts';
import { boundedText } from '../targets/http/callee-text.ts';
import { LogAllowance, maxLogLineBytes } from '../targets/log-allowance.ts';
import { type AttemptTokens, claimFromToken } from './attempt-tokens.ts';
import type { AttemptOperations, EndReport, LogReceipt, LogReport } from './report-messages.ts';

export type ReportDeskOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'attempts' | 'reports'>;
  readonly jobs: Pick<JobCache, 'load'>;
  readonly tokens: Pick<AttemptTokens, 'isTrue'>;
  readonly masks: Pick<TargetMasks, 'find'>;
  readonly continuation: Pick<JobContinuation, 'look'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  readonly clock: Clock;
  readonly random: () => number;
  /** The most bytes of log of one attempt in a namespace, 64 added for each line. */
  readonly maxLogBytes: (namespace: string) => number;
};

/** How long lines wait for the attempt to be handed over, and how often it is looked for. */
const acceptanceMs = 2_000;
const lookEveryMs = 100;

/** The most reports of one statement. */
const batchSize = 1_000;

/** An attempt whose token was shown. */
type Shown = ReportedExecution & { readonly attempt: number };

export class ReportDesk implements AttemptOperations {
  readonly #options: ReportDeskOptions;
  readonly #finds: Batcher<number, ReportedExecution | undefined>;
  readonly #touches: Batcher<Shown, boolean>;
  readonly #ends: Batcher<AttemptEnd, EndedAttempt | undefined>;

  constructor(options: ReportDeskOptions) {
    this.#options = options;
    const maxItems = batchSize;
    this.#finds = new Batcher({ flush: (ids) => this.#list(ids), maxItems });
    this.#touches = new Batcher({ flush: (attempts) => this.#touch(attempts), maxItems });
    this.#ends = new Batcher({ flush: (ends) => this.#end(ends), maxItems });
  }

  async heartbeat(token: string): Promise<{ readonly isCancelRequested: boolean; readonly reportBy: Date }> {
    const shown = await this.#show(token);
    const underWay = underWayOf(shown);
    // With its instance it needs no sign of life yet.
    if (underWay.isWithCallee && underWay.hasHeartbeat && !(await this.#touches.add(shown)))
      throw attemptEnded(shown.executionId, shown.attempt);
    const { isCancelRequested, reportBy } = underWay;
    return { isCancelRequested, reportBy };
  }

  async appendLogs({ token, lines, offset }: LogReport): Promise<LogReceipt> {
    const { store, clock, notifier, maxLogBytes } = this.#options;
    const shown = await this.#showAccepted(token);
    const { executionId, attempt, namespace } = shown;
    const now = clock.now();
    const mask = await this.#maskOf(shown, await this.#jobOf(shown), token);
    const bounded = lines.map((line) => ({
      ...line,
      at: line.at ?? now,
      message: boundedText(mask.text(line.message), maxLogLineBytes),
      ...(line.data && { data: mask.json(line.data) }),
    }));
    const receipt = await store.transaction(async (tx): Promise<LogReceipt> => {
      const locked = await store.reports.lock(tx, executionId, attempt);
      if (!locked) throw attemptEnded(executionId, attempt);
      const from = offset ?? locked.lines;
      if (from > locked.lines) throw logOffsetTooHigh(from, locked.lines);
      const fresh = bounded.slice(locked.lines - from);
      const allowance = new LogAllowance(maxLogBytes(namespace), locked.bytes);
      const wasUsedUp = allowance.isUsedUp;
      const admitted = fresh.flatMap((line) => {
        const kept = allowance.admit(line, bytesOf(line));
        return kept ? [{ ...kept, at: line.at }] : [];
      });
      const arrived = { lines: locked.lines + fresh.length, bytes: allowance.usedBytes };
      await store.reports.append(tx, { executionId, attempt, jobId: locked.jobId }, admitted, arrived);
      // The line that says so takes the place of one that is dropped.
      const stored = admitted.length - (allowance.isUsedUp && !wasUsedUp ? 1 : 0);
      return {
        stored,
        repeated: lines.length - fresh.length,
        dropped: fresh.length - stored,
        nextOffset: arrived.lines,
        isCancelRequested: locked.isCancelRequested,
      };
    });
    notifier.notify('feed');
    return receipt;
  }

  async complete(report: EndReport): Promise<{ readonly alreadyEnded: boolean }> {
    const { store, notifier, continuation } = this.#options;
    const shown = await this.#show(report.token);
    const { executionId, attempt } = shown;
    if (shown.underWay?.attempt === attempt) {
      const job = await this.#jobOf(shown);
      const mask = await this.#maskOf(shown, job, report.token);
      const end = endFromReport(maskedReport(report, mask), shown, shown.underWay.isCancelRequested);
      const retryAfterMs =
        job && retryWaitMs(job.definition.retry, attempt, { ...report, ...end }, this.#options.random);
      const ended = await this.#ends.add({ ...end, retryAfterMs });
      if (ended) {
        notifier.notify('feed');
        if (ended.isLimited || !ended.isFinal) notifier.notify('pending');
        if (ended.isFinal) continuation.look([ended.jobId]);
        else notifier.notify('retry');
        return { alreadyEnded: false };
      }
    }
    const recorded = await store.reports.findEnd(store.db, executionId, attempt);
    if (!recorded || !isSameEnd(report, recorded)) throw attemptEnded(executionId, attempt);
    return { alreadyEnded: true };
  }

  /** The job of an attempt, which is cached as a rule; undefined where its row is gone. */
  async #jobOf({ jobId, generation }: Shown): Promise<CachedJob | undefined> {
    const { store, jobs } = this.#options;
    return (await jobs.load(store.db, [{ jobId, generation }])).get(jobId);
  }

  #maskOf({ namespace }: Shown, job: CachedJob | undefined, token: string): Promise<AnswerMask> {
    return this.#options.masks.find(job?.definition.target, namespace, token);
  }

  /** The attempt that a token is of; refuses what is no token. */
  async #show(token: string): Promise<Shown> {
    const claim = claimFromToken(token);
    if (!claim) throw tokenRefused();
    const { executionId, attempt } = claim;
    const found = await this.#finds.add(executionId);
    // Of an execution that is not there, a forged token takes as long to refuse.
    const { jobId, term } = found ?? { jobId: 0, term: 0 };
    if (!this.#options.tokens.isTrue(claim, { executionId, attempt, jobId, term }) || !found)
      throw tokenRefused();
    return { ...found, attempt };
  }

  /** The attempt that a token is of, once its callee has it. */
  async #showAccepted(token: string): Promise<Shown> {
    const { clock } = this.#options;
    const untilMs = clock.monotonicMs() + acceptanceMs;
    for (;;) {
      const shown = await this.#show(token);
      if (underWayOf(shown).isWithCallee) return shown;
      if (clock.monotonicMs() >= untilMs) throw attemptNotAccepted(shown.executionId, shown.attempt);
      await clock.sleep(lookEveryMs);
    }
  }

  async #list(ids: readonly number[]): Promise<readonly (ReportedExecution | undefined)[]> {
    const { store } = this.#options;
    const found = await store.reports.list(store.db, [...new Set(ids)]);
    return ids.map((id) => found.get(id));
  }

  async #touch(attempts: readonly Shown[]): Promise<readonly boolean[]> {
    const { store } = this.#options;
    const touched = await store.reports.touch(store.db, attempts);
    return attempts.map(({ executionId }) => touched.has(executionId));
  }

  /**
   * Ends attempts whoever holds them. Of two reports on one execution that of
   * the newer attempt counts, since the older one is over, then the first.
   */
  async #end(ends: readonly AttemptEnd[]): Promise<readonly (EndedAttempt | undefined)[]> {
    const { store } = this.#options;
    const counting = new Map<number, AttemptEnd>();
    for (const end of ends) {
      const other = counting.get(end.executionId);
      if (!other || end.attempt > other.attempt) counting.set(end.executionId, end);
    }
    const written = await store.attempts.endOf(store.db, Array(counting.size).fill(null), [
      ...counting.values(),
    ]);
    const byId = new Map(written.map((ended) => [ended.id, ended]));
    return ends.map((end) => (counting.get(end.executionId) === end ? byId.get(end.executionId) : undefined));
  }
}

/** The attempt of a token, which is the one under way. */
function underWayOf({ executionId, attempt, underWay }: Shown): NonNullable<Shown['underWay']> {
  if (underWay?.attempt !== attempt) throw attemptEnded(executionId, attempt);
  return underWay;
}

/** What a line costs of the allowance, besides being one. */
const bytesOf = ({ message, data }: LogLine): number =>
  Buffer.byteLength(message) + (data === undefined ? 0 : Buffer.byteLength(JSON.stringify(data)));

const maskedReport = (report: EndReport, mask: AnswerMask): EndReport => ({
  ...report,
  message: mask.text(report.message),
  ...(report.result && { result: mask.json(report.result) }),
});

function endFromReport(
  { state, message, result, retryable }: EndReport,
  { executionId, attempt }: Shown,
  isCancelRequested: boolean,
): AttemptEnd & { readonly retryable: boolean } {
  const common = { executionId, attempt, result };
  if (state === 'SUCCEEDED') return { ...common, outcome: 'SUCCEEDED', message, retryable: false };
  const isOwnWish = state === 'CANCELED' && !isCancelRequested;
  return {
    ...common,
    outcome: 'FAILED',
    reason: 'TARGET_ERROR',
    message: isOwnWish && message === '' ? 'the callee canceled it' : message,
    retryable: retryable && state === 'FAILED',
  };
}

/** Whether an attempt ended as its callee reports, by a report or by the callee's own answer. */
function isSameEnd({ state }: EndReport, { outcome, reason }: RecordedEnd): boolean {
  if (state === 'SUCCEEDED' || outcome === 'SUCCEEDED') return state === outcome;
  return outcome === 'CANCELED' || reason === 'TARGET_ERROR';
}
