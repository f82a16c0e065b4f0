/**
 * Messages that a handler has to send when it is their time: put in at one
 * end, iterated at the other. What is put in waits in memory, so whoever puts
 * in has a bound of its own (a worker is assigned no more than its capacity).
 */
export class OutgoingMessages<Message> {
  #waiting: Message[] = [];
  #hasEnded = false;
  #wake: (() => void) | undefined;

  push(message: Message): void {
    if (this.#hasEnded) return;
    this.#waiting.push(message);
    this.#wake?.();
  }

  /** Lets the iteration end behind what was put in. */
  end(): void {
    this.#hasEnded = true;
    this.#wake?.();
  }

  /** Iterates until the end, or until the signal aborts. */
  async *until(signal: AbortSignal): AsyncGenerator<Message, void, void> {
    signal.addEventListener('abort', () => this.#wake?.(), { once: true });
    for (;;) {
      const batch = this.#waiting;
      this.#waiting = [];
      for (const message of batch) {
        if (signal.aborted) return;
        yield message;
      }
      if (signal.aborted) return;
      if (this.#waiting.length > 0) continue;
      if (this.#hasEnded) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
