-- The first schema.
--
-- Two ideas carry it:
--   * The ledger (execution) is written once at the fire time and changed in
--     place afterwards. None of its indexes names a column that changes, so
--     those changes are heap-only updates. What the claim needs lives in the
--     small, hot table open_execution, which holds the open executions only.
--   * Ids carry time: (milliseconds since 2024) × 4096 + counter. A range of
--     ids is a range of time, so execution, attempt and log_entry can be
--     partitioned by id later: id leads every primary key, and nothing relies
--     on a constraint across partitions.

create sequence carillon.id_counter as integer minvalue 0 maxvalue 4095 cycle cache 1;

comment on sequence carillon.id_counter is
  'the low 12 bits of ids: tells apart the ids of one millisecond. Carries no order and no meaning.';

create function carillon.next_id() returns bigint
language sql volatile parallel unsafe
as $$
  select (extract(epoch from clock_timestamp()) * 1000)::bigint * 4096
       - 1704067200000 * 4096
       + nextval('carillon.id_counter')
$$;

comment on function carillon.next_id() is
  'a time-ordered id below 2^53 until the year 2093. More than 4096 in one millisecond, or a clock that goes back, '
  'could repeat one: then the primary key refuses it and the command is tried again.';

create table carillon.job (
  id bigint primary key default carillon.next_id(),
  namespace text not null,
  group_name text not null,
  name text not null,
  description text not null,
  labels jsonb not null,
  schedules jsonb not null,
  target jsonb not null,
  parameters jsonb not null,
  priority integer not null,
  overlap text not null,
  misfire jsonb not null,
  retry jsonb not null,
  attempt_timeout_ms bigint not null,
  queue_timeout_ms bigint,
  generation bigint not null default 1,
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  constraint job_overlap_is_known check (overlap in ('SKIP', 'ALLOW')),
  constraint job_attempt_timeout_is_positive check (attempt_timeout_ms > 0),
  constraint job_queue_timeout_is_positive check (queue_timeout_ms > 0)
);

comment on table carillon.job is
  'definitions. A deleted one stays as long as its history, which shows its key; its name is free at once.';

create unique index job_key_idx on carillon.job (namespace, group_name, name) where deleted_at is null;
comment on index carillon.job_key_idx is 'find a job by key; list jobs by key; a key names one job';
create index job_labels_idx on carillon.job using gin (labels jsonb_path_ops) where deleted_at is null;
comment on index carillon.job_labels_idx is 'choose jobs by labels';

create table carillon.timer (
  job_id bigint primary key references carillon.job (id),
  next_fire_at timestamptz,
  last_fire_at timestamptz,
  generation bigint not null,
  runs_made integer[] not null default '{}'
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);

comment on table carillon.timer is
  'when each job fires next: one narrow row a job. Whoever fires, triggers, edits or resumes a job locks its row, '
  'so that all decisions about one job come one after the other.';
comment on column carillon.timer.generation is 'that of the job, so that firing need not read the wide row';
comment on column carillon.timer.runs_made is
  'for schedule i (from 1) how many runs it has made; only kept where a schedule has a repeat count';

create index timer_next_fire_at_idx on carillon.timer (next_fire_at) where next_fire_at is not null;
comment on index carillon.timer_next_fire_at_idx is 'the due jobs, earliest first; the earliest of all';

create table carillon.pause (
  id text primary key,
  job_id bigint not null references carillon.job (id),
  actor text not null,
  reason text not null,
  created_at timestamptz not null default now(),
  until_at timestamptz
);

comment on table carillon.pause is
  'pauses are stacked: a job is held while one of its rows stands whose end has not come. One call that pauses '
  'many jobs makes a row for each, with ids that share the part before the dot.';

create index pause_job_id_idx on carillon.pause (job_id);
comment on index carillon.pause_job_id_idx is 'the pauses of a job';

