/**
 * Limits on what runs: how many at once, and how fast it is started.
 *
 * A start rate is a bucket that holds `count` starts and fills up evenly over
 * `periodMs`. It is kept as one instant, as the generic cell rate algorithm
 * does: each start books 1/count of the period behind what is booked already,
 * and what is booked may reach one period ahead of now. So an idle bucket lets
 * `count` go at once, and no span of time lets more go than it holds and fills.
 */

/** So many starts in so much time. */
export type StartRate = { readonly count: number; readonly periodMs: number };

/** What a queue or a namespace allows; absent: no limit. */
export type RunLimits = { readonly maxRunning?: number; readonly startRate?: StartRate };

/** How a limit stands: of a job, a queue or a namespace. */
export type Bound = {
  /** A name that no other bound has: what it belongs to. */
  readonly key: string;
  /** In words, for people. */
  readonly owner: string;
  readonly limits: RunLimits;
  /** How many run. */
  readonly running: number;
  /** Until when starts are booked, and now, by one clock, in epoch milliseconds. */
  readonly bookedUntilMs: number;
  readonly nowMs: number;
};

/** The keys of bounds. */
export const jobBound = (jobId: number): string => `job ${jobId}`;
export const queueBound = (queueId: number): string => `queue ${queueId}`;
export const namespaceBound = (namespace: string): string => `namespace ${namespace}`;

/** Where a bound allows a fraction of a start less than rounding loses, it allows the whole. */
const roundingSlack = 1e-6;

/** How many starts the bucket has now. */
export function startsLeft({ count, periodMs }: StartRate, bookedUntilMs: number, nowMs: number): number {
  const aheadMs = Math.max(0, bookedUntilMs - nowMs);
  return Math.max(0, Math.floor(((periodMs - aheadMs) * count) / periodMs + roundingSlack));
}

/** Until when starts are booked after so many more. */
export function bookStarts(
  { count, periodMs }: StartRate,
  bookedUntilMs: number,
  nowMs: number,
  starts: number,
): number {
  return Math.max(bookedUntilMs, nowMs) + (starts * periodMs) / count;
}

/** How long until the bucket has a start, in milliseconds. */
export function nextStartMs({ count, periodMs }: StartRate, bookedUntilMs: number, nowMs: number): number {
  return Math.max(0, bookedUntilMs - nowMs + periodMs / count - periodMs);
}

/** How many more executions a bound lets start now. */
export function roomIn({ limits, running, bookedUntilMs, nowMs }: Bound): number {
  const { maxRunning, startRate } = limits;
  const places = maxRunning === undefined ? Number.POSITIVE_INFINITY : Math.max(0, maxRunning - running);
  return startRate ? Math.min(places, startsLeft(startRate, bookedUntilMs, nowMs)) : places;
}

/** Why a bound lets nothing start, in words; undefined while it lets something. */
export function refusalOf(bound: Bound): string | undefined {
  if (roomIn(bound) > 0) return undefined;
  const { limits, running, owner } = bound;
  const { maxRunning, startRate } = limits;
  if (maxRunning !== undefined && running >= maxRunning)
    return `a place within max_running of ${owner}: ${running} of ${maxRunning} run`;
  return `the start rate of ${owner}: ${startRate!.count} in ${startRate!.periodMs} ms`;
}

/**
 * Shares out what bounds allow, one execution after the other. A job's bound
 * lies within its queue's, and that within its namespace's, so taking the most
 * urgent first, each if all of its bounds have room, gives as many as can go.
 */
export class RunBounds {
  readonly #bounds: ReadonlyMap<string, Bound>;
  readonly #taken = new Map<string, number>();
  readonly #refusing = new Set<string>();

  constructor(bounds: readonly Bound[]) {
    this.#bounds = new Map(bounds.map((bound) => [bound.key, bound]));
  }

  /** How many more all of these bounds let start; keys without a bound do not limit. Those without room count as refusing. */
  roomFor(keys: readonly string[]): number {
    let least = Number.POSITIVE_INFINITY;
    for (const key of keys) {
      const bound = this.#bounds.get(key);
      if (bound === undefined) continue;
      const room = Math.max(0, roomIn(bound) - (this.#taken.get(key) ?? 0));
      if (room === 0) this.#refusing.add(key);
      least = Math.min(least, room);
    }
    return least;
  }

  /** Takes room in these bounds. */
  take(keys: readonly string[]): void {
    for (const key of keys) if (this.#bounds.has(key)) this.#taken.set(key, (this.#taken.get(key) ?? 0) + 1);
  }

  /** How long until a start rate that has refused somebody lets go again, in milliseconds; undefined: none has. */
  get waitMs(): number | undefined {
    const waits = [...this.#refusing].flatMap((key) => {
      const { limits, running, bookedUntilMs, nowMs } = this.#bounds.get(key)!;
      const taken = this.#taken.get(key) ?? 0;
      const { maxRunning, startRate } = limits;
      // A place must become free first, and whoever frees it says so.
      if (!startRate || (maxRunning !== undefined && running + taken >= maxRunning)) return [];
      return [nextStartMs(startRate, bookStarts(startRate, bookedUntilMs, nowMs, taken), nowMs)];
    });
    return waits.length === 0 ? undefined : Math.min(...waits);
  }
}
