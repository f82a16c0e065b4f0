import { JobService } from '../../../gen/carillon/v1/job_service_pb.js';
import type { JobOperations } from '../../engine/operations.ts';
import { onRunnings } from '../messages/enums.ts';
import { executionToMessage } from '../messages/execution.ts';
import { jobToMessage } from '../messages/job.ts';
import { jobRefFromMessage } from '../messages/job-key.ts';
import {
  addJobFromMessage,
  backfillFromMessage,
  deleteChoiceFromMessage,
  jobChoiceFromMessage,
  jobFilterFromMessage,
  jobOrderFromMessage,
  previewFromMessage,
  previewOptionsFromMessage,
  resumeOptionsFromMessage,
  triggerJobFromMessage,
  updateJobFromMessage,
} from '../messages/job-requests.ts';
import { pageFromMessage } from '../messages/pages.ts';
import { optionalDate, timestampFromDate } from '../messages/times.ts';
import { bindService, type Service } from './service.ts';

/** carillon.v1.JobService over the operations on jobs. */
export function createJobService(jobs: JobOperations): Service {
  return bindService(JobService, {
    async add(request, call) {
      const { job, created, warnings } = await jobs.add(addJobFromMessage(request), call.caller);
      return {
        $typeName: 'carillon.v1.JobServiceAddResponse',
        job: jobToMessage(job),
        created,
        warnings: [...warnings],
      };
    },

    async get(request, call) {
      const { job, lastExecution } = await jobs.get(jobRefFromMessage(request.job, 'job'), call.caller);
      return { $typeName: 'carillon.v1.JobServiceGetResponse', job: jobToMessage(job, lastExecution) };
    },

    async list(request, call) {
      const filter = jobFilterFromMessage(request.filter);
      const page = await jobs.list(
        filter,
        pageFromMessage(request),
        jobOrderFromMessage(request),
        call.caller,
      );
      return {
        $typeName: 'carillon.v1.JobServiceListResponse',
        jobs: page.jobs.map((job) => jobToMessage(job)),
        nextPageToken: page.nextPageToken,
        totalSize: BigInt(page.totalSize),
      };
    },

    async update(request, call) {
      const job = await jobs.update(updateJobFromMessage(request), call.caller);
      return { $typeName: 'carillon.v1.JobServiceUpdateResponse', job: jobToMessage(job) };
    },

    async pause(request, call) {
      const pause = { reason: request.reason, untilAt: optionalDate(request.untilTime) };
      const paused = await jobs.pause(jobChoiceFromMessage(request.jobs), pause, call.caller);
      return {
        $typeName: 'carillon.v1.JobServicePauseResponse',
        jobs: paused.jobs.map((job) => jobToMessage(job)),
        changed: BigInt(paused.changed),
        pauseId: paused.pauseId,
      };
    },

    async resume(request, call) {
      const options = resumeOptionsFromMessage(request);
      const resumed = await jobs.resume(jobChoiceFromMessage(request.jobs), options, call.caller);
      return {
        $typeName: 'carillon.v1.JobServiceResumeResponse',
        jobs: resumed.jobs.map((job) => jobToMessage(job)),
        changed: BigInt(resumed.changed),
        heldBackFireTimes: resumed.heldBackFireTimes.map(timestampFromDate),
      };
    },

    async delete(request, call) {
      const onRunning = onRunnings.fromMessage(request.onRunning) ?? 'LEAVE';
      const { deleted, existed } = await jobs.delete(
        deleteChoiceFromMessage(request),
        onRunning,
        call.caller,
      );
      return { $typeName: 'carillon.v1.JobServiceDeleteResponse', deleted: BigInt(deleted), existed };
    },

    async trigger(request, call) {
      const { execution, replayed } = await jobs.trigger(triggerJobFromMessage(request), call.caller);
      return {
        $typeName: 'carillon.v1.JobServiceTriggerResponse',
        execution: executionToMessage(execution),
        replayed,
      };
    },

    async backfill(request, call) {
      const made = await jobs.backfill(backfillFromMessage(request), call.caller);
      return {
        $typeName: 'carillon.v1.JobServiceBackfillResponse',
        executionsCreated: BigInt(made.executionsCreated),
        fireTimes: made.fireTimes.map(timestampFromDate),
        backfillId: BigInt(made.backfillId ?? 0),
        replayed: made.replayed,
      };
    },

    async preview(request, call) {
      const { fireTimes, warnings } = await jobs.preview(
        previewFromMessage(request),
        previewOptionsFromMessage(request),
        call.caller,
      );
      return {
        $typeName: 'carillon.v1.JobServicePreviewResponse',
        fireTimes: fireTimes.map(({ fireAt, ...rest }) => ({
          $typeName: 'carillon.v1.FireTime' as const,
          fireTime: timestampFromDate(fireAt),
          ...rest,
        })),
        warnings: [...warnings],
      };
    },
  });
}
