-- Attempts that are handed to their callee, which reports how they end.

alter table carillon.open_execution
  add column report_by timestamptz,
  add column heartbeat_by timestamptz,
  add column heartbeat_timeout_ms bigint,
  add column reported_lines integer,
  add column reported_bytes bigint;

alter table carillon.open_execution add constraint open_execution_reports_iff_with_callee
  check ((instance_id is not distinct from 0) = (report_by is not null));

comment on column carillon.open_execution.instance_id is
  'who holds the attempt; 0: its callee, after an instance has handed it over; null: nobody, the execution waits';
comment on column carillon.open_execution.report_by is 'when an attempt ends that its callee does not end before';
comment on column carillon.open_execution.heartbeat_by is 'when it ends unless its callee is heard of before; null: never';
comment on column carillon.open_execution.heartbeat_timeout_ms is
  'how long its callee may be silent, as the target said when the attempt was handed over';
comment on column carillon.open_execution.reported_lines is
  'how many log lines its callee has sent in reports; those that went over the allowance count, too';
comment on column carillon.open_execution.reported_bytes is
  'what the attempt has used up of its log allowance; more than that once a line has said that it is used up';

create index open_execution_report_by_idx on carillon.open_execution (report_by) where instance_id = 0;
comment on index carillon.open_execution_report_by_idx is 'attempts with their callees, by the end of their time';
create index open_execution_heartbeat_by_idx on carillon.open_execution (heartbeat_by)
  where instance_id = 0 and heartbeat_by is not null;
comment on index carillon.open_execution_heartbeat_by_idx is 'attempts with callees that must be heard of, by when';
create index open_execution_cancel_requested_at_idx on carillon.open_execution (cancel_requested_at)
  where instance_id = 0 and cancel_requested_at is not null;
comment on index carillon.open_execution_cancel_requested_at_idx is 'attempts whose callees are asked to stop, longest first';

create table carillon.attempt_token_key (
  only_row boolean primary key default true,
  key bytea not null,
  constraint attempt_token_key_is_one_row check (only_row)
);

comment on table carillon.attempt_token_key is
  'what the tokens of attempts are made with: 32 bytes, drawn once for this database. Another one makes every token '
  'that is out void.';

-- Each uuid brings 122 random bits.
insert into carillon.attempt_token_key (key)
select sha256(convert_to(string_agg(gen_random_uuid()::text, ' '), 'UTF8')) from generate_series(1, 4);
