import { DomainError } from '../domain/errors.ts';
import type { Grant } from '../store/intake-store.ts';

/**
 * The refusal of `count` executions that calls are to make, by what the namespace grants. More than a minute's worth at
 * once is never taken: there is no time to name at which it would be.
 */
export function tooManyExecutions(namespace: string, { perMinute, waitMs }: Grant, count = 1): DomainError {
  const description = `at most ${perMinute} executions in a minute`;
  const canComeLater = count <= perMinute;
  return new DomainError(
    'QUOTA_EXCEEDED',
    `calls may make ${perMinute} executions in a minute in namespace ${namespace}${canComeLater ? '; try later' : ''}`,
    {
      metadata: { namespace, limit: String(perMinute) },
      quota: { subject: `namespace ${namespace}`, description },
      ...(canComeLater && { retryAfterMs: Math.max(waitMs, Math.ceil((count * 60_000) / perMinute)) }),
    },
  );
}
