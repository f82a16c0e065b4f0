import { DomainError } from '../domain/errors.ts';
import type { JobRef } from '../domain/job.ts';

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
