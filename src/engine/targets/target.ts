import type { AttemptOutcome, ExecutionCause, ExecutionReason, LogLine } from '../../domain/execution.ts';
import type { JobKey, Json, Parameters, Target } from '../../domain/job.ts';

/** Everything a callee is told about one attempt. */
export type Delivery = {
  readonly executionId: number;
  /** From 1. */
  readonly attempt: number;
  /** By which the callee may report later; empty where callees of the target's kind cannot. */
  readonly attemptToken: string;
  readonly jobId: number;
  readonly jobKey: JobKey;
  readonly fireAt: Date;
  readonly cause: ExecutionCause;
  /** The leadership term that fired it; 0 for a Trigger. */
  readonly term: number;
  /** The job's parameters with the run's overrides. */
  readonly parameters: Parameters;
  readonly priority: number;
  /** The worker that it was claimed for; null where the instance delivers it itself. */
  readonly workerId: string | null;
};

/** What a target may do while an attempt runs. */
export type DeliveryContext = {
  /** Aborts at a cancel, at the attempt's timeout, and when the instance stops; the reason is an AbortCause. */
  readonly signal: AbortSignal;
  /** How long the attempt may take from its delivery on, in milliseconds; the signal aborts then. For callees to know. */
  readonly timeoutMs: number;
  /**
   * The most bytes of log lines of the attempt, 64 added for each line. Then
   * one line says so, and what the callee says is heard without logging.
   */
  readonly maxLogBytes: number;
  /**
   * Adds lines to the execution's log. Resolves when more may follow: a target
   * that awaits it reads no faster than the lines can be stored.
   */
  log(lines: readonly LogLine[]): Promise<void>;
};

/** How an attempt ended, as far as the target can tell, or that it goes on at its callee. */
export type DeliveryResult = {
  /** ACCEPTED: the callee has the attempt and will report its end. */
  readonly outcome: Exclude<AttemptOutcome, 'CANCELED'> | 'ACCEPTED';
  /** Why it failed. */
  readonly reason?: ExecutionReason;
  /** In words, for people; neutral, without secrets. Empty on success. */
  readonly message: string;
  /** What the callee returned, when that was a JSON object. */
  readonly result?: { [key: string]: Json };
  /** For a failure: whether another attempt may help. */
  readonly retryable: boolean;
  /** For a failure: the callee's wish how long to wait, in milliseconds (Retry-After). */
  readonly retryAfterMs?: number;
  /** Of ACCEPTED: what the attempt has used up of its log allowance, in bytes. */
  readonly loggedBytes?: number;
  /** Told when the end is written, or refused because the attempt is somebody else's by now. */
  readonly stored?: () => void;
};

/** Why an attempt is aborted. */
export type AbortCause = 'cancel' | 'timeout' | 'lost' | 'stop';

/** Delivers attempts to one kind of target. */
export type TargetClient<T extends Target = Target> = {
  /**
   * Runs one attempt to its end. Never throws for what a callee does: every
   * such end is a result. When the signal aborts it lets go of the connection
   * and resolves at once; the caller knows why it aborted and decides.
   */
  deliver(target: T, delivery: Delivery, context: DeliveryContext): Promise<DeliveryResult>;
  /** Closes the pools. */
  close(): Promise<void>;
};
