export type BatcherOptions<Item, Result> = {
  /** Handles a batch in one go; resolves to one result per item, in order, or rejects for all of them. */
  readonly flush: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** The most items of one batch. */
  readonly maxItems: number;
  /** How many batches may be under way at once. Default 1. What waits is shared out among the free ones. */
  readonly lanes?: number;
};

type Waiting<Item, Result> = {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Group commit: what arrives while a batch is under way makes up the next one.
 * An idle batcher flushes in the same turn of the event loop, so batching adds
 * no wait of its own; under load batches grow by themselves.
 */
export class Batcher<Item, Result> {
  readonly #options: BatcherOptions<Item, Result>;
  #waiting: Waiting<Item, Result>[] = [];
  #underWay = 0;
  #scheduled = false;
  #idle: (() => void)[] = [];

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = options;
  }

  /** Adds an item; settles with its result when its batch is done. */
  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      // Everything that arrives in this turn of the event loop goes together.
      setImmediate(() => {
        this.#scheduled = false;
        this.#flush();
      });
    });
  }

  /** Resolves when nothing waits and nothing is under way. */
  async drain(): Promise<void> {
    if (this.#waiting.length === 0 && this.#underWay === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #flush(): void {
    const { lanes = 1, maxItems } = this.#options;
    while (this.#underWay < lanes && this.#waiting.length > 0) {
      const share = Math.ceil(this.#waiting.length / (lanes - this.#underWay));
      const batch = this.#waiting.splice(0, Math.min(share, maxItems));
      this.#underWay++;
      void this.#flushBatch(batch);
    }
    if (this.#underWay === 0 && this.#waiting.length === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  async #flushBatch(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#options.flush(batch.map((waiting) => waiting.item));
      batch.forEach((waiting, i) => {
        waiting.resolve(results[i] as Result);
      });
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
    }
    this.#underWay--;
    this.#flush();
  }
}
