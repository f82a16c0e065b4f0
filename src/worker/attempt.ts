import type { Assignment, AttemptRef, WorkerResult } from '../../gen/carillon/v1/worker_service_pb.js';

/**
 * Where an attempt stands with the worker:
 *
 *     WAITING   assigned; no place is free yet
 *     RUNNING   its handler is under way
 *     ENDED     it has a result, which Carillon has not acknowledged
 *     GONE      acknowledged, or not the worker's any more; its handler may still be under way
 */
export type AttemptPhase = 'WAITING' | 'RUNNING' | 'ENDED' | 'GONE';

/** How an attempt ended. */
export type EndedWith = {
  readonly result: WorkerResult;
  /** How many bytes the result takes on the wire, at the most. */
  readonly bytes: number;
  /** Why what the handler returned was left out, where it was. */
  readonly leftOut?: string;
};

/** One attempt that the worker was assigned. There are thousands a second, so what few handlers use is made when it is asked for. */
export class Attempt {
  readonly assignment: Assignment;
  /** The execution; ids are below 2^53. */
  readonly executionId: number;
  /** When its time is over, on the monotonic clock; Infinity when it may take as long as it likes. */
  readonly deadlineMs: number;
  phase: AttemptPhase = 'WAITING';
  /** How it ended, from then on. */
  ended: EndedWith | undefined;
  /** The number of its newest log line among the worker's; 0 before the first. Its result goes behind that line. */
  lastLine = 0;
  /** How many log lines found no room since the last one that did. */
  droppedLines = 0;
  #stopReason: Error | undefined;
  #controller: AbortController | undefined;

  constructor(assignment: Assignment, deadlineMs: number) {
    this.assignment = assignment;
    this.executionId = Number(assignment.executionId);
    this.deadlineMs = deadlineMs;
  }

  /** Its name on the wire. */
  get ref(): AttemptRef {
    const { executionId, attempt } = this.assignment;
    return { $typeName: 'carillon.v1.AttemptRef', executionId, attempt };
  }

  /** Why its handler was asked to stop; undefined when it was not. */
  get stopReason(): Error | undefined {
    return this.#stopReason;
  }

  /** Aborts when the handler is to stop. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#stopReason !== undefined) this.#controller.abort(this.#stopReason);
    }
    return this.#controller.signal;
  }

  /** Asks the handler to stop; only the first reason counts. */
  askToStop(reason: Error): void {
    if (this.#stopReason !== undefined) return;
    this.#stopReason = reason;
    this.#controller?.abort(reason);
  }
}
