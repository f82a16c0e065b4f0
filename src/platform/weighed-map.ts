/**
 * A map that knows what its entries weigh together, for caches: a bound on their
 * number alone is none on their memory where one may be a thousand times as
 * large as another. The entry that was set last is last.
 */
export class WeighedMap<Key, Value> {
  readonly #entries = new Map<Key, { readonly value: Value; readonly weight: number }>();
  #weight = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** What all entries weigh. */
  get weight(): number {
    return this.#weight;
  }

  get(key: Key): Value | undefined {
    return this.#entries.get(key)?.value;
  }

  /** Sets an entry and moves it to the end. */
  set(key: Key, value: Value, weight: number): void {
    this.delete(key);
    this.#entries.set(key, { value, weight });
    this.#weight += weight;
  }

  /** Moves an entry to the end. */
  renew(key: Key): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
  }

  delete(key: Key): void {
    this.#weight -= this.#entries.get(key)?.weight ?? 0;
    this.#entries.delete(key);
  }

  /** The keys, that of the entry that was set longest ago first; an entry may be deleted meanwhile. */
  keys(): IterableIterator<Key> {
    return this.#entries.keys();
  }
}
