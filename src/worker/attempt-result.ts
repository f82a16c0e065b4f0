import { type JsonObject, toBinary } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { type WorkerResult, WorkerResultSchema } from '../../gen/carillon/v1/worker_service_pb.js';
import type { Attempt, EndedWith } from './attempt.ts';
import { PermanentError, RetryAfterError } from './handler-errors.ts';
import { jsonDataFrom } from './json-data.ts';
import { structFactor } from './log-buffer.ts';
import { wordsOf } from './safe-text.ts';
import { CanceledError } from './stop-reasons.ts';

/** The largest result, in bytes as JSON. */
const maxResultBytes = 1_048_576;

/** The largest result as it goes over the wire: with one more behind it, still below the 4 MiB of a message. */
const maxEncodedBytes = 3 * 1_024 * 1_024;

/** The longest message of a failure, in characters. */
const maxMessageLength = 10_000;

/** What a result takes beside its message and object, in bytes on the wire. */
const plainBytes = 64;

const dayMs = 86_400_000;

/** The result of an attempt whose handler returned. A value that cannot be sent is left out: the work is done. */
export function resultOfReturn(attempt: Attempt, value: unknown): EndedWith {
  if (value === undefined || value === null) return succeeded(attempt);
  const json = jsonDataFrom(value, maxResultBytes);
  if (json.problem !== undefined) return { ...succeeded(attempt), leftOut: json.problem };
  const result = resultOf(attempt, ExecutionState.SUCCEEDED, json.object);
  let bytes = json.bytes * structFactor + plainBytes;
  if (bytes > maxEncodedBytes) {
    bytes = toBinary(WorkerResultSchema, result).length;
    const leftOut = `it has ${bytes} bytes on the wire, more than ${maxEncodedBytes}`;
    if (bytes > maxEncodedBytes) return { ...succeeded(attempt), leftOut };
  }
  return { result, bytes };
}

/** The result of an attempt whose handler threw: CANCELED after a cancel, else FAILED. */
export function resultOfThrow(attempt: Attempt, thrown: unknown): EndedWith {
  const isCanceled = attempt.stopReason instanceof CanceledError;
  const result = resultOf(attempt, isCanceled ? ExecutionState.CANCELED : ExecutionState.FAILED);
  result.message = wordsOf(thrown, maxMessageLength);
  if (!isCanceled && thrown instanceof PermanentError) result.retryable = false;
  if (!isCanceled && thrown instanceof RetryAfterError && thrown.retryAfterMs > 0) {
    result.retryAfter = durationFromMs(Math.ceil(Math.min(thrown.retryAfterMs, dayMs)));
  }
  return { result, bytes: Buffer.byteLength(result.message) + plainBytes };
}

const succeeded = (attempt: Attempt): EndedWith => ({
  result: resultOf(attempt, ExecutionState.SUCCEEDED),
  bytes: plainBytes,
});

function resultOf(attempt: Attempt, state: ExecutionState, result?: JsonObject): WorkerResult {
  const { executionId, attempt: number } = attempt.assignment;
  return {
    $typeName: 'carillon.v1.WorkerResult',
    executionId,
    attempt: number,
    state,
    message: '',
    result,
  };
}
