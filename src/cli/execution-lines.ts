import { type Timestamp, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  type Execution,
  ExecutionCause,
  ExecutionReason,
  ExecutionState,
  type LogEntry,
  LogLevel,
} from '../../gen/carillon/v1/execution_pb.js';
import type { StreamGap } from '../../gen/carillon/v1/execution_service_pb.js';
import { jobKeyToText } from './job-name.ts';
import { instantToText } from './option-values.ts';

/** The titles of `executionRow`. */
export const executionTitles = ['ID', 'JOB', 'STATE', 'CAUSE', 'FIRE TIME', 'TOOK', 'WHY'] as const;

/** An execution as a row of a table. */
export function executionRow(execution: Execution): readonly string[] {
  return [
    String(execution.id),
    jobKeyToText(execution.jobKey),
    ExecutionState[execution.state],
    ExecutionCause[execution.cause],
    instantToText(execution.fireTime),
    spanToText(execution.startTime, execution.finishTime) || '-',
    whyToText(execution),
  ];
}

/** An execution in one line: which, its state and why. */
export function executionSummary(execution: Execution): string {
  const took = spanToText(execution.startTime, execution.finishTime);
  const why = whyToText(execution);
  const attempt = execution.attempt > 1 ? ` (attempt ${execution.attempt})` : '';
  return `${execution.id} ${ExecutionState[execution.state]}${attempt}${took && ` after ${took}`}${why && `: ${why}`}`;
}

/** Everything about an execution, as properties. */
export function executionProperties(execution: Execution): readonly (readonly [string, string])[] {
  const { parameters, result } = execution;
  return [
    ['id', String(execution.id)],
    ['job', `${jobKeyToText(execution.jobKey)} (id ${execution.jobId})`],
    ['state', ExecutionState[execution.state]],
    ['why', whyToText(execution)],
    ['cause', ExecutionCause[execution.cause]],
    ['backfill', execution.backfillId > 0n ? String(execution.backfillId) : ''],
    ['schedule', execution.schedule],
    ['fire time', instantToText(execution.fireTime)],
    ['made', instantToText(execution.createTime)],
    ['started', instantToText(execution.startTime)],
    ['finished', instantToText(execution.finishTime)],
    ['parameters', parameters?.text ?? ''],
    [
      parameters?.text === undefined ? 'parameters' : ' ',
      parameters?.object ? JSON.stringify(parameters.object) : '',
    ],
    ...(parameters?.list ?? []).map(({ name, value }): [string, string] => ['parameter', `${name}=${value}`]),
    ['result', result ? JSON.stringify(result) : ''],
    ...execution.attempts.map((each): [string, string] => {
      const took = spanToText(each.startTime, each.finishTime);
      const why = reasonToText(each.reason, each.message);
      const words = `${ExecutionState[each.outcome]}${took && ` after ${took}`}${why && `: ${why}`}`;
      return [`attempt ${each.attempt}`, `${instantToText(each.startTime)} ${words}`];
    }),
  ];
}

/** A log line: time, level, message and what data came with it. */
export function logLine({ time, level, message, data }: LogEntry): string {
  const more = data && Object.keys(data).length > 0 ? ` ${JSON.stringify(data)}` : '';
  return `${instantToText(time)} ${LogLevel[level].padEnd(5)} ${message}${more}`;
}

/** Says which log lines a stream left out. */
export function gapLine({ executionId, firstSeq, lastSeq, count }: StreamGap): string {
  return `(${count} lines of ${executionId} left out here, ${firstSeq} to ${lastSeq}; execution logs has them)`;
}

function whyToText({ state, reason, message, waitingFor, skippedCount }: Execution): string {
  if (state === ExecutionState.PENDING && waitingFor) return `waits for ${waitingFor}`;
  const many = skippedCount > 0n ? ` (stands for ${skippedCount} fire times)` : '';
  return reasonToText(reason, message) + many;
}

function reasonToText(reason: ExecutionReason, message: string): string {
  if (reason === ExecutionReason.UNSPECIFIED) return message;
  return message ? `${ExecutionReason[reason]}, ${message}` : ExecutionReason[reason];
}

function spanToText(from: Timestamp | undefined, to: Timestamp | undefined): string {
  if (!from || !to) return '';
  return `${((timestampMs(to) - timestampMs(from)) / 1_000).toFixed(3)} s`;
}