create table carillon.execution (
  id bigint primary key,
  job_id bigint not null,
  fire_at timestamptz not null,
  created_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  term bigint not null,
  skipped_count bigint not null default 0,
  priority integer not null,
  attempt integer not null default 0,
  cause text not null,
  state text not null,
  reason text,
  schedule text not null,
  message text not null default '',
  parameters jsonb,
  result jsonb,
  constraint execution_cause_is_known check (cause in ('SCHEDULE', 'MANUAL', 'API', 'CATCH_UP')),
  constraint execution_state_is_known
    check (state in ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED', 'SKIPPED')),
  constraint execution_finished_iff_final
    check ((state in ('PENDING', 'RUNNING')) = (finished_at is null)),
  constraint execution_skipped_has_reason check (state <> 'SKIPPED' or reason is not null)
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2);

comment on table carillon.execution is 'the ledger: one row for every fire time and every trigger';
comment on column carillon.execution.parameters is 'what Trigger overrides; the job''s own are added when they are read';

create index execution_job_id_id_idx on carillon.execution (job_id, id);
comment on index carillon.execution_job_id_id_idx is 'the executions of a job, newest or oldest first';
create unique index execution_one_row_per_fire_time_idx on carillon.execution (job_id, fire_at)
  where cause in ('SCHEDULE', 'CATCH_UP');
comment on index carillon.execution_one_row_per_fire_time_idx is
  'proves that a fire time has one row; the compare-and-set on timer.next_fire_at makes it so';

create table carillon.open_execution (
  execution_id bigint primary key,
  job_id bigint not null,
  priority integer not null,
  attempt integer not null default 0,
  due_at timestamptz,
  expires_at timestamptz,
  instance_id bigint,
  attempt_started_at timestamptz,
  cancel_requested_at timestamptz,
  cancel_message text,
  constraint open_execution_held_iff_started check ((instance_id is null) = (attempt_started_at is null)),
  constraint open_execution_waits_only_unheld check (due_at is null or instance_id is null)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);

comment on table carillon.open_execution is
  'the open executions: a row is made with the ledger row and deleted when that becomes final. instance_id is who '
  'holds the attempt; without one the execution waits: for a free slot, or until due_at when that is set.';

create index open_execution_claim_idx on carillon.open_execution (priority desc, execution_id)
  where instance_id is null and due_at is null;
comment on index carillon.open_execution_claim_idx is 'the claim: highest priority first, then oldest';
create index open_execution_due_at_idx on carillon.open_execution (due_at) where due_at is not null;
comment on index carillon.open_execution_due_at_idx is 'executions that wait for a time, earliest first';
create index open_execution_expires_at_idx on carillon.open_execution (expires_at) where expires_at is not null;
comment on index carillon.open_execution_expires_at_idx is 'executions that have waited too long';
create index open_execution_job_id_idx on carillon.open_execution (job_id);
comment on index carillon.open_execution_job_id_idx is 'whether a job has an open execution; cancel by job';

create table carillon.attempt (
  execution_id bigint not null,
  attempt integer not null,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  instance_id bigint not null,
  outcome text not null,
  reason text,
  message text not null default '',
  primary key (execution_id, attempt),
  constraint attempt_outcome_is_known check (outcome in ('SUCCEEDED', 'FAILED', 'CANCELED'))
);

comment on table carillon.attempt is
  'attempts that have ended, written once when they end. The one under way is in open_execution.';

create table carillon.log_entry (
  execution_id bigint not null,
  seq bigint not null,
  logged_at timestamptz not null,
  attempt integer not null,
  level smallint not null,
  message text not null,
  data jsonb,
  primary key (execution_id, seq),
  constraint log_entry_level_is_known check (level between 1 and 4)
);

comment on table carillon.log_entry is
  'log lines. seq counts from 1 within the execution without gap; whoever holds the attempt gives it.';

create table carillon.feed (
  xid xid8 not null default pg_current_xact_id(),
  place bigint generated always as identity,
  fed_at timestamptz not null default clock_timestamp(),
  execution_id bigint[] not null,
  job_id bigint[] not null,
  event smallint[] not null,
  attempt integer[] not null,
  first_seq bigint[] not null,
  last_seq bigint[] not null,
  primary key (xid, place)
);

comment on table carillon.feed is
  'what changed, one row for each batch that changed it: for watchers. event 0 is log lines first_seq to last_seq, '
  '1 to 6 an execution that entered PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED, SKIPPED. A watcher''s position '
  'is a Postgres snapshot: what that snapshot saw has been delivered. Kept for a short time only.';
comment on column carillon.feed.place is 'orders the rows of one transaction; says nothing across transactions';

alter table carillon.feed alter column execution_id set storage external;
alter table carillon.feed alter column job_id set storage external;
alter table carillon.feed alter column event set storage external;
alter table carillon.feed alter column attempt set storage external;
alter table carillon.feed alter column first_seq set storage external;
alter table carillon.feed alter column last_seq set storage external;

create index feed_fed_at_idx on carillon.feed (fed_at);
comment on index carillon.feed_fed_at_idx is 'feed rows past their time';

create table carillon.feed_epoch (
  only_row boolean primary key default true,
  epoch text not null,
  floor_xid xid8 not null,
  constraint feed_epoch_is_one_row check (only_row)
);

comment on table carillon.feed_epoch is
  'cursors carry the epoch: a new one makes all older cursors expire. Rows of transactions up to floor_xid may have '
  'been cleaned away.';

insert into carillon.feed_epoch (epoch, floor_xid) values (gen_random_uuid()::text, '0');

create table carillon.instance (
  id bigint primary key default carillon.next_id(),
  name text not null,
  roles text not null,
  version text not null,
  started_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp(),
  lease_expires_at timestamptz not null
);

comment on table carillon.instance is
  'the Carillon processes that are up. An instance renews its lease; once that has expired the leader takes its row '
  'and its attempts away.';

create table carillon.leader_lease (
  name text primary key,
  instance_id bigint not null,
  term bigint not null,
  expires_at timestamptz not null
);

comment on table carillon.leader_lease is
  'who leads. The term only grows; every write of a leader is made in a transaction that share-locks this row and '
  'finds its own term in it, so a takeover waits for such a transaction and none begins after it.';

create table carillon.request (
  namespace text not null,
  method text not null,
  request_id text not null,
  digest text not null,
  subject_id bigint not null,
  created_at timestamptz not null default now(),
  primary key (namespace, method, request_id)
);

comment on table carillon.request is
  'requests that may be repeated: what the first call made. Rows older than 24 hours are cleaned away.';

create index request_created_at_idx on carillon.request (created_at);
comment on index carillon.request_created_at_idx is 'requests past their time';
