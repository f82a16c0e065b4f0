import type { JobKey, Json, Parameters, Placement } from './job.ts';

export type ExecutionState = 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED' | 'SKIPPED';

export type FinalState = 'SUCCEEDED' | 'FAILED' | 'CANCELED' | 'SKIPPED';

export type ExecutionCause = 'SCHEDULE' | 'MANUAL' | 'API' | 'BACKFILL' | 'CATCH_UP';

export type ExecutionReason =
  | 'OVERLAP'
  | 'MISFIRE'
  | 'PAUSED'
  | 'CALENDAR'
  | 'QUEUE_TIMEOUT'
  | 'ATTEMPT_TIMEOUT'
  | 'TARGET_ERROR'
  | 'WORKER_LOST'
  | 'CANCEL_REQUESTED'
  | 'INVALID_JOB'
  | 'HEARTBEAT_TIMEOUT';

/** How an attempt ended. */
export type AttemptOutcome = 'SUCCEEDED' | 'FAILED' | 'CANCELED';

/** One try at delivering an execution. */
export type Attempt = {
  readonly attempt: number;
  readonly startedAt: Date;
  readonly finishedAt?: Date;
  readonly outcome: AttemptOutcome | 'RUNNING';
  readonly reason?: ExecutionReason;
  readonly message: string;
  readonly instanceId: string;
  /** Absent where the instance delivered it itself. */
  readonly workerId?: string;
};

/** One row of the ledger as the API shows it. */
export type Execution = {
  readonly id: number;
  readonly jobId: number;
  readonly jobKey: JobKey;
  readonly schedule: string;
  readonly cause: ExecutionCause;
  readonly fireAt: Date;
  readonly createdAt: Date;
  readonly startedAt?: Date;
  readonly finishedAt?: Date;
  readonly state: ExecutionState;
  readonly reason?: ExecutionReason;
  readonly message: string;
  readonly attempt: number;
  /** Present only where the whole execution was asked for. */
  readonly attempts?: readonly Attempt[];
  readonly parameters?: Parameters;
  readonly result?: { [key: string]: Json };
  readonly priority: number;
  readonly term: number;
  readonly waitingFor: string;
  readonly skippedCount: number;
  /** The backfill that made it. */
  readonly backfillId?: number;
  /** The worker that runs it, or ran its last attempt. */
  readonly workerId?: string;
  /** Where it waits for a worker, as long as it is PENDING. */
  readonly waitsIn?: { readonly queue: string; readonly placement?: Placement };
};

export type LogLevel = 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';

/** A line as a callee or Carillon writes it, before it has a place in the log. */
export type LogLine = {
  /** Absent: the moment it reached Carillon. */
  readonly at?: Date;
  readonly level: LogLevel;
  readonly message: string;
  readonly data?: { [key: string]: Json };
};

/** A line in the log of an execution. */
export type LogEntry = {
  readonly executionId: number;
  /** From 1 without gap; it never changes. */
  readonly seq: number;
  readonly at: Date;
  readonly level: LogLevel;
  readonly message: string;
  readonly data?: { [key: string]: Json };
  readonly attempt: number;
};

export const isFinal = (state: ExecutionState): state is FinalState =>
  state !== 'PENDING' && state !== 'RUNNING';

/** What a PENDING execution waits for when it may be claimed. */
export const waitingForSlot = 'an instance with a free slot';

/** What an execution in a queue waits for. */
export const waitingForWorker = (queue: string): string => `a worker of queue ${JSON.stringify(queue)}`;

/** What a buffered execution waits for. */
export const waitingForOthers = 'the executions of its job that go before it';
