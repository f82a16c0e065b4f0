/**
 * What the outside may ask of the engine. The services of rpc/ and the
 * gateways speak to these types only: a handler converts a message, calls one
 * operation, and converts the answer. Every operation that changes something
 * is one transaction; every failure is a DomainError.
 */
import type { Access, Permission } from '../domain/access.ts';
import type { Execution, ExecutionCause, ExecutionState, LogEntry, LogLevel } from '../domain/execution.ts';
import type {
  Job,
  JobDefinition,
  JobKey,
  JobRef,
  JobState,
  OverlapPolicy,
  Parameters,
  Placement,
  Selector,
} from '../domain/job.ts';
import type { Schedule } from '../domain/schedule/schedule.ts';
import type { TokenOperations } from './access/token-operations.ts';
import type { AuditOperations } from './audit/audit-operations.ts';
import type { CalendarOperations } from './calendar-operations.ts';
import type { NamespaceOperations } from './namespace-operations.ts';
import type { AttemptOperations } from './reports/report-messages.ts';
import type { SecretOperations } from './secrets/secret-operations.ts';
import type { StreamMessage, StreamRequest } from './stream-messages.ts';
import type { WorkerOperations } from './workers/worker-operations.ts';

/** Who asks, for what, and from where: for what it may, for pauses, the audit and the log. */
export type Caller = {
  /** Who it is, in a word for people: the name of a token, the subject of a JWT, `anonymous`. */
  readonly actor: string;
  readonly access: Access;
  readonly requestId: string;
  /** The RPC, such as `carillon.v1.JobService/Trigger`. */
  readonly method: string;
  /** What the RPC needs the caller to be allowed, in the namespace that the call is about. */
  readonly permission: Permission;
  /** The address that the call came from. */
  readonly peer: string;
};

/** One job or many. */
export type JobChoice = { readonly job: JobRef } | { readonly selector: Selector };

/** What Delete takes: one job, only as it was read where a revision is given, or many. */
export type DeleteChoice =
  | { readonly job: JobRef /** As in UpdateJob. */; readonly etag?: string }
  | { readonly selector: Selector };

/**
 * A schedule as a user gives it: an interval may lack its anchor, which is
 * fixed when the schedule is stored (its start, else the database's now).
 */
export type ScheduleDraft = Omit<Schedule, 'spec'> & {
  readonly spec:
    | Exclude<Schedule['spec'], { kind: 'interval' }>
    | (Omit<Extract<Schedule['spec'], { kind: 'interval' }>, 'anchorMs'> & { readonly anchorMs?: number });
};

/** A definition as a user gives it. */
export type JobDraft = Omit<JobDefinition, 'schedules'> & { readonly schedules: readonly ScheduleDraft[] };

export type AddJob = {
  readonly key: JobKey;
  readonly draft: JobDraft;
  readonly startPaused: boolean;
  readonly replace: boolean;
  /** Changes nothing and answers what would be stored; requestId does not count then. */
  readonly validateOnly?: boolean;
  /** Empty: the call is not made safe to repeat. */
  readonly requestId: string;
  /** Equal for equal requests: a digest of the whole request. */
  readonly requestDigest: string;
};

export type UpdateJob = {
  readonly job: JobRef;
  /** Only the fields to change. */
  readonly changes: Partial<JobDraft> & { readonly clearQueueTimeout?: boolean };
  /** The revision that the caller saw, as decimal text; `0` is nobody's. Empty: whatever is there. */
  readonly etag: string;
};

export type TriggerJob = {
  readonly job: JobRef;
  readonly requestId: string;
  readonly requestDigest: string;
  readonly parameters: Parameters;
  readonly requireActive: boolean;
  readonly allowFinished: boolean;
  readonly overlap?: OverlapPolicy;
  /** Who is to run it, in place of what the job's worker target says. */
  readonly placement?: Placement;
  readonly cause: Extract<ExecutionCause, 'MANUAL' | 'API'>;
};

/** Runs the fire times from `startAt`, inclusive, to `endAt`, exclusive. */
export type Backfill = {
  readonly job: JobRef;
  readonly startAt: Date;
  readonly endAt: Date;
  readonly overlap: OverlapPolicy;
  /** Changes nothing and answers what would happen. */
  readonly dryRun: boolean;
  readonly requestId: string;
  readonly requestDigest: string;
};

export type JobFilter = {
  readonly namespace?: string;
  /** Where the caller may look; absent: everywhere. Access control sets it, as in the other filters. */
  readonly within?: readonly string[];
  readonly group?: string;
  readonly namePrefix?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly states?: readonly JobState[];
};

export type JobOrder = 'key' | 'key desc' | 'create_time' | 'create_time desc';

/** A page is bound to its list: the token of one filter is refused by another. */
export type Page = { readonly size: number; readonly token: string };

export type PreviewFireTime = {
  readonly fireAt: Date;
  readonly localTime: string;
  readonly timeZone: string;
  readonly schedule: string;
  readonly note: string;
};

