-- Secrets that prove to callees who calls: certificates with their keys.

alter table carillon.secret
  add column kind text not null default 'SIGNING',
  add column expires_at timestamptz,
  add constraint secret_kind_known check (kind in ('SIGNING', 'CLIENT_CERTIFICATE')),
  add constraint secret_expires_iff_certificate check ((expires_at is not null) = (kind = 'CLIENT_CERTIFICATE')),
  add constraint secret_previous_value_signs check (previous_value is null or kind = 'SIGNING');

comment on table carillon.secret is
  'what requests are signed with and what callees are shown, encrypted by the instances under CARILLON_SECRET_KEY: the database never sees a value';
comment on column carillon.secret.kind is 'what the value is: it stays the same, since jobs name the secret for one use';
comment on column carillon.secret.expires_at is 'when the certificate expires; no secret, so that it can be shown';

create index job_client_certificate_idx on carillon.job (namespace, (target #>> '{tls,clientCertificateSecretName}'))
  where deleted_at is null and target #>> '{tls,clientCertificateSecretName}' is not null;
comment on index carillon.job_client_certificate_idx is 'the jobs that name a client certificate, so that none in use is deleted';
