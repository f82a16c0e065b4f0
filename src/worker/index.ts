/** The worker library: what `carillon/worker` exports. */
export type {
  AttemptCause,
  AttemptContext,
  AttemptJobKey,
  AttemptLog,
  AttemptParameters,
  WriteLine,
} from './attempt-context.ts';
export { PermanentError, RetryAfterError } from './handler-errors.ts';
export { AttemptLostError, AttemptTimeoutError, CanceledError, WorkerStoppedError } from './stop-reasons.ts';
export { Worker } from './worker.ts';
export type { Handler, HandlerResult, WorkerLogger, WorkerOptions, WorkerTls } from './worker-options.ts';
export { WorkerRefusedError } from './worker-refusal.ts';
