/** Something under way that can be ended from outside. */
export type LiveCall = {
  fail(failure: unknown): void;
  /** Says that the server stops; true when the call then ends by itself, in the grace time. */
  announceStop?(): boolean;
};

/**
 * What a server has under way, so that stopping can end it: streams at once,
 * because they do not end by themselves, but for those whose handlers asked to
 * be told, and the rest when its time is over.
 */
export class LiveCalls {
  readonly #streams = new Set<LiveCall>();
  readonly #unary = new Set<LiveCall>();
  readonly #waiting: (() => void)[] = [];

  add(call: LiveCall, isStream: boolean): void {
    (isStream ? this.#streams : this.#unary).add(call);
  }

  /** Resolves when no call is under way. */
  async idle(): Promise<void> {
    if (this.#streams.size + this.#unary.size === 0) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  delete(call: LiveCall): void {
    if (!this.#unary.delete(call)) this.#streams.delete(call);
    if (this.#streams.size + this.#unary.size === 0) for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Tells streams that the server stops; ends those that did not ask, with a failure that is made for each. */
  stopStreams(failure: () => unknown): void {
    for (const call of [...this.#streams]) if (call.announceStop?.() !== true) call.fail(failure());
  }

  /** Ends everything with a failure that is made for each. */
  endAll(failure: () => unknown): void {
    for (const call of [...this.#streams, ...this.#unary]) call.fail(failure());
  }
}
