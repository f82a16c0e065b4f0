import type * as pb from '../../../gen/carillon/v1/attempt_service_pb.js';
import type { EndReport, LogReceipt, LogReport } from '../../engine/operations.ts';
import { logLevels, reportedStates } from './enums.ts';
import { msOrDefault, optionalDate } from './times.ts';

/** Lines that a callee reports. */
export function logReportFromMessage(request: pb.AttemptServiceAppendLogsRequest): LogReport {
  const { attemptToken, entries, offset } = request;
  return {
    token: attemptToken,
    lines: entries.map((entry) => ({
      at: optionalDate(entry.time),
      level: logLevels.fromMessage(entry.level) ?? 'INFO',
      message: entry.message,
      data: entry.data,
    })),
    offset: offset === undefined ? undefined : Number(offset),
  };
}

/** What became of the lines. */
export function logReceiptToMessage(receipt: LogReceipt): pb.AttemptServiceAppendLogsResponse {
  return {
    $typeName: 'carillon.v1.AttemptServiceAppendLogsResponse',
    stored: receipt.stored,
    repeatedLines: receipt.repeated,
    dropped: receipt.dropped,
    nextOffset: BigInt(receipt.nextOffset),
    cancelRequested: receipt.isCancelRequested,
  };
}

/** How a callee says that its attempt ended. */
export function endReportFromMessage(request: pb.AttemptServiceCompleteRequest): EndReport {
  return {
    token: request.attemptToken,
    // The rule on the field lets these three through.
    state: reportedStates.fromMessage(request.state) ?? 'FAILED',
    message: request.message,
    result: request.result,
    retryable: request.retryable ?? true,
    retryAfterMs: msOrDefault(request.retryAfter, undefined),
  };
}