export type JobOperations = {
  add(request: AddJob, caller: Caller): Promise<{ job: Job; created: boolean; warnings: readonly string[] }>;
  get(job: JobRef, caller: Caller): Promise<{ job: Job; lastExecution?: Execution }>;
  list(
    filter: JobFilter,
    page: Page,
    order: JobOrder,
    caller: Caller,
  ): Promise<{ jobs: readonly Job[]; nextPageToken: string; totalSize: number }>;
  update(request: UpdateJob, caller: Caller): Promise<Job>;
  pause(
    choice: JobChoice,
    pause: { readonly reason: string; readonly untilAt?: Date },
    caller: Caller,
  ): Promise<{ jobs: readonly Job[]; changed: number; pauseId: string }>;
  resume(
    choice: JobChoice,
    options: {
      readonly pauseId: string;
      readonly missed: 'DROP' | 'RUN_LAST' | 'RUN_ALL';
      readonly dryRun: boolean;
    },
    caller: Caller,
  ): Promise<{ jobs: readonly Job[]; changed: number; heldBackFireTimes: readonly Date[] }>;
  delete(
    choice: DeleteChoice,
    onRunning: 'LEAVE' | 'CANCEL' | 'FAIL_IF_RUNNING',
    caller: Caller,
  ): Promise<{ deleted: number; existed: boolean }>;
  trigger(request: TriggerJob, caller: Caller): Promise<{ execution: Execution; replayed: boolean }>;
  backfill(
    request: Backfill,
    caller: Caller,
  ): Promise<{
    readonly executionsCreated: number;
    readonly fireTimes: readonly Date[];
    /** Absent where nothing was made. */
    readonly backfillId?: number;
    readonly replayed: boolean;
  }>;
  preview(
    what: { readonly job: JobRef } | { readonly schedules: readonly ScheduleDraft[]; readonly key?: JobKey },
    options: { readonly from?: Date; readonly count: number },
    caller: Caller,
  ): Promise<{ fireTimes: readonly PreviewFireTime[]; warnings: readonly string[] }>;
};

export type ExecutionFilter = {
  readonly job?: JobRef;
  readonly namespace?: string;
  readonly within?: readonly string[];
  readonly group?: string;
  readonly states?: readonly ExecutionState[];
  readonly causes?: readonly ExecutionCause[];
  /** Inclusive. */
  readonly startFireAt?: Date;
  /** Exclusive. */
  readonly endFireAt?: Date;
  readonly labels?: Readonly<Record<string, string>>;
  readonly backfillId?: number;
};

export type CancelChoice =
  | { readonly executionIds: readonly number[] }
  | { readonly jobs: readonly JobRef[] }
  | { readonly selector: Selector }
  | { readonly namespace: string }
  | { readonly backfillId: number };

export type ListLogs = {
  readonly executionId: number;
  readonly afterSeq: number;
  readonly minLevel: LogLevel;
  /** 0: every attempt. */
  readonly attempt: number;
  readonly newestFirst: boolean;
};

export type ExecutionOperations = {
  get(executionId: number, caller: Caller): Promise<Execution>;
  list(
    filter: ExecutionFilter,
    page: Page,
    order: 'create_time' | 'create_time desc',
    caller: Caller,
  ): Promise<{ executions: readonly Execution[]; nextPageToken: string }>;
  cancel(
    choice: CancelChoice,
    reason: string,
    caller: Caller,
  ): Promise<{
    canceled: readonly number[];
    notFound: readonly number[];
    alreadyFinished: readonly number[];
    jobsNotFound: readonly JobRef[];
  }>;
  listLogs(
    request: ListLogs,
    page: Page,
    caller: Caller,
  ): Promise<{ entries: readonly LogEntry[]; nextPageToken: string }>;
  /**
   * Ends by itself after the final state of a single execution, or when there
   * is nothing more to replay and follow is false. Ends with UNAVAILABLE when
   * the instance stops. Returning from the iterator lets go of everything.
   */
  stream(request: StreamRequest, signal: AbortSignal, caller: Caller): AsyncIterable<StreamMessage>;
};

export type {
  AuthenticationOperations,
  Credentials,
  Principal,
} from './access/authentication-operations.ts';
export type { TokenOperations } from './access/token-operations.ts';
export type {
  AuditEvent,
  AuditFilter,
  AuditOperations,
  RefusalRecorder,
  RefusedCall,
} from './audit/audit-operations.ts';
export type { CalendarOperations } from './calendar-operations.ts';
export type { NamespaceDraft, NamespaceOperations, QueueDraft } from './namespace-operations.ts';
export type { AttemptOperations, EndReport, LogReceipt, LogReport } from './reports/report-messages.ts';
export type { PutSecret, SecretOperations } from './secrets/secret-operations.ts';
export type { StreamEvent, StreamMessage, StreamRequest } from './stream-messages.ts';
export type {
  Assignment,
  AttemptRef,
  WorkerEvent,
  WorkerHello,
  WorkerReport,
  WorkerResult,
  WorkerSession,
} from './workers/worker-messages.ts';
export type { ListedWorker, WorkerFilter, WorkerOperations } from './workers/worker-operations.ts';

export type Operations = {
  readonly jobs: JobOperations;
  readonly calendars: CalendarOperations;
  readonly secrets: SecretOperations;
  readonly namespaces: NamespaceOperations;
  readonly tokens: TokenOperations;
  readonly executions: ExecutionOperations;
  readonly workers: WorkerOperations;
  readonly attempts: AttemptOperations;
  readonly audit: AuditOperations;
  /** Resolves while the instance can serve; rejects with the reason why not. For readiness. */
  ready(): Promise<void>;
};
