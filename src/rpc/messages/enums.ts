/**
 * Every enum of the protos beside its text union, one table each. A table is
 * complete because its type is a Record over the union; 0 and numbers that the
 * proto does not have read as undefined, so that defaults apply.
 */
import { Weekday as WeekdayMessage } from '../../../gen/carillon/v1/calendar_pb.js';
import * as execution from '../../../gen/carillon/v1/execution_pb.js';
import { LogOrder } from '../../../gen/carillon/v1/execution_service_pb.js';
import * as job from '../../../gen/carillon/v1/job_pb.js';
import { MissedPolicy, OnRunning } from '../../../gen/carillon/v1/job_service_pb.js';
import { Permission as PermissionMessage } from '../../../gen/carillon/v1/permission_pb.js';
import * as schedule from '../../../gen/carillon/v1/schedule_pb.js';
import { SecretKind as SecretKindMessage } from '../../../gen/carillon/v1/secret_pb.js';
import { Role as RoleMessage } from '../../../gen/carillon/v1/token_pb.js';
import { WorkerState as WorkerStateMessage } from '../../../gen/carillon/v1/worker_service_pb.js';
import type { Permission, Role } from '../../domain/access.ts';
import type {
  AttemptOutcome,
  ExecutionCause,
  ExecutionReason,
  ExecutionState,
  LogLevel,
} from '../../domain/execution.ts';
import type { JobState, MisfirePolicy, OverlapPolicy } from '../../domain/job.ts';
import type { Weekday } from '../../domain/schedule/calendar.ts';
import type {
  AmbiguousPolicy,
  CronDialect,
  GapPolicy,
  IntervalSchedule,
} from '../../domain/schedule/schedule.ts';
import type { SecretKind } from '../../domain/secret.ts';
import type { ListedWorker } from '../../engine/operations.ts';

type WorkerState = ListedWorker['state'];

/** Converts between the texts of the domain and the numbers of one proto enum. */
export type EnumTable<Text extends string, Value extends number> = {
  toMessage(text: Text): Value;
  /** Undefined for 0 and for numbers that the proto does not have. */
  fromMessage(value: number): Text | undefined;
};

function enumTable<Text extends string, Value extends number>(
  values: Readonly<Record<Text, Value>>,
): EnumTable<Text, Value> {
  const texts = new Map<number, Text>();
  for (const text of Object.keys(values) as Text[]) texts.set(values[text], text);
  return {
    toMessage: (text) => values[text],
    fromMessage: (value) => texts.get(value),
  };
}

/** What a job does now. */
export const jobStates = enumTable<JobState, job.JobState>({
  ACTIVE: job.JobState.ACTIVE,
  PAUSED: job.JobState.PAUSED,
  FINISHED: job.JobState.FINISHED,
});

/** What happens at a fire time while an execution is open. */
export const overlapPolicies = enumTable<OverlapPolicy, job.OverlapPolicy>({
  SKIP: job.OverlapPolicy.SKIP,
  BUFFER_ONE: job.OverlapPolicy.BUFFER_ONE,
  BUFFER_ALL: job.OverlapPolicy.BUFFER_ALL,
  CANCEL_OTHER: job.OverlapPolicy.CANCEL_OTHER,
  ALLOW: job.OverlapPolicy.ALLOW,
});

/** What is done with missed fire times. */
export const misfirePolicies = enumTable<MisfirePolicy, job.MisfirePolicy>({
  SKIP: job.MisfirePolicy.SKIP,
  RUN_LAST: job.MisfirePolicy.RUN_LAST,
  RUN_ALL: job.MisfirePolicy.RUN_ALL,
});

/** What happens at Resume to fire times that were held back. */
export const missedPolicies = enumTable<'DROP' | 'RUN_LAST' | 'RUN_ALL', MissedPolicy>({
  DROP: MissedPolicy.DROP,
  RUN_LAST: MissedPolicy.RUN_LAST,
  RUN_ALL: MissedPolicy.RUN_ALL,
});

/** What happens at Delete to open executions. */
export const onRunnings = enumTable<'LEAVE' | 'CANCEL' | 'FAIL_IF_RUNNING', OnRunning>({
  LEAVE: OnRunning.LEAVE,
  CANCEL: OnRunning.CANCEL,
  FAIL_IF_RUNNING: OnRunning.FAIL_IF_RUNNING,
});

/** The grammar of a cron expression. */
export const cronDialects = enumTable<CronDialect, schedule.CronDialect>({
  UNIX: schedule.CronDialect.UNIX,
  QUARTZ: schedule.CronDialect.QUARTZ,
});

/** What happens at a local time that clocks jump over. */
export const gapPolicies = enumTable<GapPolicy, schedule.GapPolicy>({
  RUN_AT_GAP_END: schedule.GapPolicy.RUN_AT_GAP_END,
  SKIP: schedule.GapPolicy.SKIP,
});

/** What happens at a local time that comes twice. */
export const ambiguousPolicies = enumTable<AmbiguousPolicy, schedule.AmbiguousPolicy>({
  FIRST: schedule.AmbiguousPolicy.FIRST,
  SECOND: schedule.AmbiguousPolicy.SECOND,
  BOTH: schedule.AmbiguousPolicy.BOTH,
});

/** How an interval is measured. */
export const intervalModes = enumTable<IntervalSchedule['mode'], schedule.IntervalMode>({
  FIXED_RATE: schedule.IntervalMode.FIXED_RATE,
  FIXED_DELAY: schedule.IntervalMode.FIXED_DELAY,
});

