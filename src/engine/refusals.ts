import { DomainError } from '../domain/errors.ts';
import type { JobKey, JobRef } from '../domain/job.ts';

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
  const names = jobs.map((key) => nameOfRef({ key }));
  const further = count > names.length ? ` and ${count - names.length} more` : '';
  const users = `${names.join(', ')}${further}`;
  return new DomainError('CALENDAR_IN_USE', `calendar ${calendar} is used by ${users}`, {
    metadata: { calendar, job_count: String(count), jobs: users },
    precondition: { type: 'CALENDAR_IN_USE', subject: calendar, description: `used by ${users}` },
  });
}
