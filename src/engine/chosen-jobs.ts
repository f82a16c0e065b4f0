import { DomainError } from '../domain/errors.ts';
import type { Tx } from '../store/database.ts';
import type { Store } from '../store/store.ts';
import type { JobChoice } from './operations.ts';
import { jobNotFound } from './refusals.ts';

/** The most jobs that one call changes. */
export const maxSelected = 10_000;

/**
 * Locks the timer rows of chosen jobs and returns their ids, in order.
 *
 * @throws DomainError JOB_NOT_FOUND for a single job that does not exist, unless it may be missing; QUOTA_EXCEEDED
 *   for a selector that chooses too many
 */
export async function lockChosen(
  tx: Tx,
  store: Pick<Store, 'jobs'>,
  choice: JobChoice,
  options: { readonly mayBeMissing?: boolean } = {},
): Promise<readonly number[]> {
  if ('job' in choice) {
    const id = await store.jobs.lock(tx, choice.job);
    if (id === undefined && !options.mayBeMissing) throw jobNotFound(choice.job);
    return id === undefined ? [] : [id];
  }
  const ids = await store.jobs.lockSelected(tx, choice.selector);
  if (ids.length <= maxSelected) return ids;
  throw new DomainError(
    'QUOTA_EXCEEDED',
    `the selector chooses ${ids.length} jobs; one call changes at most ${maxSelected}`,
    {
      metadata: { chosen: String(ids.length), limit: String(maxSelected) },
      quota: { subject: 'selector', description: `at most ${maxSelected} jobs` },
    },
  );
}
