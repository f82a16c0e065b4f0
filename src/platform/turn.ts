/**
 * Work in turns: what computes for long lets the rest of the process go on, answers, heartbeats and the lease. There is
 * one event loop, so there is one queue for all of this work: each pass of the loop gives one of those who wait a turn,
 * and not, as with a `setImmediate` of each, all of them. Between two looks at its turn nothing may take longer than
 * others can wait.
 */
let tail: Promise<void> = Promise.resolve();

/** The next free pass of the event loop. */
function nextPass(): Promise<void> {
  tail = tail.then(() => new Promise<void>((resolve) => setImmediate(resolve)));
  return tail;
}

/** The turns of one piece of work; the first has to be waited for like the others. */
export class Turn {
  readonly #maxMs: number;
  #endMs = Number.NEGATIVE_INFINITY;

  constructor(maxMs = 5) {
    this.#maxMs = maxMs;
  }

  /** Goes on at once while the turn lasts, otherwise with the next one. */
  async pass(): Promise<void> {
    if (performance.now() < this.#endMs) return;
    await nextPass();
    this.#endMs = performance.now() + this.#maxMs;
  }
}
