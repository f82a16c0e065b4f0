/**
 * The one place that knows gRPC codes. A DomainError becomes a description:
 * code, neutral message, and the google.rpc details; both servers make their
 * own shape of error from the same description. Anything that is not a
 * DomainError is a fault of ours: the caller gets INTERNAL and the request id,
 * the log gets the whole error.
 *
 * What message and details weigh is bounded, because they travel in headers.
 */
import { Code, ConnectError } from '@connectrpc/connect';
import { DomainError, type DomainErrorDetails, type ErrorReason } from '../domain/errors.ts';
import {
  badRequest,
  cleanText,
  type Detail,
  errorInfo,
  preconditionFailure,
  quotaFailure,
  requestInfo,
  resourceInfo,
  retryInfo,
} from './error-details.ts';

/** The gRPC code of every reason; the whole error table. */
export const codeOfReason: Readonly<Record<ErrorReason, Code>> = {
  JOB_NOT_FOUND: Code.NotFound,
  EXECUTION_NOT_FOUND: Code.NotFound,
  CALENDAR_NOT_FOUND: Code.NotFound,
  SECRET_NOT_FOUND: Code.NotFound,
  NAMESPACE_NOT_FOUND: Code.NotFound,
  JOB_ALREADY_EXISTS: Code.AlreadyExists,
  NAMESPACE_ALREADY_EXISTS: Code.AlreadyExists,
  REQUEST_ID_REUSED: Code.AlreadyExists,
  INVALID_ARGUMENT: Code.InvalidArgument,
  INVALID_SCHEDULE: Code.InvalidArgument,
  INVALID_PAGE_TOKEN: Code.InvalidArgument,
  JOB_FINISHED: Code.FailedPrecondition,
  JOB_PAUSED: Code.FailedPrecondition,
  JOB_STATE_CONFLICT: Code.FailedPrecondition,
  CALENDAR_IN_USE: Code.FailedPrecondition,
  SECRET_IN_USE: Code.FailedPrecondition,
  SECRET_KEY_MISSING: Code.FailedPrecondition,
  ATTEMPT_ENDED: Code.FailedPrecondition,
  ATTEMPT_NOT_ACCEPTED: Code.FailedPrecondition,
  ETAG_MISMATCH: Code.Aborted,
  CONCURRENT_CHANGE: Code.Aborted,
  QUOTA_EXCEEDED: Code.ResourceExhausted,
  CURSOR_EXPIRED: Code.OutOfRange,
  LOG_OFFSET_TOO_HIGH: Code.OutOfRange,
  UNAUTHENTICATED: Code.Unauthenticated,
  PERMISSION_DENIED: Code.PermissionDenied,
  UNAVAILABLE: Code.Unavailable,
  INTERNAL: Code.Internal,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  CANCELED: Code.Canceled,
  UNIMPLEMENTED: Code.Unimplemented,
};

/** An error as the caller sees it, whatever the protocol. */
export type ErrorDescription = {
  readonly reason: ErrorReason;
  readonly code: Code;
  readonly message: string;
  readonly details: readonly Detail[];
};

/** How long a caller waits after UNAVAILABLE where the error does not say, in milliseconds. */
const defaultRetryAfterMs = 1_000;

/** What a message may weigh, in bytes; percent-encoding makes up to three of each, and it travels twice. */
const maxMessageBytes = 450;

/** Describes whatever was thrown; never throws. */
export function describeError(failure: unknown, requestId: string): ErrorDescription {
  if (failure instanceof DomainError && failure.reason !== 'INTERNAL') return describeDomainError(failure);
  const message = `internal error; the server's log has it under the request id ${requestId}`;
  return {
    reason: 'INTERNAL',
    code: Code.Internal,
    message,
    details: [errorInfo('INTERNAL', { request_id: requestId }), requestInfo(requestId)],
  };
}

function describeDomainError(error: DomainError): ErrorDescription {
  return {
    reason: error.reason,
    code: codeOfReason[error.reason],
    message: cleanText(error.message, maxMessageBytes),
    details: [errorInfo(error.reason, error.details.metadata ?? {}), ...furtherDetails(error)],
  };
}

function* furtherDetails({ reason, message, details }: DomainError): Generator<Detail> {
  const { violations, precondition, resource, quota }: DomainErrorDetails = details;
  const retryAfterMs = details.retryAfterMs ?? (reason === 'UNAVAILABLE' ? defaultRetryAfterMs : undefined);
  if (violations !== undefined && violations.length > 0) yield badRequest(violations);
  if (precondition !== undefined) yield preconditionFailure(precondition);
  if (resource !== undefined) yield resourceInfo(resource, message);
  if (retryAfterMs !== undefined) yield retryInfo(retryAfterMs);
  if (quota !== undefined) yield quotaFailure(quota);
}

/** The error as connect-node sends it. */
export function connectErrorFromDescription(description: ErrorDescription): ConnectError {
  return new ConnectError(description.message, description.code, undefined, [...description.details]);
}

/** Whether the code says that the server failed, not the caller: such calls are logged with the whole error. */
export function isServerFault(code: Code): boolean {
  return code === Code.Internal || code === Code.Unknown || code === Code.DataLoss;
}

const codeNames: Readonly<Record<Code, string>> = {
  [Code.Canceled]: 'CANCELLED',
  [Code.Unknown]: 'UNKNOWN',
  [Code.InvalidArgument]: 'INVALID_ARGUMENT',
  [Code.DeadlineExceeded]: 'DEADLINE_EXCEEDED',
  [Code.NotFound]: 'NOT_FOUND',
  [Code.AlreadyExists]: 'ALREADY_EXISTS',
  [Code.PermissionDenied]: 'PERMISSION_DENIED',
  [Code.ResourceExhausted]: 'RESOURCE_EXHAUSTED',
  [Code.FailedPrecondition]: 'FAILED_PRECONDITION',
  [Code.Aborted]: 'ABORTED',
  [Code.OutOfRange]: 'OUT_OF_RANGE',
  [Code.Unimplemented]: 'UNIMPLEMENTED',
  [Code.Internal]: 'INTERNAL',
  [Code.Unavailable]: 'UNAVAILABLE',
  [Code.DataLoss]: 'DATA_LOSS',
  [Code.Unauthenticated]: 'UNAUTHENTICATED',
};

/** The code's name as gRPC writes it; `OK` where there is no error. */
export function nameOfCode(code: Code | undefined): string {
  return code === undefined ? 'OK' : codeNames[code];
}