/** The days of the week. */
export const weekdays = enumTable<Weekday, WeekdayMessage>({
  MONDAY: WeekdayMessage.MONDAY,
  TUESDAY: WeekdayMessage.TUESDAY,
  WEDNESDAY: WeekdayMessage.WEDNESDAY,
  THURSDAY: WeekdayMessage.THURSDAY,
  FRIDAY: WeekdayMessage.FRIDAY,
  SATURDAY: WeekdayMessage.SATURDAY,
  SUNDAY: WeekdayMessage.SUNDAY,
});

/** Why an execution exists. */
export const executionCauses = enumTable<ExecutionCause, execution.ExecutionCause>({
  SCHEDULE: execution.ExecutionCause.SCHEDULE,
  MANUAL: execution.ExecutionCause.MANUAL,
  API: execution.ExecutionCause.API,
  BACKFILL: execution.ExecutionCause.BACKFILL,
  CATCH_UP: execution.ExecutionCause.CATCH_UP,
});

/** The state of an execution. */
export const executionStates = enumTable<ExecutionState, execution.ExecutionState>({
  PENDING: execution.ExecutionState.PENDING,
  RUNNING: execution.ExecutionState.RUNNING,
  SUCCEEDED: execution.ExecutionState.SUCCEEDED,
  FAILED: execution.ExecutionState.FAILED,
  CANCELED: execution.ExecutionState.CANCELED,
  SKIPPED: execution.ExecutionState.SKIPPED,
});

/** How an attempt ended, or that it runs. */
export const attemptOutcomes = enumTable<AttemptOutcome | 'RUNNING', execution.ExecutionState>({
  RUNNING: execution.ExecutionState.RUNNING,
  SUCCEEDED: execution.ExecutionState.SUCCEEDED,
  FAILED: execution.ExecutionState.FAILED,
  CANCELED: execution.ExecutionState.CANCELED,
});

/** How an attempt ended, by the word of whoever ran it. */
export const reportedStates = enumTable<AttemptOutcome, execution.ExecutionState>({
  SUCCEEDED: execution.ExecutionState.SUCCEEDED,
  FAILED: execution.ExecutionState.FAILED,
  CANCELED: execution.ExecutionState.CANCELED,
});

/** Why an execution or an attempt is in its state. */
export const executionReasons = enumTable<ExecutionReason, execution.ExecutionReason>({
  OVERLAP: execution.ExecutionReason.OVERLAP,
  MISFIRE: execution.ExecutionReason.MISFIRE,
  PAUSED: execution.ExecutionReason.PAUSED,
  CALENDAR: execution.ExecutionReason.CALENDAR,
  QUEUE_TIMEOUT: execution.ExecutionReason.QUEUE_TIMEOUT,
  ATTEMPT_TIMEOUT: execution.ExecutionReason.ATTEMPT_TIMEOUT,
  TARGET_ERROR: execution.ExecutionReason.TARGET_ERROR,
  WORKER_LOST: execution.ExecutionReason.WORKER_LOST,
  CANCEL_REQUESTED: execution.ExecutionReason.CANCEL_REQUESTED,
  INVALID_JOB: execution.ExecutionReason.INVALID_JOB,
  HEARTBEAT_TIMEOUT: execution.ExecutionReason.HEARTBEAT_TIMEOUT,
});

/** How much a log line matters. */
export const logLevels = enumTable<LogLevel, execution.LogLevel>({
  DEBUG: execution.LogLevel.DEBUG,
  INFO: execution.LogLevel.INFO,
  WARN: execution.LogLevel.WARN,
  ERROR: execution.LogLevel.ERROR,
});

/** The order of a log. */
export const logOrders = enumTable<'OLDEST_FIRST' | 'NEWEST_FIRST', LogOrder>({
  OLDEST_FIRST: LogOrder.OLDEST_FIRST,
  NEWEST_FIRST: LogOrder.NEWEST_FIRST,
});

export const workerStates = enumTable<WorkerState, WorkerStateMessage>({
  CONNECTED: WorkerStateMessage.CONNECTED,
  DISCONNECTED: WorkerStateMessage.DISCONNECTED,
  DRAINING: WorkerStateMessage.DRAINING,
});

/** What a secret is for. */
export const secretKinds = enumTable<SecretKind, SecretKindMessage>({
  SIGNING: SecretKindMessage.SIGNING,
  CLIENT_CERTIFICATE: SecretKindMessage.CLIENT_CERTIFICATE,
  TEXT: SecretKindMessage.TEXT,
});

/** What a call needs its caller to be allowed. */
export const permissions = enumTable<Permission, PermissionMessage>({
  VIEW: PermissionMessage.VIEW,
  OPERATE: PermissionMessage.OPERATE,
  EDIT: PermissionMessage.EDIT,
  ADMINISTER: PermissionMessage.ADMINISTER,
  WORK: PermissionMessage.WORK,
  ATTEMPT_TOKEN: PermissionMessage.ATTEMPT_TOKEN,
});

/** What a caller is in a namespace. */
export const roles = enumTable<Role, RoleMessage>({
  VIEWER: RoleMessage.VIEWER,
  OPERATOR: RoleMessage.OPERATOR,
  EDITOR: RoleMessage.EDITOR,
  ADMIN: RoleMessage.ADMIN,
  WORKER: RoleMessage.WORKER,
});
