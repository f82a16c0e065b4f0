-- Secrets that HTTP targets are signed with.

create table carillon.secret (
  id bigint primary key default carillon.next_id(),
  namespace text not null,
  name text not null,
  value bytea not null,
  previous_value bytea,
  previous_until timestamptz,
  revision integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint secret_previous_value_iff_until check ((previous_value is null) = (previous_until is null))
);

comment on table carillon.secret is
  'what requests are signed with, encrypted by the instances under CARILLON_SECRET_KEY: the database never sees a value';
comment on column carillon.secret.previous_value is 'the value before, which signs beside the present one until previous_until';
comment on column carillon.secret.revision is 'changes with every write of the row, also where only the encryption is new';

create unique index secret_namespace_name_idx on carillon.secret (namespace, name);
comment on index carillon.secret_namespace_name_idx is 'find a secret by name; list those of a namespace';

create index job_signing_secret_idx on carillon.job (namespace, (target ->> 'signingSecretName'))
  where deleted_at is null and target ->> 'signingSecretName' is not null;
comment on index carillon.job_signing_secret_idx is 'the jobs that name a secret, so that none in use is deleted';
