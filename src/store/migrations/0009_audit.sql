-- The audit: who asked for which change, and what became of it.
--
-- A call that was carried out has its row from the transaction of the change itself; one that was refused gets it
-- afterwards. Rows are written and read, and never changed: the trigger below refuses it. Ids carry time, as
-- everywhere, so that the table can be partitioned by id and old parts dropped; nothing refers to a row.

create table carillon.audit_event (
  id bigint primary key default carillon.next_id(),
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  method text not null,
  namespace text,
  object_type text not null,
  object_id bigint,
  object_name text,
  peer text not null,
  request_id text not null,
  outcome text not null,
  before jsonb,
  after jsonb,
  details jsonb
) with (autovacuum_vacuum_insert_scale_factor = 0.2);

comment on table carillon.audit_event is
  'a row for each call that changed something or was to: one on success, one on refusal. Append-only.';
comment on column carillon.audit_event.at is 'when the row was written, by the database''s clock';
comment on column carillon.audit_event.namespace is 'null: of no namespace, of several, or of one that is not known';
comment on column carillon.audit_event.object_name is
  'namespace/group/name of a job; the name of what has one, within its namespace';
comment on column carillon.audit_event.outcome is 'OK, or the reason of the error that refused the call';
comment on column carillon.audit_event.before is 'what was there, as far as it was changed, without secrets';
comment on column carillon.audit_event.after is 'what is there now, as far as it was changed, without secrets';
comment on column carillon.audit_event.details is 'what else is to be said: selectors, counts, the first ids';

create index audit_event_namespace_idx on carillon.audit_event (namespace, id);
comment on index carillon.audit_event_namespace_idx is 'the events of a namespace, newest first';
create index audit_event_actor_idx on carillon.audit_event (actor, id);
comment on index carillon.audit_event_actor_idx is 'the events of an actor, newest first';
create index audit_event_object_id_idx on carillon.audit_event (object_id, id) where object_id is not null;
comment on index carillon.audit_event_object_id_idx is 'the events of a job or an execution by its id, newest first';
create index audit_event_object_name_idx on carillon.audit_event (object_name, id) where object_name is not null;
comment on index carillon.audit_event_object_name_idx is 'the events of an object by its name, newest first';

-- Statement triggers: they cost an insert nothing. Retention drops partitions, which no trigger sees; where rows have
-- to be deleted one by one, the transaction says so itself: set local carillon.audit_retention = 'on'.
create function carillon.refuse_audit_change() returns trigger
language plpgsql
as $$
begin
  if tg_op = 'DELETE' and current_setting('carillon.audit_retention', true) = 'on' then
    return null;
  end if;
  raise exception 'audit events are kept as they were written: % refused', lower(tg_op)
    using errcode = 'insufficient_privilege';
end
$$;

comment on function carillon.refuse_audit_change() is
  'keeps audit events as they were written; a retention that deletes sets carillon.audit_retention to on in its transaction';

create trigger audit_event_is_append_only before update or delete or truncate on carillon.audit_event
  for each statement execute function carillon.refuse_audit_change();
