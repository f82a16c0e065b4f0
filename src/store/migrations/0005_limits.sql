-- Limits: how many executions of a job, a queue, a namespace run at once, and how fast those of a queue and a
-- namespace are started.

create table carillon.namespace (
  id bigint primary key default carillon.next_id(),
  name text not null,
  description text not null default '',
  max_running integer,
  start_count integer,
  start_period_ms bigint,
  starts_booked_until timestamptz,
  limits_changed_at timestamptz,
  is_limited boolean not null generated always as (max_running is not null or start_count is not null) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint namespace_max_running_is_positive check (max_running > 0),
  constraint namespace_start_rate_is_whole
    check ((start_count is null) = (start_period_ms is null) and start_count > 0 and start_period_ms > 0)
);

comment on table carillon.namespace is
  'what separates tenants; made when something of it is first made, or by CreateNamespace';
comment on column carillon.namespace.starts_booked_until is
  'the bucket of the start rate as one instant: it lies ahead of now by a start_period for each start_count starts that '
  'have not been made up for yet';
comment on column carillon.namespace.limits_changed_at is
  'set as long as open executions may stand in a lane of the limits before (open_execution.lane)';

create unique index namespace_name_idx on carillon.namespace (name);
comment on index carillon.namespace_name_idx is 'find a namespace by name; list them';
create index namespace_limited_idx on carillon.namespace (name) where is_limited;
comment on index carillon.namespace_limited_idx is 'which namespaces have limits';

insert into carillon.namespace (name)
select 'default' union select namespace from carillon.job union select namespace from carillon.queue
 union select namespace from carillon.calendar union select namespace from carillon.secret;

alter table carillon.queue
  add column max_running integer,
  add column start_count integer,
  add column start_period_ms bigint,
  add column starts_booked_until timestamptz,
  add column limits_changed_at timestamptz,
  add column is_limited boolean not null generated always as (max_running is not null or start_count is not null) stored,
  add column updated_at timestamptz not null default now(),
  add constraint queue_max_running_is_positive check (max_running > 0),
  add constraint queue_start_rate_is_whole
    check ((start_count is null) = (start_period_ms is null) and start_count > 0 and start_period_ms > 0);

create index queue_limited_idx on carillon.queue (id) where is_limited;
comment on index carillon.queue_limited_idx is 'which queues have limits';

alter table carillon.job
  add column max_running integer not null default 0,
  add constraint job_max_running_is_not_negative check (max_running >= 0);
comment on column carillon.job.max_running is 'how many of its executions run at once; 0: no limit';

alter table carillon.open_execution add column lane bigint;
comment on column carillon.open_execution.lane is
  'the narrowest thing with which it shares a limit: the id of its job, its queue or its namespace; null where none of '
  'them has a limit. Whoever claims from a lane holds the lock of limits.';

drop index carillon.open_execution_claim_idx;
create index open_execution_claim_idx on carillon.open_execution (priority desc, execution_id)
  where instance_id is null and due_at is null and buffered_for is null and queue_id is null and lane is null;
comment on index carillon.open_execution_claim_idx is 'the claim: highest priority first, then oldest';
drop index carillon.open_execution_queue_idx;
create index open_execution_queue_idx on carillon.open_execution (queue_id, priority desc, execution_id)
  where instance_id is null and due_at is null and buffered_for is null and queue_id is not null and placement is null
    and lane is null;
comment on index carillon.open_execution_queue_idx is 'the claim of a queue, for any worker';
create index open_execution_lane_idx on carillon.open_execution
  ((coalesce(queue_id, 0)), lane, priority desc, execution_id)
  where instance_id is null and due_at is null and buffered_for is null and placement is null and lane is not null;
comment on index carillon.open_execution_lane_idx is 'the lanes in which executions wait, and the first ones of each';
create index open_execution_held_lane_idx on carillon.open_execution (lane, queue_id)
  where instance_id is not null and lane is not null;
comment on index carillon.open_execution_held_lane_idx is 'how many run of each lane';
