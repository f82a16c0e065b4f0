import { Code } from '@connectrpc/connect';
import { type RetryInfo, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import type { ErrorReason } from '../domain/errors.ts';
import type { CallFailed } from '../rpc/local-call.ts';

/** Why a request is not answered as it wished, before a dialect gives it its shape. */
export type Failure = {
  /** The HTTP status that says it in general; a dialect may have its own. */
  readonly status: number;
  readonly reason: ErrorReason;
  /** In words, for people; neutral. */
  readonly message: string;
  /** When trying again makes sense, in whole seconds. */
  readonly retryAfterSeconds?: number;
  /** The methods that the path has, where that is what is wrong. */
  readonly allow?: readonly string[];
};

/** A request that is refused before it is a call: what it says cannot be read, or breaks the dialect's own rules. */
export class RequestRefused extends Error {
  override readonly name = 'RequestRefused';
  readonly failure: Failure;

  constructor(
    status: number,
    message: string,
    more: { readonly reason?: ErrorReason; readonly allow?: readonly string[] } = {},
  ) {
    super(message);
    this.failure = { status, message, reason: more.reason ?? 'INVALID_ARGUMENT', allow: more.allow };
  }
}

const statusOfCode: Readonly<Record<Code, number>> = {
  [Code.Canceled]: 499,
  [Code.Unknown]: 500,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 409,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Internal]: 500,
  [Code.Unavailable]: 503,
  [Code.DataLoss]: 500,
  [Code.Unauthenticated]: 401,
};

/** The failure of a call. */
export function failureFromCall({ error }: CallFailed): Failure {
  const { code, reason, message, details } = error;
  const retry = details.find(({ desc }) => desc === RetryInfoSchema)?.value as RetryInfo | undefined;
  const seconds = Number(retry?.retryDelay?.seconds ?? 0) + (retry?.retryDelay?.nanos ?? 0) / 1e9;
  return {
    status: statusOfCode[code],
    reason,
    message,
    retryAfterSeconds: retry === undefined ? undefined : Math.max(1, Math.ceil(seconds)),
  };
}
