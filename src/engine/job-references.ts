/** What a definition refers to: a queue, a secret, calendars. Each is found, and held, in the transaction that stores the definition. */
import { invalidField } from '../domain/errors.ts';
import type { JobDefinition, JobKey, Target } from '../domain/job.ts';
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
 * Has a job name the secret of its target, which then stays.
 *
 * @throws DomainError SECRET_NOT_FOUND; INVALID_ARGUMENT where it is of another kind
 */
export async function useSecret(
  tx: Tx,
  store: Pick<Store, 'secrets'>,
  { namespace }: JobKey,
  { target }: JobDefinition,
): Promise<void> {
  const named = secretOf(target);
  if (named === undefined) return;
  const { name, kind, field } = named;
  const found = await store.secrets.use(tx, namespace, name);
  if (found === undefined) throw secretNotFound(namespace, name, field);
  if (found !== kind) {
    throw invalidField(field, `needs a secret of kind ${kind}; ${namespace}/${name} is of kind ${found}`);
  }
}

/** The secret that a target names, what for, and where. */
function secretOf(
  target: Target,
): { readonly name: string; readonly kind: SecretKind; readonly field: string } | undefined {
  switch (target.kind) {
    case 'http': {
      const { signingSecretName: name } = target;
      return name === undefined
        ? undefined
        : { name, kind: 'SIGNING', field: 'job.target.http.signing_secret_name' };
    }
    case 'grpc':
    case 'socket': {
      const name = target.tls?.clientCertificateSecretName;
      const field = `job.target.${target.kind}.tls.client_certificate_secret_name`;
      return name === undefined ? undefined : { name, kind: 'CLIENT_CERTIFICATE', field };
    }
    case 'worker':
      return undefined;
  }
}

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
