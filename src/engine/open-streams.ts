import { tooManyStreams } from './refusals.ts';

export type OpenStreamsOptions = {
  /** How many streams of a namespace may be open at once; undefined: any number. */
  readonly maxStreamsOf: (namespace: string) => number | undefined;
};

/**
 * Counts the streams of each namespace that are open on this instance. Streams
 * of namespaces without a limit are counted, too: one that is set later holds
 * for those that are open already.
 */
export class OpenStreams {
  readonly #options: OpenStreamsOptions;
  readonly #counts = new Map<string, number>();

  constructor(options: OpenStreamsOptions) {
    this.#options = options;
  }

  /** How many streams of a namespace are open. */
  countOf(namespace: string): number {
    return this.#counts.get(namespace) ?? 0;
  }

  /** Counts a stream in until the returned function is called, once; refuses one more than the namespace may have. */
  open(namespace: string): () => void {
    const max = this.#options.maxStreamsOf(namespace);
    if (max !== undefined && this.countOf(namespace) >= max) throw tooManyStreams(namespace, max);
    this.#add(namespace, 1);
    return () => this.#add(namespace, -1);
  }

  #add(namespace: string, by: 1 | -1): void {
    const count = this.countOf(namespace) + by;
    if (count === 0) this.#counts.delete(namespace);
    else this.#counts.set(namespace, count);
  }
}
