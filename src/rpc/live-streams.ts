/** Whatever a server has under way that does not end by itself. */
export type LiveStream = { fail(failure: unknown): void };

/** The streams of a server, so that stopping can end them all. */
export class LiveStreams {
  readonly #streams = new Set<LiveStream>();

  get size(): number {
    return this.#streams.size;
  }

  add(stream: LiveStream): void {
    this.#streams.add(stream);
  }

  delete(stream: LiveStream): void {
    this.#streams.delete(stream);
  }

  /** Ends them all with a failure that is made for each. */
  end(failure: () => unknown): void {
    for (const stream of [...this.#streams]) stream.fail(failure());
  }
}
