/** Why a call is refused; the names of ErrorReason in the proto. Codes are known to rpc/errors alone. */
export type ErrorReason =
  | 'JOB_NOT_FOUND'
  | 'EXECUTION_NOT_FOUND'
  | 'JOB_ALREADY_EXISTS'
  | 'REQUEST_ID_REUSED'
  | 'INVALID_ARGUMENT'
  | 'INVALID_SCHEDULE'
  | 'INVALID_PAGE_TOKEN'
  | 'JOB_FINISHED'
  | 'JOB_PAUSED'
  | 'JOB_STATE_CONFLICT'
  | 'ETAG_MISMATCH'
  | 'CONCURRENT_CHANGE'
  | 'QUOTA_EXCEEDED'
  | 'CURSOR_EXPIRED'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'UNAVAILABLE'
  | 'INTERNAL'
  | 'DEADLINE_EXCEEDED'
  | 'CANCELED'
  | 'UNIMPLEMENTED'
  | 'CALENDAR_NOT_FOUND'
  | 'CALENDAR_IN_USE'
  | 'SECRET_NOT_FOUND'
  | 'SECRET_IN_USE'
  | 'SECRET_KEY_MISSING'
  | 'NAMESPACE_NOT_FOUND'
  | 'NAMESPACE_ALREADY_EXISTS'
  | 'ATTEMPT_ENDED'
  | 'ATTEMPT_NOT_ACCEPTED'
  | 'LOG_OFFSET_TOO_HIGH';

/** One field that breaks its rule: path in proto names (`job.schedules[0].cron.expression`) and what would be right. */
export type FieldViolation = { readonly field: string; readonly description: string };

export type DomainErrorDetails = {
  /** Every variable part of the message, for programs. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  readonly resource?: {
    readonly type: 'job' | 'execution' | 'calendar' | 'secret' | 'namespace';
    readonly name: string;
  };
  readonly precondition?: { readonly type: string; readonly subject: string; readonly description: string };
  readonly quota?: { readonly subject: string; readonly description: string };
  /** When trying again makes sense, in milliseconds. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
};

/**
 * The only error that crosses the layers upward: a reason, a message for
 * people, and the details that rpc/errors turns into google.rpc messages.
 */
export class DomainError extends Error {
  override readonly name = 'DomainError';
  readonly reason: ErrorReason;
  readonly details: DomainErrorDetails;

  constructor(reason: ErrorReason, message: string, details: DomainErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.details = details;
  }
}

/** Refuses one field with INVALID_ARGUMENT, or with INVALID_SCHEDULE where a schedule cannot be used. */
export function invalidField(
  field: string,
  description: string,
  reason: 'INVALID_ARGUMENT' | 'INVALID_SCHEDULE' = 'INVALID_ARGUMENT',
): DomainError {
  return new DomainError(reason, `${field}: ${description}`, {
    metadata: { field, description },
    violations: [{ field, description }],
  });
}
