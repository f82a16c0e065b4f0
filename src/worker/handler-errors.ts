/** What a handler throws to say how its failure is to be taken. Anything else that it throws is a failure that may be retried. */

/** A failure that another attempt would not mend: the execution is FAILED without a retry. */
export class PermanentError extends Error {
  override readonly name: string = 'PermanentError';
}

/** A failure that may be retried, but not before a while. */
export class RetryAfterError extends Error {
  override readonly name: string = 'RetryAfterError';
  /** The shortest wait before the next attempt, in milliseconds; above 24 hours counts as 24 hours. */
  readonly retryAfterMs: number;

  constructor(retryAfterMs: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.retryAfterMs = retryAfterMs;
  }
}
