/** So many messages may wait while more is put in. */
const fewMessages = 16;

/**
 * Messages that a handler has to send when it is their time: put in at one
 * end, iterated at the other. What is put in waits in memory, so whoever puts
 * in has a bound of its own (a worker is assigned no more than its capacity), or
 * waits for room.
 */
export class OutgoingMessages<Message> {
  #waiting: Message[] = [];
  #hasEnded = false;
  #wake: (() => void) | undefined;
  /** How many were put in and not taken, those of the batch that is being sent included. */
  #count = 0;
  #roomAwaited: (() => void)[] = [];

  push(message: Message): void {
    if (this.#hasEnded) return;
    this.#waiting.push(message);
    this.#count++;
    this.#wake?.();
  }

  /** Lets the iteration end behind what was put in. */
  end(): void {
    this.#hasEnded = true;
    this.#wake?.();
    this.#giveRoom();
  }

  /** Resolves when few messages wait, or none will be taken any more; undefined when that is so now. */
  room(): Promise<void> | undefined {
    if (this.#hasEnded || this.#count <= fewMessages) return undefined;
    return new Promise((resolve) => this.#roomAwaited.push(resolve));
  }

  /** Iterates until the end, or until the signal aborts. */
  async *until(signal: AbortSignal): AsyncGenerator<Message, void, void> {
    signal.addEventListener('abort', () => this.end(), { once: true });
    for (;;) {
      const batch = this.#waiting;
      this.#waiting = [];
      for (const message of batch) {
        if (signal.aborted) return;
        yield message;
        this.#count--;
        if (this.#count <= fewMessages) this.#giveRoom();
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

  #giveRoom(): void {
    for (const resolve of this.#roomAwaited.splice(0)) resolve();
  }
}
