import {
  type JobFilter as JobFilterMessage,
  type JobServiceAddRequest,
  JobServiceAddRequestSchema,
  type JobServiceBackfillRequest,
  JobServiceBackfillRequestSchema,
  type JobServiceDeleteRequest,
  type JobServiceListRequest,
  type JobServicePauseRequest,
  type JobServicePreviewRequest,
  type JobServiceResumeRequest,
  type JobServiceTriggerRequest,
  JobServiceTriggerRequestSchema,
  type JobServiceUpdateRequest,
} from '../../../gen/carillon/v1/job_service_pb.js';
import { DomainError, invalidField } from '../../domain/errors.ts';
import type { JobRef } from '../../domain/job.ts';
import type {
  AddJob,
  Backfill,
  DeleteChoice,
  JobChoice,
  JobFilter,
  JobOperations,
  JobOrder,
  TriggerJob,
  UpdateJob,
} from '../../engine/operations.ts';
import { executionCauses, jobStates, missedPolicies, overlapPolicies } from './enums.ts';
import { revisionFromEtag } from './etag.ts';
import { draftFromMessage } from './job.ts';
import {
  jobKeyFromMessage,
  jobRefFromMessage,
  labelsOrAbsent,
  selectorFromMessage,
  textOrAbsent,
} from './job-key.ts';
import { parametersFromMessage } from './parameters.ts';
import { digestRequest } from './request-digest.ts';
import { schedulesFromMessages } from './schedule.ts';
import { placementFromMessage } from './target.ts';
import { dateFromTimestamp, optionalDate } from './times.ts';
import { changesFromMessage } from './update-mask.ts';

/** Ids are below 2^53, so that they are numbers everywhere. */
const maxId = BigInt(Number.MAX_SAFE_INTEGER);

/** Add: the draft with its defaults; key and target are required. */
export function addJobFromMessage(request: JobServiceAddRequest): AddJob {
  const { job } = request;
  const missing = (['key', 'target'] as const).filter((field) => job?.[field] === undefined);
  if (job?.key === undefined || missing.length > 0)
    throw missingFields(missing.map((field) => `job.${field}`));
  return {
    key: jobKeyFromMessage(job.key),
    draft: draftFromMessage(job),
    startPaused: job.startPaused,
    replace: request.replace,
    validateOnly: request.validateOnly,
    requestId: request.requestId,
    requestDigest: digestRequest(JobServiceAddRequestSchema, request),
  };
}

function missingFields(fields: readonly string[]): DomainError {
  const violations = fields.map((field) => ({ field, description: 'must be set' }));
  return new DomainError('INVALID_ARGUMENT', `must be set: ${fields.join(', ')}`, {
    metadata: { field: fields.join(', ') },
    violations,
  });
}

/** List: conditions that are empty are not set. */
export function jobFilterFromMessage(filter: JobFilterMessage | undefined): JobFilter {
  if (filter === undefined) return {};
  return {
    namespace: textOrAbsent(filter.namespace),
    group: textOrAbsent(filter.group),
    namePrefix: textOrAbsent(filter.namePrefix),
    labels: labelsOrAbsent(filter.labels),
    states:
      filter.states.length === 0
        ? undefined
        : filter.states.flatMap((state) => jobStates.fromMessage(state) ?? []),
  };
}

/** List: the order, `key` where none is given. The rule on the field lets only known orders through. */
export function jobOrderFromMessage(request: JobServiceListRequest): JobOrder {
  return request.orderBy === '' ? 'key' : (request.orderBy as JobOrder);
}

/** Update: the id says which job where it is set, else the key. */
export function updateJobFromMessage(request: JobServiceUpdateRequest): UpdateJob {
  const { job } = request;
  if (job === undefined) throw invalidField('job', 'must be set');
  return {
    job: storedJobRef(job.id, job.key),
    changes: changesFromMessage(job, request.updateMask),
    etag: revisionFromEtag(request.etag),
  };
}

