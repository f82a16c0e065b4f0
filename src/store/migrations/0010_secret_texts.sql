-- Secrets that are values of headers and metadata.

alter table carillon.secret
  drop constraint secret_kind_known,
  add constraint secret_kind_known check (kind in ('SIGNING', 'CLIENT_CERTIFICATE', 'TEXT'));

comment on table carillon.secret is
  'what requests are signed with, what callees are shown and what they are sent, encrypted by the instances under CARILLON_SECRET_KEY: the database never sees a value';

create index job_text_secrets_idx on carillon.job
  using gin (jsonb_path_query_array(coalesce(target -> 'secretHeaders', target -> 'secretMetadata'), '$.*'))
  where deleted_at is null and coalesce(target -> 'secretHeaders', target -> 'secretMetadata') is not null;
comment on index carillon.job_text_secrets_idx is 'the jobs that name a secret for a header or metadata, so that none in use is deleted';

-- Secrets are sealed anew under a key once every instance has it.
alter table carillon.instance add column secret_keys text[];
comment on column carillon.instance.secret_keys is
  'which keys of CARILLON_SECRET_KEY it has, as digests, the first one first; null: a build that does not say';
