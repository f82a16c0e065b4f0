import * as pb from '../../../gen/carillon/v1/execution_pb.js';
import type { StreamGap } from '../../../gen/carillon/v1/execution_service_pb.js';
import type { Attempt, Execution, LogEntry } from '../../domain/execution.ts';
import type { StreamEvent } from '../../engine/operations.ts';
import { attemptOutcomes, executionCauses, executionReasons, executionStates, logLevels } from './enums.ts';
import { jobKeyToMessage } from './job-key.ts';
import { parametersToMessage } from './parameters.ts';
import { optionalTimestamp, timestampFromDate } from './times.ts';

/** One row of the ledger; attempts and parameters are there where the operation gave them. */
export function executionToMessage(execution: Execution): pb.Execution {
  return {
    $typeName: 'carillon.v1.Execution',
    id: BigInt(execution.id),
    jobId: BigInt(execution.jobId),
    jobKey: jobKeyToMessage(execution.jobKey),
    schedule: execution.schedule,
    cause: executionCauses.toMessage(execution.cause),
    fireTime: timestampFromDate(execution.fireAt),
    createTime: timestampFromDate(execution.createdAt),
    startTime: optionalTimestamp(execution.startedAt),
    finishTime: optionalTimestamp(execution.finishedAt),
    state: executionStates.toMessage(execution.state),
    reason: reasonToMessage(execution.reason),
    message: execution.message,
    attempt: execution.attempt,
    attempts: execution.attempts === undefined ? [] : execution.attempts.map(attemptToMessage),
    parameters: parametersToMessage(execution.parameters),
    result: execution.result,
    priority: execution.priority,
    term: BigInt(execution.term),
    waitingFor: execution.waitingFor,
    skippedCount: BigInt(execution.skippedCount),
    backfillId: BigInt(execution.backfillId ?? 0),
    workerId: execution.workerId ?? '',
  };
}

function attemptToMessage(attempt: Attempt): pb.Attempt {
  return {
    $typeName: 'carillon.v1.Attempt',
    attempt: attempt.attempt,
    startTime: timestampFromDate(attempt.startedAt),
    finishTime: optionalTimestamp(attempt.finishedAt),
    outcome: attemptOutcomes.toMessage(attempt.outcome),
    reason: reasonToMessage(attempt.reason),
    message: attempt.message,
    instanceId: attempt.instanceId,
    workerId: attempt.workerId ?? '',
  };
}

function reasonToMessage(reason: Execution['reason']): pb.ExecutionReason {
  return reason === undefined ? pb.ExecutionReason.UNSPECIFIED : executionReasons.toMessage(reason);
}

/** One line of a log. */
export function logEntryToMessage(entry: LogEntry): pb.LogEntry {
  return {
    $typeName: 'carillon.v1.LogEntry',
    executionId: BigInt(entry.executionId),
    seq: BigInt(entry.seq),
    time: timestampFromDate(entry.at),
    level: logLevels.toMessage(entry.level),
    message: entry.message,
    data: entry.data,
    attempt: entry.attempt,
  };
}

/** The lines that are missing from a stream. */
export function gapToMessage(gap: Extract<StreamEvent, { kind: 'gap' }>): StreamGap {
  return {
    $typeName: 'carillon.v1.StreamGap',
    executionId: BigInt(gap.executionId),
    firstSeq: BigInt(gap.firstSeq),
    lastSeq: BigInt(gap.lastSeq),
    count: BigInt(gap.count),
  };
}
