-- Workers: queues that executions wait in, who may take them, who runs them.

create table carillon.queue (
  id bigint primary key default carillon.next_id(),
  namespace text not null,
  name text not null,
  created_at timestamptz not null default now()
);

comment on table carillon.queue is 'where executions wait for workers; made when a job or a worker first names it';

create unique index queue_namespace_name_idx on carillon.queue (namespace, name);
comment on index carillon.queue_namespace_name_idx is 'find a queue by name';

alter table carillon.job
  add column queue_id bigint references carillon.queue (id),
  add column placement jsonb;

comment on column carillon.job.queue_id is 'where the executions of a worker target wait; null for other targets';
comment on column carillon.job.placement is 'the labels that a worker must have, as {"labels": {...}}; null for any worker';

alter table carillon.open_execution
  add column queue_id bigint,
  add column placement jsonb,
  add column worker_id text;

comment on column carillon.open_execution.queue_id is 'where it waits for a worker; null: instances deliver it themselves';
comment on column carillon.open_execution.placement is
  'who may take it: {"workerId": "..."} or {"labels": {...}}; null for any worker of the queue';
comment on column carillon.open_execution.worker_id is 'the worker that runs the attempt, as long as it is held';

alter table carillon.execution add column worker_id text;
comment on column carillon.execution.worker_id is 'the worker that ran the last attempt';

alter table carillon.attempt add column worker_id text;
comment on column carillon.attempt.worker_id is 'the worker that ran it; null where the instance delivered it itself';

drop index carillon.open_execution_claim_idx;
create index open_execution_claim_idx on carillon.open_execution (priority desc, execution_id)
  where instance_id is null and due_at is null and buffered_for is null and queue_id is null;
comment on index carillon.open_execution_claim_idx is 'the claim: highest priority first, then oldest';
create index open_execution_queue_idx on carillon.open_execution (queue_id, priority desc, execution_id)
  where instance_id is null and due_at is null and buffered_for is null and queue_id is not null and placement is null;
comment on index carillon.open_execution_queue_idx is 'the claim of a queue, for any worker';
create index open_execution_placed_idx on carillon.open_execution (queue_id, priority desc, execution_id)
  where instance_id is null and due_at is null and buffered_for is null and queue_id is not null
    and placement is not null;
comment on index carillon.open_execution_placed_idx is 'the claim of a queue, for certain workers';

create table carillon.worker (
  namespace text not null,
  worker_id text not null,
  instance_id bigint not null references carillon.instance (id) on delete cascade,
  queues text[] not null,
  labels jsonb not null,
  capacity integer not null,
  running integer not null default 0,
  version text not null,
  state text not null,
  connected_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp(),
  primary key (namespace, worker_id),
  constraint worker_state_is_known check (state in ('CONNECTED', 'DISCONNECTED', 'DRAINING'))
);

comment on table carillon.worker is
  'the workers that hold a stream to an instance, or did until a moment ago. For people and for waiting_for only: who '
  'gets what is decided by the instance that holds the stream. Rows go with their instance.';

create index worker_instance_id_idx on carillon.worker (instance_id);
comment on index carillon.worker_instance_id_idx is 'the workers of an instance';
