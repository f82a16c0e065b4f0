import type { FeedEvent } from '../store/feed-store.ts';
import type { StoredDefinition } from '../store/job-store.ts';
import type { Store } from '../store/store.ts';

/**
 * The jobs that feed events speak of, with the keys and labels by which streams
 * choose them. Labels change: whoever learns of that calls `expire`, and the
 * next load reads anew. Until then the old answer stands, because several
 * batches may be between their load and their use, and an event whose job is
 * unknown would be missing from the stream.
 */
export class FeedJobs {
  readonly #store: Pick<Store, 'db' | 'jobs'>;
  readonly #maxJobs: number;
  /** The most recently loaded ones are last. */
  readonly #jobs = new Map<number, { readonly job: StoredDefinition; readonly readIn: number }>();
  /** Grows with every expiry; what was read in an earlier one is old. */
  #era = 0;

  constructor(store: Pick<Store, 'db' | 'jobs'>, maxJobs = 50_000) {
    this.#store = store;
    this.#maxJobs = maxJobs;
  }

  /** A job that was loaded; undefined also for one whose row is gone. */
  find(jobId: number): StoredDefinition | undefined {
    return this.#jobs.get(jobId)?.job;
  }

  /** Reads what is unknown or old of the jobs in these events, with one statement. */
  async load(events: readonly FeedEvent[]): Promise<void> {
    // What expires while the statement runs may not be in its answer.
    const era = this.#era;
    const asked = new Set(events.map((event) => event.jobId));
    const missing = [...asked].filter((id) => this.#jobs.get(id)?.readIn !== era);
    if (missing.length === 0) return;
    for (const job of await this.#store.jobs.listDefinitions(this.#store.db, missing)) {
      this.#jobs.delete(job.id);
      this.#jobs.set(job.id, { job, readIn: era });
    }
    for (const id of this.#jobs.keys()) {
      if (this.#jobs.size <= this.#maxJobs) break;
      if (!asked.has(id)) this.#jobs.delete(id);
    }
  }

  /** Makes all that is known old: something about jobs has changed. */
  expire(): void {
    this.#era++;
  }
}
