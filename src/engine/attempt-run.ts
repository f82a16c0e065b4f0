import type { Retry } from '../domain/job.ts';
import { mergeParameters } from '../domain/parameters.ts';
import { retryAfterLossMs, retryWaitMs } from '../domain/retry.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { AttemptEnd, ClaimedAttempt } from '../store/attempt-store.ts';
import type { HandOver } from '../store/report-store.ts';
import type { CachedJob } from './job-cache.ts';
import type { AttemptLog, LogWriter } from './log-writer.ts';
import type { AttemptTokens } from './reports/attempt-tokens.ts';
import type { AbortCause, DeliveryResult, TargetClient } from './targets/target.ts';

export type AttemptRunOptions = {
  readonly logs: Pick<LogWriter, 'open'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly target: TargetClient;
  readonly tokens: Pick<AttemptTokens, 'create'>;
  /** Whether the instance's lease is certain to be alive. */
  readonly isAlive: () => boolean;
  readonly random: () => number;
  /** The most bytes of log of an attempt that begins now in a namespace. */
  readonly maxLogBytes: (namespace: string) => number;
};

/** What is left of an attempt when its delivery is over. */
export type RunResult = {
  /** What to write about its end. Absent when it is not this instance's any more. */
  readonly end?: AttemptEnd;
  /** In place of an end: the callee has it. */
  readonly handOver?: HandOver;
  /** Whom to tell that it is written. */
  readonly stored?: () => void;
};

/**
 * One attempt on this instance: delivers it, bounds its time, aborts it when
 * somebody says so, and tells what to write about its end. The first cause of
 * an abort stands; what has come to its end by itself has ended, also when an
 * abort was under way. An attempt that its callee accepts is handed over, also
 * when a cancel was under way or this instance stops: the cancel is in the
 * database, and the callee hears of it there.
 */
export class AttemptRun {
  readonly #options: AttemptRunOptions;
  readonly #claimed: ClaimedAttempt;
  readonly #job: CachedJob;
  readonly #controller = new AbortController();
  #cause: AbortCause | undefined;

  constructor(options: AttemptRunOptions, claimed: ClaimedAttempt, job: CachedJob) {
    this.#options = options;
    this.#claimed = claimed;
    this.#job = job;
  }

  /** Whether a worker runs it. */
  get isAtWorker(): boolean {
    return this.#claimed.workerId !== null;
  }

