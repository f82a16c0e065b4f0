import type {
  ExecutionFilter as ExecutionFilterMessage,
  ExecutionServiceCancelRequest,
  ExecutionServiceListLogsRequest,
  ExecutionServiceListRequest,
  ExecutionServiceStreamRequest,
} from '../../../gen/carillon/v1/execution_service_pb.js';
import { invalidField } from '../../domain/errors.ts';
import { jobDefaults } from '../../domain/job.ts';
import type {
  CancelChoice,
  ExecutionFilter,
  ExecutionOperations,
  ListLogs,
  StreamRequest,
} from '../../engine/operations.ts';
import { executionCauses, executionStates, logLevels, logOrders } from './enums.ts';
import { jobRefFromMessage, labelsOrAbsent, selectorFromMessage, textOrAbsent } from './job-key.ts';
import { optionalDate } from './times.ts';

/** List: conditions that are empty are not set. */
export function executionFilterFromMessage(filter: ExecutionFilterMessage | undefined): ExecutionFilter {
  if (filter === undefined) return {};
  return {
    job: filter.job === undefined ? undefined : jobRefFromMessage(filter.job, 'filter.job'),
    namespace: textOrAbsent(filter.namespace),
    group: textOrAbsent(filter.group),
    states:
      filter.states.length === 0
        ? undefined
        : filter.states.flatMap((state) => executionStates.fromMessage(state) ?? []),
    causes:
      filter.causes.length === 0
        ? undefined
        : filter.causes.flatMap((cause) => executionCauses.fromMessage(cause) ?? []),
    startFireAt: optionalDate(filter.startFireTime),
    endFireAt: optionalDate(filter.endFireTime),
    labels: labelsOrAbsent(filter.labels),
    backfillId: filter.backfillId === 0n ? undefined : Number(filter.backfillId),
  };
}

/** List: newest first where no order is given. The rule on the field lets only known orders through. */
export function executionOrderFromMessage(
  request: ExecutionServiceListRequest,
): Parameters<ExecutionOperations['list']>[2] {
  return request.orderBy === 'create_time' ? 'create_time' : 'create_time desc';
}

/** Cancel: what to cancel. */
export function cancelChoiceFromMessage(request: ExecutionServiceCancelRequest): CancelChoice {
  const { executions } = request;
  switch (executions.case) {
    case 'byIds':
      return { executionIds: executions.value.executionIds.map(Number) };
    case 'byJobs':
      return {
        jobs: executions.value.jobs.map((job, index) => jobRefFromMessage(job, `by_jobs.jobs[${index}]`)),
      };
    case 'bySelector':
      return { selector: selectorFromMessage(executions.value, 'by_selector') };
    case 'all':
      return { namespace: textOrAbsent(executions.value.namespace) ?? jobDefaults.namespace };
    case 'byBackfill':
      return { backfillId: Number(executions.value) };
    default:
      throw invalidField('executions', 'must be one of by_ids, by_jobs, by_selector, all and by_backfill');
  }
}

/** Stream: follows and shows every level unless the call says otherwise. */
export function streamRequestFromMessage(request: ExecutionServiceStreamRequest): StreamRequest {
  return {
    source: sourceFromMessage(request.source),
    cursor: request.cursor,
    follow: request.follow ?? true,
    minLevel: logLevels.fromMessage(request.minLevel) ?? 'DEBUG',
    tail: request.tail,
  };
}

function sourceFromMessage(source: ExecutionServiceStreamRequest['source']): StreamRequest['source'] {
  switch (source.case) {
    case 'executionId':
      return { executionId: Number(source.value) };
    case 'job':
      return { job: jobRefFromMessage(source.value, 'job') };
    case 'selector':
      return { selector: selectorFromMessage(source.value, 'selector') };
    default:
      throw invalidField('source', 'must be one of execution_id, job and selector');
  }
}

/** ListLogs: every level and attempt, oldest first, unless the call says otherwise. */
export function listLogsFromMessage(request: ExecutionServiceListLogsRequest): ListLogs {
  return {
    executionId: Number(request.executionId),
    afterSeq: Number(request.afterSeq),
    minLevel: logLevels.fromMessage(request.minLevel) ?? 'DEBUG',
    attempt: request.attempt,
    newestFirst: logOrders.fromMessage(request.order) === 'NEWEST_FIRST',
  };
}
