import type { Writable } from 'node:stream';

type Suspicion = { bytes: number; sinceMs: number };

/**
 * Finds callers who take nothing although bytes wait for them: what they hold
 * is memory, and nothing else would end it, because every write looks like life
 * to a timeout. Looked at now and then, so that a call costs two entries in a
 * set. What counts is that the bytes that wait have not changed and were never
 * all taken in between; a message is only taken as a whole, so the slowest
 * reader that is no stalled one takes one message in `limitMs`.
 */
export class StalledReaders {
  readonly #limitMs: number;
  readonly #watched = new Map<Writable, () => void>();
  readonly #suspects = new Map<Writable, Suspicion>();
  /** Those that were suspects once, and tell by themselves when all was taken. */
  readonly #heard = new WeakSet<Writable>();

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** Watches until the other side is gone; `cut` is called once it has stalled. */
  add(writable: Writable, cut: () => void): void {
    this.#watched.set(writable, cut);
  }

  delete(writable: Writable): void {
    this.#watched.delete(writable);
    this.#suspects.delete(writable);
  }

  /** Looks at all of them, and cuts off whoever has stalled for long enough. */
  look(nowMs: number): void {
    for (const [writable, cut] of this.#watched) {
      const bytes = writable.writableLength;
      const suspicion = this.#suspects.get(writable);
      if (bytes === 0) this.#suspects.delete(writable);
      else if (suspicion === undefined) this.#suspect(writable, { bytes, sinceMs: nowMs });
      else if (suspicion.bytes !== bytes) Object.assign(suspicion, { bytes, sinceMs: nowMs });
      else if (nowMs - suspicion.sinceMs >= this.#limitMs) {
        this.delete(writable);
        cut();
      }
    }
  }

  #suspect(writable: Writable, suspicion: Suspicion): void {
    this.#suspects.set(writable, suspicion);
    if (this.#heard.has(writable)) return;
    this.#heard.add(writable);
    this.#hearWhenAllIsTaken(writable);
  }

  /** Below its mark a writable does not say that all was taken; then whoever writes next finds nothing waiting. */
  #hearWhenAllIsTaken(writable: Writable): void {
    const clear = (): void => {
      this.#suspects.delete(writable);
    };
    writable.on('drain', clear);
    const { write } = writable;
    writable.write = function (this: Writable, ...args: unknown[]): boolean {
      if (this.writableLength === 0) clear();
      return (write as (...all: unknown[]) => boolean).apply(this, args);
    };
  }
}