  /** Aborts the delivery, or keeps it from beginning; nothing when it was aborted before. */
  abort(cause: AbortCause): void {
    if (this.#cause !== undefined) return;
    this.#cause = cause;
    this.#controller.abort(cause);
  }

  /** Runs to the end; called once. */
  async run(): Promise<RunResult> {
    const { clock, logs, logger, isAlive } = this.#options;
    const { executionId, attempt, cancelRequested, lastSeq, heldMs } = this.#claimed;
    if (cancelRequested) this.abort('cancel');
    // A process that was stopped since the claim must not begin what others may run by now.
    if (!isAlive()) this.abort('lost');
    const timeoutMs = Math.max(0, this.#job.definition.attemptTimeoutMs - heldMs);
    // Its worker may have been told so by another instance, and then says that it canceled it.
    if (timeoutMs === 0) this.abort('timeout');
    const cancelTimer = clock.setTimer(timeoutMs, () => this.abort('timeout'));
    const log = logs.open(executionId, attempt, lastSeq, () => this.abort('lost'));
    let result: DeliveryResult;
    try {
      result = this.#mayDeliver() ? await this.#deliver(log, timeoutMs) : abortedResult;
      await log.flush();
    } catch (error) {
      logger.error({ error, executionId, attempt }, 'target client failed');
      result = failedInside;
    }
    cancelTimer();
    const wasAborted = result === abortedResult || this.#controller.signal.aborted;
    const cause = wasAborted ? this.#cause : undefined;
    const { outcome, loggedBytes = 0, stored, ...plain } = result;
    if (outcome !== 'ACCEPTED') return { end: this.#endOf({ ...plain, outcome }, cause), stored };
    if (cause === 'lost') return {};
    // Of one whose time is up there is nothing to hand over.
    if (cause === 'timeout') return { end: this.#endOf({ ...plain, outcome: 'FAILED' }, cause) };
    return { handOver: this.#handOverOf(loggedBytes) };
  }

  #handOverOf(loggedBytes: number): HandOver {
    const { executionId, attempt } = this.#claimed;
    const { attemptTimeoutMs, target } = this.#job.definition;
    const heartbeatTimeoutMs = 'heartbeatTimeoutMs' in target ? target.heartbeatTimeoutMs : undefined;
    return { executionId, attempt, timeoutMs: attemptTimeoutMs, heartbeatTimeoutMs, loggedBytes };
  }

  /** What was aborted before it began is not begun; but a worker may run it already, and then is to be told. */
  #mayDeliver(): boolean {
    const { workerId, heldMs } = this.#claimed;
    if (this.#cause === undefined) return true;
    return this.#cause !== 'lost' && workerId !== null && heldMs > 0;
  }

  #deliver(log: AttemptLog, timeoutMs: number): Promise<DeliveryResult> {
    const { executionId, attempt, jobId, fireMs, cause, term, parameters, priority, workerId } =
      this.#claimed;
    const { key, definition } = this.#job;
    const { kind } = definition.target;
    // The others report on the stream that they hold; a token costs 2 µs.
    const reportsLater = kind === 'http' || kind === 'socket';
    return this.#options.target.deliver(
      definition.target,
      {
        executionId,
        attempt,
        attemptToken: reportsLater ? this.#options.tokens.create({ executionId, attempt, jobId, term }) : '',
        jobId,
        jobKey: key,
        fireAt: new Date(fireMs),
        cause,
        term,
        parameters: mergeParameters(definition.parameters, parameters),
        priority,
        workerId,
      },
      {
        signal: this.#controller.signal,
        timeoutMs,
        maxLogBytes: this.#options.maxLogBytes(key.namespace),
        log: (lines) => log.add(lines),
      },
    );
  }

  #endOf(result: EndResult, cause: AbortCause | undefined): AttemptEnd | undefined {
    const { executionId, attempt } = this.#claimed;
    const { retry, attemptTimeoutMs } = this.#job.definition;
    const common = { executionId, attempt };
    if (result.outcome === 'SUCCEEDED' || cause === undefined)
      return { ...common, ...result, retryAfterMs: this.#waitMs(retry, result) };
    switch (cause) {
      case 'lost':
        return undefined;
      case 'cancel':
        return { ...common, outcome: 'CANCELED', reason: 'CANCEL_REQUESTED', message: '' };
      case 'timeout': {
        const failed = { outcome: 'FAILED', reason: 'ATTEMPT_TIMEOUT', retryable: true } as const;
        const message = `the attempt took longer than ${attemptTimeoutMs} ms`;
        return { ...common, ...failed, message, retryAfterMs: this.#waitMs(retry, failed) };
      }
      case 'stop':
        return {
          ...common,
          outcome: 'FAILED',
          reason: 'WORKER_LOST',
          message: 'the instance stopped before the attempt had ended',
          retryAfterMs: retryAfterLossMs(retry, attempt),
        };
    }
  }

  #waitMs(
    retry: Retry,
    result: Pick<EndResult, 'outcome' | 'retryable' | 'retryAfterMs'>,
  ): number | undefined {
    return retryWaitMs(retry, this.#claimed.attempt, result, this.#options.random);
  }
}

/** How a delivery ended that was not accepted for later. */
type EndResult = Omit<DeliveryResult, 'outcome' | 'loggedBytes' | 'stored'> & {
  readonly outcome: Exclude<DeliveryResult['outcome'], 'ACCEPTED'>;
};

const abortedResult: DeliveryResult = { outcome: 'FAILED', message: 'aborted', retryable: false };

const failedInside: DeliveryResult = {
  outcome: 'FAILED',
  reason: 'TARGET_ERROR',
  message: 'the delivery failed inside Carillon',
  retryable: true,
};
