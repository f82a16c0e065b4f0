/** What a definition refers to: a queue, secrets, calendars. Each is found, and held, in the transaction that stores the definition. */
import { invalidField } from '../domain/errors.ts';
import type { JobDefinition, JobKey, Target, TlsOptions } from '../domain/job.ts';
import type { Schedule } from '../domain/schedule/schedule.ts';
import type { SecretKind } from '../domain/secret.ts';
import type { Tx } from '../store/database.ts';
import type { Store } from '../store/store.ts';
import type { CachedJob } from './job-cache.ts';
import { calendarNotFound, secretNotFound } from './refusals.ts';

/** The queue in which the executions of a definition wait; null where they wait in none. */
export async function queueIdOf(
  tx: Tx,
  store: Pick<Store, 'queues'>,
  { namespace }: JobKey,
  { target }: JobDefinition,
): Promise<number | null> {
  if (target.kind !== 'worker') return null;
  const [id] = await store.queues.ensure(tx, namespace, [target.queue]);
  return id!;
}

/**
 * Has a job name the secrets of its target, which then stay.
 *
 * @throws DomainError SECRET_NOT_FOUND; INVALID_ARGUMENT where one is of another kind
 */
export async function useSecrets(
  tx: Tx,
  store: Pick<Store, 'secrets'>,
  { namespace }: JobKey,
  { target }: JobDefinition,
): Promise<void> {
  const named = secretsOf(target);
  if (named.length === 0) return;
  const kinds = await store.secrets.use(tx, namespace, [...new Set(named.map(({ name }) => name))]);
  for (const { name, kind, field } of named) {
    const found = kinds.get(name);
    if (found === undefined) throw secretNotFound(namespace, name, field);
    if (found !== kind) {
      throw invalidField(field, `needs a secret of kind ${kind}; ${namespace}/${name} is of kind ${found}`);
    }
  }
}

/** A secret that a target names, what for, and where. */
type NamedSecret = { readonly name: string; readonly kind: SecretKind; readonly field: string };

/** The secrets that a target names, in the order of its fields. */
function secretsOf(target: Target): readonly NamedSecret[] {
  const path = `job.target.${target.kind}`;
  switch (target.kind) {
    case 'http': {
      const { signingSecretName, secretHeaders } = target;
      return [
        ...secretAt(signingSecretName, 'SIGNING', `${path}.signing_secret_name`),
        ...headerSecretsAt(secretHeaders, `${path}.secret_headers`),
      ];
    }
    case 'grpc':
      return [
        ...certificateAt(target.tls, path),
        ...headerSecretsAt(target.secretMetadata, `${path}.secret_metadata`),
      ];
    case 'socket':
      return certificateAt(target.tls, path);
    case 'worker':
      return [];
  }
}

const secretAt = (name: string | undefined, kind: SecretKind, field: string): readonly NamedSecret[] =>
  name === undefined ? [] : [{ name, kind, field }];

const certificateAt = (tls: TlsOptions | undefined, path: string): readonly NamedSecret[] =>
  secretAt(
    tls?.clientCertificateSecretName,
    'CLIENT_CERTIFICATE',
    `${path}.tls.client_certificate_secret_name`,
  );

const headerSecretsAt = (
  secrets: Readonly<Record<string, string>> = {},
  field: string,
): readonly NamedSecret[] =>
  Object.entries(secrets).map(([header, name]) => ({
    name,
    kind: 'TEXT',
    field: `${field}[${JSON.stringify(header)}]`,
  }));

/**
 * Has a stored job use the calendars that its schedules name, in place of those
 * that they named before.
 *
 * @throws DomainError CALENDAR_NOT_FOUND
 */
export async function useCalendars(
  tx: Tx,
  store: Pick<Store, 'calendars'>,
  { id, key: { namespace }, definition: { schedules } }: CachedJob,
  before: readonly Schedule[],
): Promise<void> {
  const names = calendarsOf(schedules);
  if (names.length === 0 && calendarsOf(before).length === 0) return;
  const [missing] = await store.calendars.use(tx, id, namespace, names);
  if (missing === undefined) return;
  const place = schedules.findIndex(({ calendars }) => calendars?.includes(missing));
  const field = `job.schedules[${place}].calendars[${schedules[place]!.calendars!.indexOf(missing)}]`;
  throw calendarNotFound(namespace, missing, field);
}

const calendarsOf = (schedules: readonly Schedule[]): readonly string[] => [
  ...new Set(schedules.flatMap(({ calendars }) => calendars ?? [])),
];
