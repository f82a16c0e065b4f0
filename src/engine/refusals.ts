import { everyNamespace } from '../domain/access.ts';
import { DomainError } from '../domain/errors.ts';
import type { Job, JobKey, JobRef } from '../domain/job.ts';
import type { Caller } from './operations.ts';

/** How a reference reads in messages: the id, or namespace/group/name. */
export const nameOfRef = (ref: JobRef): string =>
  'id' in ref ? String(ref.id) : `${ref.key.namespace}/${ref.key.group}/${ref.key.name}`;

/** Refuses a reference that names no job. */
export function jobNotFound(ref: JobRef): DomainError {
  const job = nameOfRef(ref);
  return new DomainError('JOB_NOT_FOUND', `no job ${job}`, {
    metadata: { job },
    resource: { type: 'job', name: job },
  });
}

/** Refuses a change of a job by one who has seen an older revision of it. */
export function refuseOlder(job: Job, revision: string): void {
  if (revision === '' || revision === String(job.revision)) return;
  throw new DomainError('ETAG_MISMATCH', 'the job was changed since it was read; read it again', {
    metadata: { revision, present_revision: String(job.revision) },
  });
}

/** Refuses an id that names no execution. */
export function executionNotFound(executionId: number): DomainError {
  const execution = String(executionId);
  return new DomainError('EXECUTION_NOT_FOUND', `no execution ${execution}`, {
    metadata: { execution },
    resource: { type: 'execution', name: execution },
  });
}

/** Refuses a request id that came with another request before. */
export function requestIdReused(requestId: string): DomainError {
  return new DomainError(
    'REQUEST_ID_REUSED',
    `request_id ${JSON.stringify(requestId)} was used with another request`,
    {
      metadata: { request_id: requestId },
    },
  );
}

/** Refuses a name that no calendar of the namespace has; `field` is the path of the field that names it, if one does. */
export function calendarNotFound(namespace: string, name: string, field?: string): DomainError {
  const calendar = `${namespace}/${name}`;
  const description = `no calendar ${calendar}${field ? '; put it first' : ''}`;
  return new DomainError('CALENDAR_NOT_FOUND', field ? `${field}: ${description}` : description, {
    metadata: { calendar, ...(field && { field }) },
    violations: field ? [{ field, description }] : undefined,
    resource: { type: 'calendar', name: calendar },
  });
}

/** Refuses to delete a calendar that jobs use; names some of them. */
export function calendarInUse(
  namespace: string,
  name: string,
  { jobs, count }: { readonly jobs: readonly JobKey[]; readonly count: number },
): DomainError {
  const calendar = `${namespace}/${name}`;
  const users = usersToText(jobs, count);
  return new DomainError('CALENDAR_IN_USE', `calendar ${calendar} is used by ${users}`, {
    metadata: { calendar, job_count: String(count), jobs: users },
    precondition: { type: 'CALENDAR_IN_USE', subject: calendar, description: `used by ${users}` },
  });
}

/** Refuses a name that no namespace has. */
export function namespaceNotFound(namespace: string): DomainError {
  return new DomainError('NAMESPACE_NOT_FOUND', `no namespace ${namespace}`, {
    metadata: { namespace },
    resource: { type: 'namespace', name: namespace },
  });
}

/** Refuses a name that another namespace has. */
export function namespaceAlreadyExists(namespace: string): DomainError {
  return new DomainError('NAMESPACE_ALREADY_EXISTS', `a namespace ${namespace} exists; update it`, {
    metadata: { namespace },
    resource: { type: 'namespace', name: namespace },
  });
}

/** Refuses a field that names no secret of the namespace. */
export function secretNotFound(namespace: string, name: string, field: string): DomainError {
  const secret = `${namespace}/${name}`;
  const description = `no secret ${secret}; put it first`;
  return new DomainError('SECRET_NOT_FOUND', `${field}: ${description}`, {
    metadata: { secret, field },
    violations: [{ field, description }],
    resource: { type: 'secret', name: secret },
  });
}

