import {
  ExecutionService,
  type ExecutionServiceStreamResponse,
} from '../../../gen/carillon/v1/execution_service_pb.js';
import type { ExecutionOperations, StreamEvent } from '../../engine/operations.ts';
import { executionToMessage, gapToMessage, logEntryToMessage } from '../messages/execution.ts';
import {
  cancelChoiceFromMessage,
  executionFilterFromMessage,
  executionOrderFromMessage,
  listLogsFromMessage,
  streamRequestFromMessage,
} from '../messages/execution-requests.ts';
import { jobRefToMessage } from '../messages/job-key.ts';
import { pageFromMessage } from '../messages/pages.ts';
import { timestampFromDate } from '../messages/times.ts';
import { bindService, type Service } from './service.ts';

/** carillon.v1.ExecutionService over the operations on executions. */
export function createExecutionService(executions: ExecutionOperations): Service {
  return bindService(ExecutionService, {
    async get(request, call) {
      const execution = await executions.get(Number(request.executionId), call.caller);
      return {
        $typeName: 'carillon.v1.ExecutionServiceGetResponse',
        execution: executionToMessage(execution),
      };
    },

    async list(request, call) {
      const filter = executionFilterFromMessage(request.filter);
      const order = executionOrderFromMessage(request);
      const page = await executions.list(filter, pageFromMessage(request), order, call.caller);
      return {
        $typeName: 'carillon.v1.ExecutionServiceListResponse',
        executions: page.executions.map(executionToMessage),
        nextPageToken: page.nextPageToken,
      };
    },

    async cancel(request, call) {
      const choice = cancelChoiceFromMessage(request);
      const canceled = await executions.cancel(choice, request.reason, call.caller);
      return {
        $typeName: 'carillon.v1.ExecutionServiceCancelResponse',
        canceled: canceled.canceled.map(BigInt),
        notFound: canceled.notFound.map(BigInt),
        alreadyFinished: canceled.alreadyFinished.map(BigInt),
        jobsNotFound: canceled.jobsNotFound.map(jobRefToMessage),
        count: BigInt(canceled.canceled.length),
      };
    },

    async *stream(request, call) {
      for await (const { cursor, event } of executions.stream(
        streamRequestFromMessage(request),
        call.signal,
        call.caller,
      )) {
        yield {
          $typeName: 'carillon.v1.ExecutionServiceStreamResponse',
          cursor,
          event: eventToMessage(event),
        };
      }
    },

    async listLogs(request, call) {
      const page = await executions.listLogs(
        listLogsFromMessage(request),
        pageFromMessage(request),
        call.caller,
      );
      return {
        $typeName: 'carillon.v1.ExecutionServiceListLogsResponse',
        entries: page.entries.map(logEntryToMessage),
        nextPageToken: page.nextPageToken,
      };
    },
  });
}

function eventToMessage(event: StreamEvent): ExecutionServiceStreamResponse['event'] {
  switch (event.kind) {
    case 'execution':
      return { case: 'execution', value: executionToMessage(event.execution) };
    case 'log':
      return { case: 'log', value: logEntryToMessage(event.entry) };
    case 'gap':
      return { case: 'gap', value: gapToMessage(event) };
    case 'heartbeat':
      return {
        case: 'heartbeat',
        value: { $typeName: 'carillon.v1.StreamHeartbeat', time: timestampFromDate(event.at) },
      };
  }
}
