/**
 * Workers that are being taken in: their hello is here, and the database is
 * asked what is theirs. Streams of one worker are taken in one after the other,
 * in the order of their hellos, so that the newest one counts in the end; those
 * of different workers do not wait for each other.
 *
 * What concerns a worker waits meanwhile: its attempts may be this instance's in
 * the database before the worker is known here, and its grace time may end while
 * it stands at the door.
 */
export class Arrivals {
  readonly #last = new Map<string, Promise<void>>();

  /** Takes a worker's stream in, behind those before it. */
  async take<T>(key: string, takeIn: () => Promise<T>): Promise<T> {
    const taken = (this.#last.get(key) ?? Promise.resolve()).then(takeIn);
    const settled = taken.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(key, settled);
    try {
      return await taken;
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    }
  }

  /** Resolves when the worker is taken in, or has failed to be; undefined when it does not arrive just now. */
  of(key: string): Promise<void> | undefined {
    return this.#last.get(key);
  }
}
