-- Access: who may call, and what the namespaces of tenants may take.

create table carillon.token (
  id bigint primary key default carillon.next_id(),
  name text not null,
  hash bytea,
  certificate_name text,
  prefix text not null,
  grants jsonb not null,
  creator text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  constraint token_is_a_text_or_a_certificate check ((hash is null) <> (certificate_name is null)),
  constraint token_hash_is_sha256 check (octet_length(hash) = 32)
);

comment on table carillon.token is
  'what proves who calls. The text of a token is nowhere: 256 random bits need no salt, and their SHA-256 finds the row.';

create unique index token_hash_idx on carillon.token (hash) where hash is not null;
comment on index carillon.token_hash_idx is 'find a token by its text';
create unique index token_certificate_name_idx on carillon.token (certificate_name) where revoked_at is null;
comment on index carillon.token_certificate_name_idx is 'find the token of a client certificate; a name has one';

alter table carillon.namespace
  add column max_jobs integer,
  add column executions_per_minute integer,
  add column log_bytes_per_attempt bigint,
  add column max_streams integer,
  add constraint namespace_max_jobs_is_positive check (max_jobs > 0),
  add constraint namespace_executions_per_minute_is_positive check (executions_per_minute > 0),
  add constraint namespace_log_bytes_per_attempt_is_positive check (log_bytes_per_attempt > 0),
  add constraint namespace_max_streams_is_positive check (max_streams > 0);

comment on column carillon.namespace.executions_per_minute is
  'how many executions calls make in a minute; those of schedules are not among them';

create index namespace_metered_idx on carillon.namespace (name) where executions_per_minute is not null;
comment on index carillon.namespace_metered_idx is 'whether the calls of a namespace are counted';

create index namespace_bounded_idx on carillon.namespace (name)
  where log_bytes_per_attempt is not null or max_streams is not null;
comment on index carillon.namespace_bounded_idx is
  'the namespaces whose logs or streams are bounded, which every instance reads each second';

create table carillon.intake (
  namespace text not null,
  kind text not null,
  booked_until timestamptz not null default '-infinity',
  primary key (namespace, kind),
  constraint intake_kind_is_known check (kind in ('JOBS', 'EXECUTIONS'))
);

comment on table carillon.intake is
  'one row for each limited namespace and kind of thing that calls make in it: whoever makes some locks it, so that they '
  'are counted one after the other. Rows of their own, so that nobody who claims executions waits for them.';
comment on column carillon.intake.booked_until is
  'of executions: the bucket of executions_per_minute as one instant; it lies ahead of now by a part of a minute for each '
  'that has not been made up for yet';
