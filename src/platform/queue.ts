/** How many taken places are kept before they are given back. */
const compactFrom = 1_024;

/**
 * First in, first out, at a constant cost for each item however many wait.
 * Array.shift moves all that is left: with 100,000 waiting that is a copy of
 * 800 kB for each item. What was taken is let go of at once; its places are
 * given back when they are half of the whole.
 */
export class Queue<Item extends object> {
  #items: (Item | undefined)[];
  #head = 0;

  /** Takes the array over as what waits. */
  constructor(items: Item[] = []) {
    this.#items = items;
  }

  /** How many items wait. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  /** The oldest item, which waits no more; undefined when none waits. */
  take(): Item | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= compactFrom && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** What waits, oldest first. */
  *[Symbol.iterator](): Generator<Item> {
    for (let i = this.#head; i < this.#items.length; i++) yield this.#items[i] as Item;
  }
}
