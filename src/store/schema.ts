import type { ColumnType, Generated } from 'kysely';
import type { ExecutionCause, ExecutionReason, ExecutionState } from '../domain/execution.ts';
import type { Json, Misfire, OverlapPolicy, Parameters, Placement, Retry, Target } from '../domain/job.ts';
import type { Schedule, ScheduleProgress } from '../domain/schedule/schedule.ts';

/** A jsonb column: read as a value, written as its JSON text. */
type JsonColumn<T> = ColumnType<T, string, string>;

/** One that may be null, and is where nothing is said. */
type NullableJsonColumn<T> = ColumnType<T | null, string | null | undefined, string | null>;

export type JobTable = {
  id: Generated<number>;
  namespace: string;
  group_name: string;
  name: string;
  description: string;
  labels: JsonColumn<Record<string, string>>;
  schedules: JsonColumn<Schedule[]>;
  target: JsonColumn<Target>;
  parameters: JsonColumn<Parameters>;
  priority: number;
  overlap: OverlapPolicy;
  misfire: JsonColumn<Misfire>;
  retry: JsonColumn<Retry>;
  attempt_timeout_ms: number;
  queue_timeout_ms: number | null;
  max_running: number;
  queue_id: Generated<number | null>;
  placement: NullableJsonColumn<Placement>;
  generation: Generated<number>;
  revision: Generated<number>;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
  deleted_at: Generated<Date | null>;
};

export type TimerTable = {
  job_id: number;
  next_fire_at: Date | null;
  last_fire_at: Date | null;
  generation: number;
  progress: JsonColumn<ScheduleProgress[]>;
  waits_for_finish: boolean;
  zone_data: string;
};

export type PauseTable = {
  id: string;
  job_id: number;
  actor: string;
  reason: string;
  created_at: Generated<Date>;
  until_at: Date | null;
  held_since: Date;
};

export type ExecutionTable = {
  id: number;
  job_id: number;
  fire_at: Date;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  term: number;
  skipped_count: number;
  priority: number;
  attempt: number;
  cause: ExecutionCause;
  state: ExecutionState;
  reason: ExecutionReason | null;
  schedule: string;
  message: string;
  parameters: JsonColumn<Parameters | null>;
  result: JsonColumn<{ [key: string]: Json } | null>;
  backfill_id: number | null;
  worker_id: string | null;
};

export type OpenExecutionTable = {
  execution_id: number;
  job_id: number;
  priority: number;
  attempt: number;
  due_at: Date | null;
  expires_at: Date | null;
  instance_id: number | null;
  attempt_started_at: Date | null;
  cancel_requested_at: Date | null;
  cancel_message: string | null;
  cancel_reason: 'CANCEL_REQUESTED' | 'OVERLAP' | null;
  buffered_for: Date | null;
  backfill_id: number | null;
  queue_id: number | null;
  placement: NullableJsonColumn<Placement>;
  worker_id: string | null;
  lane: number | null;
  report_by: Date | null;
  heartbeat_by: Date | null;
  heartbeat_timeout_ms: number | null;
  reported_lines: number | null;
  reported_bytes: number | null;
};

export type AttemptTable = {
  execution_id: number;
  attempt: number;
  started_at: Date;
  finished_at: Date;
  instance_id: number;
  worker_id: string | null;
  outcome: 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  reason: ExecutionReason | null;
  message: string;
};

export type LogEntryTable = {
  execution_id: number;
  seq: number;
  logged_at: Date;
  attempt: number;
  level: number;
  message: string;
  data: JsonColumn<{ [key: string]: Json } | null>;
};

export type InstanceTable = {
  id: Generated<number>;
  name: string;
  roles: string;
  version: string;
  started_at: Generated<Date>;
  seen_at: Generated<Date>;
  lease_expires_at: Date;
};

export type RequestTable = {
  namespace: string;
  method: string;
  request_id: string;
  digest: string;
  subject_id: number;
  created_at: Generated<Date>;
};

export type QueueTable = { id: Generated<number>; namespace: string; name: string };

/** The tables as queries see them; the truth is in migrations/. */
export type Schema = {
  'carillon.job': JobTable;
  'carillon.timer': TimerTable;
  'carillon.pause': PauseTable;
  'carillon.queue': QueueTable;
  'carillon.execution': ExecutionTable;
  'carillon.open_execution': OpenExecutionTable;
  'carillon.attempt': AttemptTable;
  'carillon.log_entry': LogEntryTable;
  'carillon.instance': InstanceTable;
  'carillon.request': RequestTable;
};
