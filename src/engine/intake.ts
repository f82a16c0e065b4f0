/** What may be made in a namespace: how many jobs, and how many executions in a minute, by calls and by one schedule. */
import { DomainError } from '../domain/errors.ts';
import { firesInFullestMinute } from '../domain/schedule/fires-per-minute.ts';
import type { Schedule } from '../domain/schedule/schedule.ts';
import type { Tx } from '../store/database.ts';
import type { Store } from '../store/store.ts';
import type { SpentIntake } from './spent-intake.ts';
import { tooManyExecutions } from './too-many-executions.ts';

/** Refuses the job that a transaction has just made beyond the limit of its namespace, for which it holds the lock. */
export async function refuseSurplusJob(
  tx: Tx,
  store: Pick<Store, 'intake'>,
  namespace: string,
  maxJobs: number | undefined,
): Promise<void> {
  if (maxJobs === undefined || (await store.intake.countJobs(tx, namespace, maxJobs + 1)) <= maxJobs) return;
  const description = `at most ${maxJobs} jobs`;
  throw new DomainError(
    'QUOTA_EXCEEDED',
    `namespace ${namespace} has all the jobs that it may have: ${maxJobs}`,
    {
      metadata: { namespace, limit: String(maxJobs) },
      quota: { subject: `namespace ${namespace}`, description },
    },
  );
}

/**
 * Refuses a schedule that alone would fire more often in a minute than the namespace lets executions be made. It is for
 * new jobs and new timing: what is stored already stays when a limit is set or lowered, until its timing is edited.
 */
export function refuseFrequentSchedules(
  namespace: string,
  limit: number | undefined,
  schedules: readonly Schedule[],
  spreadSeed: number,
  nowMs: number,
): void {
  if (limit === undefined) return;
  schedules.forEach((schedule, i) => {
    const fires = firesInFullestMinute(schedule, spreadSeed, nowMs);
    if (fires <= limit) return;
    const field = `job.schedules[${i}]`;
    throw new DomainError(
      'QUOTA_EXCEEDED',
      `${field} would fire ${fires} times in a minute; in namespace ${namespace} a schedule may fire ${limit} times`,
      {
        metadata: { namespace, field, limit: String(limit), fires: String(fires) },
        quota: {
          subject: `namespace ${namespace}`,
          description: `at most ${limit} executions in a minute; ${field} would make ${fires}`,
        },
      },
    );
  });
}

/** One call of a batch that makes an execution. */
export type MeteredCall = { readonly namespace: string; readonly isMetered: boolean };

/** Takes the calls of a batch as far as their namespaces have room for them, in their order, and refuses the others. */
export async function meterCalls<Call extends MeteredCall>(
  tx: Tx,
  intake: Pick<SpentIntake, 'bookExecutions'>,
  calls: readonly Call[],
): Promise<{ readonly admitted: readonly Call[]; readonly refused: ReadonlyMap<Call, DomainError> }> {
  const counts = new Map<string, number>();
  for (const { isMetered, namespace } of calls) {
    if (isMetered) counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
  }
  if (counts.size === 0) return { admitted: calls, refused: new Map() };
  const demands = [...counts].map(([namespace, count]) => ({ namespace, count }));
  const grants = await intake.bookExecutions(tx, demands);
  const left = new Map([...grants].map(([namespace, { granted }]) => [namespace, granted]));
  const refused = new Map<Call, DomainError>();
  const admitted = calls.filter((call) => {
    const grant = call.isMetered ? grants.get(call.namespace) : undefined;
    if (!grant) return true;
    const room = left.get(call.namespace)!;
    if (room > 0) {
      left.set(call.namespace, room - 1);
      return true;
    }
    refused.set(call, tooManyExecutions(call.namespace, grant));
    return false;
  });
  return { admitted, refused };
}

/** Takes all executions of one call, or refuses it: then nothing is booked, because its transaction fails. */
export async function meterAll(
  tx: Tx,
  store: Pick<Store, 'intake'>,
  namespace: string,
  count: number,
): Promise<void> {
  const grant = (await store.intake.bookExecutions(tx, [{ namespace, count }])).get(namespace);
  if (grant && grant.granted < count) throw tooManyExecutions(namespace, grant, count);
}
