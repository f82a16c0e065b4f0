-- The complete timing model: buffered executions, fixed delay, calendars,
-- backfills, and the zone data that computed each fire time.

alter table carillon.job drop constraint job_overlap_is_known;
alter table carillon.job add constraint job_overlap_is_known
  check (overlap in ('SKIP', 'BUFFER_ONE', 'BUFFER_ALL', 'CANCEL_OTHER', 'ALLOW'));

alter table carillon.timer
  add column progress jsonb not null default '[]',
  add column waits_for_finish boolean not null default false,
  add column zone_data text not null default '';

update carillon.timer
   set progress = (select jsonb_agg(jsonb_build_object('runs', r.runs) order by r.place)
                     from unnest(runs_made) with ordinality as r (runs, place))
 where runs_made <> '{}';

alter table carillon.timer drop column runs_made;

comment on column carillon.timer.progress is
  'how far each schedule has come, in their order: {"runs": n, "delay": {"waitsForMs": t} or {"dueMs": t}}; only kept '
  'where a schedule has a repeat count or a fixed delay';
comment on column carillon.timer.waits_for_finish is
  'whether a schedule with a fixed delay waits for its execution to finish';
comment on column carillon.timer.zone_data is 'the version of the zone data that computed next_fire_at';

create index timer_waits_for_finish_idx on carillon.timer (job_id) where waits_for_finish;
comment on index carillon.timer_waits_for_finish_idx is 'the jobs whose fixed delay begins when an execution finishes';

create index timer_without_next_idx on carillon.timer (job_id) where next_fire_at is null;
comment on index carillon.timer_without_next_idx is 'the jobs that are finished, or have no schedule';

alter table carillon.execution drop constraint execution_cause_is_known;
alter table carillon.execution add column backfill_id bigint;
alter table carillon.execution add constraint execution_cause_is_known
  check (cause in ('SCHEDULE', 'MANUAL', 'API', 'CATCH_UP', 'BACKFILL'));
alter table carillon.execution add constraint execution_has_backfill_iff_caused_by_one
  check ((cause = 'BACKFILL') = (backfill_id is not null));

comment on column carillon.execution.backfill_id is 'drawn before the ids of its executions, and smaller';

create index execution_held_idx on carillon.execution (job_id, id) where reason = 'PAUSED';
comment on index carillon.execution_held_idx is 'the fire times of a job that pauses held back';
create index execution_backfill_id_id_idx on carillon.execution (backfill_id, id) where backfill_id is not null;
comment on index carillon.execution_backfill_id_id_idx is 'the executions of a backfill';

alter table carillon.open_execution
  add column buffered_for timestamptz,
  add column backfill_id bigint,
  add column charged text[],
  add column cancel_reason text;

alter table carillon.open_execution add constraint open_execution_buffered_only_unheld
  check (buffered_for is null or instance_id is null);

comment on column carillon.open_execution.buffered_for is
  'the fire time of an execution that waits for the others of its job to end; the earliest goes first. Null: it may be '
  'claimed.';
comment on column carillon.open_execution.charged is
  'the schedules that keep count of it, by name and definition; null: none does';
comment on column carillon.open_execution.cancel_reason is
  'CANCEL_REQUESTED when somebody asked for it, OVERLAP when another execution takes its place';

drop index carillon.open_execution_claim_idx;
create index open_execution_claim_idx on carillon.open_execution (priority desc, execution_id)
  where instance_id is null and due_at is null and buffered_for is null;
comment on index carillon.open_execution_claim_idx is 'the claim: highest priority first, then oldest';
create index open_execution_buffered_idx on carillon.open_execution (job_id, buffered_for, execution_id)
  where buffered_for is not null;
comment on index carillon.open_execution_buffered_idx is 'the buffered executions of a job, in their order';
drop index carillon.open_execution_job_id_idx;
create index open_execution_job_id_idx on carillon.open_execution (job_id, buffered_for nulls first, execution_id);
comment on index carillon.open_execution_job_id_idx is
  'whether a job has an open execution, and one that is not buffered; cancel by job';
create index open_execution_backfill_id_idx on carillon.open_execution (backfill_id) where backfill_id is not null;
comment on index carillon.open_execution_backfill_id_idx is 'cancel a backfill';

alter table carillon.pause add column held_since timestamptz;
update carillon.pause set held_since = created_at;
alter table carillon.pause alter column held_since set not null;
comment on column carillon.pause.held_since is
  'since when the job has been paused without a break, by this pause or by those that stood when it was set';

create table carillon.unused_run (
  execution_id bigint primary key,
  job_id bigint not null,
  charged text[] not null,
  ended_at timestamptz not null default clock_timestamp()
);

comment on table carillon.unused_run is
  'executions of counted schedules that ended before they started. Whoever continues the job takes the row away and '
  'gives the run back to the schedule''s count, in one transaction.';

create index unused_run_job_id_idx on carillon.unused_run (job_id);
comment on index carillon.unused_run_job_id_idx is 'the runs to give back to a job';

create table carillon.calendar (
  id bigint primary key default carillon.next_id(),
  namespace text not null,
  name text not null,
  definition jsonb not null,
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

comment on table carillon.calendar is 'days and times that schedules leave out';

create unique index calendar_namespace_name_idx on carillon.calendar (namespace, name);
comment on index carillon.calendar_namespace_name_idx is 'find a calendar by name; list those of a namespace';

create table carillon.calendar_use (
  job_id bigint not null references carillon.job (id),
  calendar_id bigint not null references carillon.calendar (id),
  primary key (job_id, calendar_id)
);

comment on table carillon.calendar_use is
  'which job uses which calendar. The foreign key is what keeps a calendar in use from being deleted.';

create index calendar_use_calendar_id_idx on carillon.calendar_use (calendar_id);
comment on index carillon.calendar_use_calendar_id_idx is 'the jobs that use a calendar';
