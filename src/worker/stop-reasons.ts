/** Why a handler is asked to stop: the classes that `signal.reason` is one of. */

/** Somebody canceled the execution. */
export class CanceledError extends Error {
  override readonly name: string = 'CanceledError';
}

/** The attempt has taken longer than its job allows. It ends as FAILED, whatever the handler does. */
export class AttemptTimeoutError extends Error {
  override readonly name: string = 'AttemptTimeoutError';
}

/** The attempt is this worker's no more, since it was away for too long: whatever it reports is ignored. */
export class AttemptLostError extends Error {
  override readonly name: string = 'AttemptLostError';
}

/** The worker stops, and its grace time is over. */
export class WorkerStoppedError extends Error {
  override readonly name: string = 'WorkerStoppedError';
}
