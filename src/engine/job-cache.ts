import type { JobDefinition, JobKey } from '../domain/job.ts';
import { compileTimetable, type Timetable } from '../domain/schedule/timetable.ts';
import { heldBytes } from '../platform/held-bytes.ts';
import { WeighedMap } from '../platform/weighed-map.ts';
import type { Db } from '../store/database.ts';
import type { Store } from '../store/store.ts';

/** A job's definition in the form that firing and delivering use. */
export type CachedJob = {
  readonly id: number;
  readonly key: JobKey;
  readonly generation: number;
  readonly definition: JobDefinition;
  /** Compiled when it is first asked for; throws when a stored schedule cannot be understood. */
  timetable(): Timetable;
};

/** What a schedule takes when it is compiled, in bytes, and a definition besides what it says. */
const compiledBytes = 2_048;
const jobBytes = 1_024;

/**
 * Definitions by job and generation, the most recently used of them. A
 * generation never changes, so nothing has to be invalidated: whoever needs a
 * newer one asks for it by number and finds it missing.
 *
 * Memory: most definitions take 3 KB, one with all that the API allows 4 MiB;
 * so their bytes are bounded as well as their number.
 */
export class JobCache {
  readonly #store: Pick<Store, 'jobs'>;
  readonly #maxJobs: number;
  readonly #maxBytes: number;
  readonly #jobs = new WeighedMap<number, CachedJob>();

  constructor(store: Pick<Store, 'jobs'>, maxJobs = 20_000, maxBytes = 128 * 1_024 * 1_024) {
    this.#store = store;
    this.#maxJobs = maxJobs;
    this.#maxBytes = maxBytes;
  }

  /**
   * The definitions of these jobs, at least as new as asked for. One statement
   * loads all that are missing. A job whose row is gone is left out.
   */
  async load(
    db: Db,
    wanted: readonly { readonly jobId: number; readonly generation: number }[],
  ): Promise<ReadonlyMap<number, CachedJob>> {
    const found = new Map<number, CachedJob>();
    const missing = new Set<number>();
    for (const { jobId, generation } of wanted) {
      const cached = this.#jobs.get(jobId);
      if (cached && cached.generation >= generation) {
        this.#jobs.renew(jobId);
        found.set(jobId, cached);
      } else {
        missing.add(jobId);
      }
    }
    if (missing.size === 0) return found;
    for (const stored of await this.#store.jobs.listDefinitions(db, [...missing])) {
      let timetable: Timetable | undefined;
      const job: CachedJob = {
        ...stored,
        timetable: () => (timetable ??= compileTimetable(stored.definition.schedules, stored.id)),
      };
      found.set(stored.id, job);
      this.#jobs.set(stored.id, job, bytesOf(stored.definition));
    }
    this.#evict();
    return found;
  }

  #evict(): void {
    for (const id of this.#jobs.keys()) {
      if (this.#jobs.size <= this.#maxJobs && this.#jobs.weight <= this.#maxBytes) return;
      this.#jobs.delete(id);
    }
  }
}

/** About what a definition takes in memory with its timetable. */
const bytesOf = (definition: JobDefinition): number =>
  jobBytes + definition.schedules.length * compiledBytes + heldBytes(definition);
