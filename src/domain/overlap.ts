/**
 * What happens to a run while executions of its job are open.
 *
 * Whoever decides holds the job's timer row, so that all decisions about one
 * job come one after the other, and tells what is open in the database. Within
 * one decision several runs may be made (a catch-up, a batch of triggers), so
 * the rule remembers what it has let through.
 *
 *   nothing open              START
 *   SKIP                      SKIP
 *   BUFFER_ONE, BUFFER_ALL    BUFFER behind what is open, SKIP when the buffer is full
 *   CANCEL_OTHER              BUFFER, and everything that is open is canceled
 *   ALLOW                     START
 *
 * A buffered execution is PENDING and nobody may claim it; when no other of its
 * job is open, the earliest by fire time is let go (engine/job-continuation).
 */
import type { OverlapPolicy } from './job.ts';

/** How many executions of a job BUFFER_ALL lets wait. */
export const maxBuffered = 1_000;

/** What is open of a job. */
export type Occupancy = {
  /** One of its open executions. */
  readonly openExecutionId?: number;
  /** How many of its open executions wait for others to end. */
  readonly bufferedCount: number;
};

export type OverlapDecision =
  | { readonly kind: 'START' }
  | { readonly kind: 'BUFFER'; readonly cancelsOthers: boolean }
  | { readonly kind: 'SKIP'; readonly message: string };

/** Decides about the runs of one job, one after the other. */
export class OverlapRule {
  #open: string | undefined;
  #buffered: number;

  constructor(occupancy: Occupancy) {
    this.#open =
      occupancy.openExecutionId === undefined ? undefined : `execution ${occupancy.openExecutionId}`;
    this.#buffered = occupancy.bufferedCount;
  }

  /**
   * What becomes of the next run. `name` is what later messages call it;
   * `limit` is how many may wait under BUFFER_ALL.
   */
  decide(policy: OverlapPolicy, name: string, limit = maxBuffered): OverlapDecision {
    const open = this.#open;
    if (open === undefined || policy === 'ALLOW') {
      this.#open = name;
      return { kind: 'START' };
    }
    switch (policy) {
      case 'SKIP':
        return { kind: 'SKIP', message: `${open} was still open` };
      case 'BUFFER_ONE':
        if (this.#buffered > 0) return { kind: 'SKIP', message: `${open} was still open and another waited` };
        break;
      case 'BUFFER_ALL':
        if (this.#buffered >= limit) {
          return { kind: 'SKIP', message: `${open} was still open and ${this.#buffered} others waited` };
        }
        break;
      case 'CANCEL_OTHER':
        this.#buffered = 1;
        this.#open = name;
        return { kind: 'BUFFER', cancelsOthers: true };
    }
    this.#buffered++;
    return { kind: 'BUFFER', cancelsOthers: false };
  }
}
