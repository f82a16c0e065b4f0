import { status } from '@grpc/grpc-js';
import type { StreamEnd } from './worker-stream.ts';

/** Carillon does not take the worker as it is: trying again would not help. */
export class WorkerRefusedError extends Error {
  override readonly name = 'WorkerRefusedError';
}

const refusals: ReadonlySet<number> = new Set([
  status.INVALID_ARGUMENT,
  // No such namespace.
  status.NOT_FOUND,
  status.UNIMPLEMENTED,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
]);

/**
 * Why it makes no sense to try again; undefined when it does. A worker that was
 * good enough before is refused for one reason only: another process took its
 * name. For any other it is passing trouble of whatever stands in between.
 */
export function refusalFrom(end: StreamEnd, wasWelcomed: boolean): WorkerRefusedError | undefined {
  if (end.reason === 'CONCURRENT_CHANGE') {
    return new WorkerRefusedError(`another process has taken the place of this worker: ${end.details}`);
  }
  return !wasWelcomed && refusals.has(end.code) ? new WorkerRefusedError(end.details) : undefined;
}
