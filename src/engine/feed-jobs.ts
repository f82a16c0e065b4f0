import { heldBytes } from '../platform/held-bytes.ts';
import { WeighedMap } from '../platform/weighed-map.ts';
import type { LabeledJob } from '../store/definitions.ts';
import type { FeedEvent } from '../store/feed-store.ts';
import type { Store } from '../store/store.ts';

/** What a job takes besides its labels, in bytes; its key is bounded. */
const jobBytes = 512;

/**
 * The jobs that feed events speak of, with the keys and labels by which streams
 * choose them. Labels change: whoever learns of that calls `expire`, and the
 * next load reads anew. Until then the old answer stands, because several
 * batches may be between their load and their use, and an event whose job is
 * unknown would be missing from the stream.
 *
 * Memory: the labels of a job take up to 20 KB, so their bytes are bounded as
 * well as the number of jobs.
 */
export class FeedJobs {
  readonly #store: Pick<Store, 'db' | 'jobs'>;
  readonly #maxJobs: number;
  readonly #maxBytes: number;
  /** The most recently loaded ones are last. */
  readonly #jobs = new WeighedMap<number, { readonly job: LabeledJob; readonly readIn: number }>();
  /** Grows with every expiry; what was read in an earlier one is old. */
  #era = 0;

  constructor(store: Pick<Store, 'db' | 'jobs'>, maxJobs = 50_000, maxBytes = 64 * 1_024 * 1_024) {
    this.#store = store;
    this.#maxJobs = maxJobs;
    this.#maxBytes = maxBytes;
  }

  /** A job that was loaded; undefined also for one whose row is gone. */
  find(jobId: number): LabeledJob | undefined {
    return this.#jobs.get(jobId)?.job;
  }

  /** Reads what is unknown or old of the jobs in these events, with one statement. */
  async load(events: readonly FeedEvent[]): Promise<void> {
    // What expires while the statement runs may not be in its answer.
    const era = this.#era;
    const asked = new Set(events.map((event) => event.jobId));
    const missing = [...asked].filter((id) => this.#jobs.get(id)?.readIn !== era);
    if (missing.length === 0) return;
    for (const job of await this.#store.jobs.listLabels(this.#store.db, missing)) {
      this.#jobs.set(job.id, { job, readIn: era }, jobBytes + heldBytes(job.labels));
    }
    for (const id of this.#jobs.keys()) {
      if (this.#jobs.size <= this.#maxJobs && this.#jobs.weight <= this.#maxBytes) break;
      if (!asked.has(id)) this.#jobs.delete(id);
    }
  }

  /** Makes all that is known old: something about jobs has changed. */
  expire(): void {
    this.#era++;
  }
}
