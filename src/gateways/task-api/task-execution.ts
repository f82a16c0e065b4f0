import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import {
  type Execution,
  ExecutionState,
  type LogEntry,
  LogLevel,
} from '../../../gen/carillon/v1/execution_pb.js';
import type { Job } from '../../../gen/carillon/v1/job_pb.js';
import { uuidFromExecutionId } from './execution-uuid.ts';

/** The states that clients know. What waits counts as running, and what was left out as cancelled. */
const statuses: Readonly<Record<ExecutionState, string>> = {
  [ExecutionState.UNSPECIFIED]: 'running',
  [ExecutionState.PENDING]: 'running',
  [ExecutionState.RUNNING]: 'running',
  [ExecutionState.SUCCEEDED]: 'completed',
  [ExecutionState.FAILED]: 'failed',
  [ExecutionState.CANCELED]: 'cancelled',
  [ExecutionState.SKIPPED]: 'cancelled',
};

const levels: Readonly<Record<LogLevel, string>> = {
  [LogLevel.UNSPECIFIED]: 'info',
  [LogLevel.DEBUG]: 'debug',
  [LogLevel.INFO]: 'info',
  [LogLevel.WARN]: 'warn',
  [LogLevel.ERROR]: 'error',
};

/** A page of an execution's log. */
export type LogPage = {
  readonly entries: readonly LogEntry[];
  /** Whether it begins with the first line of the log. */
  readonly isFirst: boolean;
  /** Behind which line the next page begins; undefined on the last one. */
  readonly nextAfter: bigint | undefined;
};

/** An execution with a page of its log, as clients read it. */
export function taskExecution(
  execution: Execution,
  { entries, isFirst, nextAfter }: LogPage,
  job: Job | undefined,
) {
  const startedAt = isoText(execution.startTime ?? execution.createTime);
  return {
    executionId: uuidFromExecutionId(execution.id),
    taskName: execution.jobKey?.name ?? '',
    status: statuses[execution.state],
    startedAt,
    ...(execution.finishTime && { finishedAt: isoText(execution.finishTime) }),
    logs: [...(isFirst ? firstLines(execution, startedAt, job) : []), ...entries.map(logLine)],
    ...(nextAfter !== undefined && { nextLogAfter: Number(nextAfter) }),
  };
}

/** What no line of the log says: that the run began, and within what time; or that it will not begin. */
function firstLines({ state, startTime, message }: Execution, timestamp: string, job: Job | undefined) {
  if (startTime !== undefined) {
    const limit = job?.attemptTimeout;
    const ms = limit === undefined ? undefined : Number(limit.seconds) * 1_000 + limit.nanos / 1e6;
    return [
      {
        timestamp,
        level: 'info',
        message: ms === undefined ? '开始执行任务' : `开始执行任务 (超时限制: ${ms}ms)`,
      },
    ];
  }
  return state === ExecutionState.SKIPPED
    ? [{ timestamp, level: 'warn', message: `任务未执行: ${message}` }]
    : [];
}

function logLine({ time, level, message, data }: LogEntry) {
  return { timestamp: isoText(time), level: levels[level], message, ...(data && { data }) };
}

function isoText(time: Timestamp | undefined): string {
  return time === undefined ? '' : timestampDate(time).toISOString();
}
