import { DomainError, invalidField } from '../domain/errors.ts';
import type { ResolvedJob } from '../store/trigger-store.ts';
import type { CachedJob } from './job-cache.ts';
import type { TriggerJob } from './operations.ts';
import { jobNotFound, nameOfRef } from './refusals.ts';

/** Why a job cannot be triggered as it is asked for; undefined when it can. */
export function refusalOf(
  request: TriggerJob,
  target: ResolvedJob | undefined,
  job: CachedJob | undefined,
): DomainError | undefined {
  if (!target || !job) return jobNotFound(request.job);
  const name = nameOfRef(job);
  if (job.definition.schedules.length > 0 && !target.firesAgain && !request.allowFinished) {
    return new DomainError(
      'JOB_FINISHED',
      `job ${name} is finished; set allow_finished to fire it all the same`,
      {
        metadata: { job: name },
        precondition: {
          type: 'JOB_FINISHED',
          subject: name,
          description: 'no schedule of the job fires again',
        },
      },
    );
  }
  if (request.placement && job.definition.target.kind !== 'worker') {
    return invalidField(
      'placement',
      `is for jobs with a worker target; that of ${name} is ${job.definition.target.kind}`,
    );
  }
  if (request.requireActive && target.paused) {
    return new DomainError('JOB_PAUSED', `job ${name} is paused and require_active was set`, {
      metadata: { job: name },
      precondition: { type: 'JOB_PAUSED', subject: name, description: 'the job is held by a pause' },
    });
  }
  return undefined;
}
