import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Execution, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { type Job, OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { JobService, type JobServiceTriggerRequestSchema } from '../../gen/carillon/v1/job_service_pb.js';
import { RequestRefused } from './failure.ts';
import type { GatewayRequest } from './gateway-request.ts';

/** What a trigger is asked for with, but for the job and its overlap. */
export type TriggerOptions = Omit<
  Extract<MessageInitShape<typeof JobServiceTriggerRequestSchema>, { $typeName?: never }>,
  '$typeName' | 'job' | 'overlap'
>;

/**
 * Fires a job in such a way that it runs: the APIs behind the gateways answer
 * success for a run, and know no run that was left out because another was
 * open. It waits for its turn where the job would leave it out; a job that lets
 * runs go side by side, or stops the open one, does so here as well.
 */
export async function triggerJob(
  request: GatewayRequest,
  job: Job,
  options: TriggerOptions,
): Promise<Execution> {
  const { execution } = await request.call(JobService.method.trigger, {
    ...options,
    job: { ref: { case: 'id', value: job.id } },
    overlap: leavesOut(job.overlap) ? OverlapPolicy.BUFFER_ALL : OverlapPolicy.UNSPECIFIED,
  });
  if (execution === undefined) throw new Error('the answer to Trigger has no execution');
  if (execution.state === ExecutionState.SKIPPED) {
    throw new RequestRefused(429, 'too many runs of the job wait already; this one was left out', {
      reason: 'QUOTA_EXCEEDED',
    });
  }
  return execution;
}

const leavesOut = (overlap: OverlapPolicy): boolean =>
  overlap === OverlapPolicy.SKIP || overlap === OverlapPolicy.BUFFER_ONE;

/** A job by its id. */
export async function getJob(request: GatewayRequest, id: bigint): Promise<Job> {
  return jobOf(await request.call(JobService.method.get, { job: { ref: { case: 'id', value: id } } }));
}

/** A job by its key. */
export async function getJobByKey(
  request: GatewayRequest,
  key: { readonly namespace: string; readonly group: string; readonly name: string },
): Promise<Job> {
  return jobOf(await request.call(JobService.method.get, { job: { ref: { case: 'key', value: key } } }));
}

function jobOf({ job }: { readonly job?: Job }): Job {
  if (job === undefined) throw new Error('the answer to Get has no job');
  return job;
}
