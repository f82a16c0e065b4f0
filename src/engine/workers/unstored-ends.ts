import { type AttemptRef, refKey } from './worker-messages.ts';

type End = {
  /** Whether its worker said how it ended; false: it was given up. */
  readonly isReported: boolean;
  readonly tellers: (() => void)[];
};

/**
 * Attempts that are over as far as this instance is concerned, while the
 * database does not know it yet. There they are still their workers', so a
 * worker that comes back just now must not be given them again: nobody would
 * ever end them, and their places would stay taken.
 */
export class UnstoredEnds {
  readonly #ends = new Map<string, End>();

  add(ref: AttemptRef, isReported: boolean): void {
    this.#ends.set(refKey(ref), { isReported, tellers: [] });
  }

  /** Takes note that the end is stored, or refused because the attempt is somebody else's by now. */
  store(ref: AttemptRef): void {
    const key = refKey(ref);
    const end = this.#ends.get(key);
    this.#ends.delete(key);
    for (const tell of end?.tellers ?? []) tell();
  }

  has(ref: AttemptRef): boolean {
    return this.#ends.has(refKey(ref));
  }

  /** Whether the end of this attempt is its worker's own word. */
  isReported(ref: AttemptRef): boolean {
    return this.#ends.get(refKey(ref))?.isReported === true;
  }

  /** Resolves when the end is stored or refused, at once when it is not on its way. */
  untilStored(ref: AttemptRef): Promise<void> {
    return new Promise((resolve) => {
      if (!this.whenStored(ref, resolve)) resolve();
    });
  }

  /** Tells when the end is stored; false when it is not on its way. */
  whenStored(ref: AttemptRef, tell: () => void): boolean {
    const end = this.#ends.get(refKey(ref));
    end?.tellers.push(tell);
    return end !== undefined;
  }
}