/** Refuses to delete a secret that jobs name; tells some of them. */
export function secretInUse(
  namespace: string,
  name: string,
  { jobs, count }: { readonly jobs: readonly JobKey[]; readonly count: number },
): DomainError {
  const secret = `${namespace}/${name}`;
  const users = usersToText(jobs, count);
  return new DomainError('SECRET_IN_USE', `secret ${secret} is used by ${users}`, {
    metadata: { secret, job_count: String(count), jobs: users },
    precondition: { type: 'SECRET_IN_USE', subject: secret, description: `used by ${users}` },
  });
}

function usersToText(jobs: readonly JobKey[], count: number): string {
  const further = count > jobs.length ? ` and ${count - jobs.length} more` : '';
  return `${jobs.map((key) => nameOfRef({ key })).join(', ')}${further}`;
}

/** Refuses a token that is no attempt's; the same whatever is wrong with it. */
export function tokenRefused(): DomainError {
  return new DomainError('UNAUTHENTICATED', 'attempt_token: this is the token of no attempt');
}

/** Refuses a report on an attempt that is over. */
export function attemptEnded(executionId: number, attempt: number): DomainError {
  const subject = `execution ${executionId}`;
  const description = `attempt ${attempt} of ${subject} is over`;
  return new DomainError('ATTEMPT_ENDED', `${description}; nothing was changed`, {
    metadata: { execution: String(executionId), attempt: String(attempt) },
    precondition: { type: 'ATTEMPT_ENDED', subject, description },
  });
}

/** Refuses a report that comes before the callee has said that it will report. */
export function attemptNotAccepted(executionId: number, attempt: number): DomainError {
  const subject = `execution ${executionId}`;
  const description = `attempt ${attempt} of ${subject} has not been accepted by its callee; answer 202 first`;
  return new DomainError('ATTEMPT_NOT_ACCEPTED', `${description}, then try again`, {
    metadata: { execution: String(executionId), attempt: String(attempt) },
    precondition: { type: 'ATTEMPT_NOT_ACCEPTED', subject, description },
    retryAfterMs: 1_000,
  });
}

/** Refuses lines that say there were more before them than have arrived. */
export function logOffsetTooHigh(offset: number, expected: number): DomainError {
  const description = `must be at most ${expected}, which is how many lines of the attempt have arrived`;
  return new DomainError('LOG_OFFSET_TOO_HIGH', `offset: ${description}`, {
    metadata: { offset: String(offset), expected_offset: String(expected) },
    violations: [{ field: 'offset', description }],
  });
}

/** Refuses a key that another job has. */
export function jobAlreadyExists(key: JobKey): DomainError {
  const name = nameOfRef({ key });
  return new DomainError('JOB_ALREADY_EXISTS', `a job ${name} exists; set replace to change it`, {
    metadata: { job: name },
    resource: { type: 'job', name },
  });
}

/** Refuses what a caller's roles do not allow, in a namespace that it sees. `*`: in every one. */
export function permissionDenied({ permission }: Pick<Caller, 'permission'>, namespace: string): DomainError {
  const where = namespace === everyNamespace ? 'every namespace' : `namespace ${namespace}`;
  return new DomainError('PERMISSION_DENIED', `this needs the permission ${permission} in ${where}`, {
    metadata: { permission, namespace },
  });
}

/** Refuses one more stream than a namespace may have open on an instance. */
export function tooManyStreams(namespace: string, limit: number): DomainError {
  const description = `at most ${limit} streams at once on this instance`;
  return new DomainError('QUOTA_EXCEEDED', `namespace ${namespace}: ${description}`, {
    metadata: { namespace, limit: String(limit) },
    quota: { subject: `namespace ${namespace}`, description },
  });
}

/** Refuses an id that names no token. */
export function tokenNotFound(tokenId: number): DomainError {
  const token = String(tokenId);
  return new DomainError('TOKEN_NOT_FOUND', `no token ${token}`, {
    metadata: { token },
    resource: { type: 'token', name: token },
  });
}

/** Refuses a second token for a certificate. */
export function tokenAlreadyExists(certificateName: string): DomainError {
  return new DomainError(
    'TOKEN_ALREADY_EXISTS',
    `a token for the certificate ${certificateName} exists; revoke it first`,
    {
      metadata: { certificate_name: certificateName },
      resource: { type: 'token', name: certificateName },
    },
  );
}
