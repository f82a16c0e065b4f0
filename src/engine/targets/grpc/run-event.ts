import { fromBinary, type JsonObject } from '@bufbuild/protobuf';
import { type Duration, type Timestamp, timestampDate } from '@bufbuild/protobuf/wkt';
import { ExecutionState, LogLevel as LevelMessage } from '../../../../gen/carillon/v1/execution_pb.js';
import {
  type TargetLog,
  type TargetProgress,
  type TargetResult,
  type TargetServiceRunResponse,
  TargetServiceRunResponseSchema,
} from '../../../../gen/carillon/v1/target_service_pb.js';
import type { LogLevel, LogLine } from '../../../domain/execution.ts';
import type { AnswerMask } from '../../secrets/answer-mask.ts';
import { boundedText, maxJsonDepth, storableJsonObject } from '../http/callee-text.ts';
import { failed, failureFromCallee } from '../http/failure.ts';
import type { DeliveryResult } from '../target.ts';

/** What one message of an answer says: a line to log, how the attempt ended, or nothing. */
export type RunEvent = {
  readonly line?: LogLine;
  readonly end?: DeliveryResult;
};

const nothing: RunEvent = {};

const levels: ReadonlyMap<LevelMessage, LogLevel> = new Map([
  [LevelMessage.DEBUG, 'DEBUG'],
  [LevelMessage.INFO, 'INFO'],
  [LevelMessage.WARN, 'WARN'],
  [LevelMessage.ERROR, 'ERROR'],
]);

/**
 * Reads a message of an answer, whose words are in target_service.proto. Total:
 * bytes that are no such message end the attempt. What the mask is for is in none.
 */
export function eventFromBytes(bytes: Buffer, maxLineBytes: number, mask: AnswerMask): RunEvent {
  // So that a callee that sends millions of them costs little.
  if (bytes.length === 0) return nothing;
  let message: TargetServiceRunResponse;
  try {
    message = fromBinary(TargetServiceRunResponseSchema, bytes);
  } catch {
    return { end: failed('answer has a message that is no TargetServiceRunResponse', false) };
  }
  const { case: kind, value } = message.event;
  switch (kind) {
    case 'log':
      return { line: lineFromLog(value, bytes.length, maxLineBytes, mask) };
    case 'progress':
      return { line: lineFromProgress(value, maxLineBytes, mask) };
    case 'result':
      return eventFromResult(value, mask);
    default:
      return nothing;
  }
}

function lineFromLog(
  { level, message, data, time }: TargetLog,
  bytes: number,
  max: number,
  mask: AnswerMask,
): LogLine {
  const at = instantFrom(time);
  const kept = keptData(data, bytes - Buffer.byteLength(message), max);
  return {
    ...(at && { at }),
    level: levels.get(level) ?? 'INFO',
    message: boundedText(mask.text(message), max) + (kept.remark ?? ''),
    ...(kept.data && { data: mask.json(kept.data) }),
  };
}

function keptData(data: JsonObject | undefined, bytes: number, max: number) {
  if (data === undefined) return {};
  if (bytes > max) return { remark: ` (data left out, ${bytes} bytes)` };
  const storable = storableJsonObject(data);
  return storable ? { data: storable } : { remark: ` (data left out, ${tooDeep})` };
}

const tooDeep = `deeper than ${maxJsonDepth} levels`;

function lineFromProgress(progress: TargetProgress, max: number, mask: AnswerMask): LogLine {
  const fraction = Math.min(Math.max(progress.fraction || 0, 0), 1);
  const text = progress.text === '' ? `progress ${Math.round(fraction * 100)} %` : progress.text;
  return { level: 'INFO', message: boundedText(mask.text(text), max), data: { progress: fraction } };
}

function eventFromResult(value: TargetResult, mask: AnswerMask): RunEvent {
  const { state, message, result, retryable, retryAfter } = value;
  switch (state) {
    case ExecutionState.UNSPECIFIED:
    case ExecutionState.SUCCEEDED: {
      const end: DeliveryResult = { outcome: 'SUCCEEDED', message: '', retryable: false };
      if (result === undefined) return { end };
      const storable = storableJsonObject(result);
      if (storable) return { end: { ...end, result: mask.json(storable) } };
      return { end, line: { level: 'WARN', message: `result left out, ${tooDeep}` } };
    }
    case ExecutionState.FAILED:
      return {
        end: failureFromCallee(
          mask.text(message),
          retryable ?? true,
          retryAfter && msFromDuration(retryAfter),
        ),
      };
    default:
      return { end: failed('answer has a result that is neither SUCCEEDED nor FAILED', false) };
  }
}

/** Milliseconds of a span that a callee names; not bounded yet. */
export function msFromDuration({ seconds, nanos }: Duration): number {
  return Number(seconds) * 1_000 + Math.ceil(nanos / 1_000_000);
}

// From 1970, before which nothing was logged, to the end of 9999.
function instantFrom(time: Timestamp | undefined): Date | undefined {
  if (time === undefined || time.seconds < 0n || time.seconds > 253_402_300_799n) return undefined;
  return time.nanos >= 0 && time.nanos < 1_000_000_000 ? timestampDate(time) : undefined;
}