function storedJobRef(id: bigint, key: Parameters<typeof jobKeyFromMessage>[0] | undefined): JobRef {
  if (id < 0n || id > maxId) throw invalidField('job.id', `must be greater than 0 and at most ${maxId}`);
  if (id > 0n) return { id: Number(id) };
  if (key === undefined) throw invalidField('job', 'must have an id or a key');
  return { key: jobKeyFromMessage(key) };
}

/** Pause, Resume and Delete: one job or many. */
export function jobChoiceFromMessage(jobs: JobServicePauseRequest['jobs']): JobChoice {
  switch (jobs.case) {
    case 'job':
      return { job: jobRefFromMessage(jobs.value, 'job') };
    case 'selector':
      return { selector: selectorFromMessage(jobs.value, 'selector') };
    default:
      throw invalidField('jobs', 'must be one of job and selector');
  }
}

/** Delete: an etag is that of one job. */
export function deleteChoiceFromMessage({ jobs, etag }: JobServiceDeleteRequest): DeleteChoice {
  const choice = jobChoiceFromMessage(jobs);
  if ('job' in choice) return { ...choice, etag: revisionFromEtag(etag) };
  if (etag === '') return choice;
  throw invalidField('etag', 'belongs to one job; a selector has none');
}

/** Resume: drops what was held back unless the call says otherwise. */
export function resumeOptionsFromMessage(
  request: JobServiceResumeRequest,
): Parameters<JobOperations['resume']>[1] {
  return {
    pauseId: request.pauseId,
    missed: missedPolicies.fromMessage(request.missed) ?? 'DROP',
    dryRun: request.dryRun,
  };
}

/** Trigger: by hand unless the call says by a program. */
export function triggerJobFromMessage(request: JobServiceTriggerRequest): TriggerJob {
  const cause = executionCauses.fromMessage(request.cause);
  return {
    job: jobRefFromMessage(request.job, 'job'),
    requestId: request.requestId,
    requestDigest: digestRequest(JobServiceTriggerRequestSchema, request),
    parameters: parametersFromMessage(request.parameters, 'parameters'),
    requireActive: request.requireActive,
    allowFinished: request.allowFinished,
    overlap: overlapPolicies.fromMessage(request.overlap),
    placement: placementFromMessage(request.placement),
    cause: cause === 'API' ? 'API' : 'MANUAL',
  };
}

/**
 * Backfill: one after the other by fire time unless the call says otherwise.
 * That the range does not reach into the future is judged by the operation,
 * whose clock is the database's.
 */
export function backfillFromMessage(request: JobServiceBackfillRequest): Backfill {
  const { startTime, endTime } = request;
  if (startTime === undefined) throw invalidField('start_time', 'must be set');
  if (endTime === undefined) throw invalidField('end_time', 'must be set');
  const startAt = dateFromTimestamp(startTime);
  const endAt = dateFromTimestamp(endTime);
  if (endAt <= startAt) {
    throw invalidField('end_time', `must be later than start_time, which is ${startAt.toISOString()}`);
  }
  return {
    job: jobRefFromMessage(request.job, 'job'),
    startAt,
    endAt,
    overlap: overlapPolicies.fromMessage(request.overlap) ?? 'BUFFER_ALL',
    dryRun: request.dryRun,
    requestId: request.requestId,
    requestDigest: digestRequest(JobServiceBackfillRequestSchema, request),
  };
}

/** Preview: a stored job, else schedules that are not saved; one of the two must be there. */
export function previewFromMessage(
  request: JobServicePreviewRequest,
): Parameters<JobOperations['preview']>[0] {
  if (request.job !== undefined) return { job: jobRefFromMessage(request.job, 'job') };
  if (request.schedules.length === 0) throw invalidField('job', 'must be set where schedules are not');
  return {
    schedules: schedulesFromMessages(request.schedules, 'schedules'),
    key: request.key === undefined ? undefined : jobKeyFromMessage(request.key),
  };
}

/** Preview: from now where no instant is given, 10 fire times where no number is. */
export function previewOptionsFromMessage(
  request: JobServicePreviewRequest,
): Parameters<JobOperations['preview']>[1] {
  return { from: optionalDate(request.fromTime), count: request.count === 0 ? 10 : request.count };
}
