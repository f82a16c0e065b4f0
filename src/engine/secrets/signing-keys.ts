import { createSecretKey, type KeyObject } from 'node:crypto';
import { Batcher } from '../../platform/batcher.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Store } from '../../store/store.ts';
import type { SecretBox, SecretName } from './secret-box.ts';

/**
 * The keys of a secret, the present one first; or why there are none. As key
 * objects, which a log does not show, and which make a signature 2 µs in place
 * of the 14 µs that raw bytes take each time.
 */
export type SigningKeysResult =
  | { readonly keys: readonly KeyObject[] }
  | { readonly missing: 'secret' | 'key' };

/** Finds the keys that a secret signs with. */
export type FindSigningKeys = (name: SecretName) => Promise<SigningKeysResult>;

type Entry = { readonly result: SigningKeysResult; readonly untilMs: number };

export type SigningKeysOptions = {
  readonly store: Pick<Store, 'db' | 'secrets'>;
  readonly box: SecretBox;
  readonly clock: Clock;
  /**
   * How long keys are used without a look at the database. Default 5,000
   * milliseconds, which the proto states. Longer: a secret that was changed
   * because it is known to others goes on signing.
   */
  readonly ttlMs?: number;
  /** The most secrets that are kept. Default 10,000. */
  readonly maxSecrets?: number;
};

/**
 * The keys that requests are signed with, decrypted. They are kept for a few
 * seconds, so that an execution costs no statement; those that are missing when
 * many jobs fire at once are read together. What was changed on this instance
 * holds from its reply on, elsewhere a few seconds later, and until then the
 * value before is one that callees still take.
 */
export class SigningKeys {
  readonly #options: SigningKeysOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #batcher: Batcher<SecretName, SigningKeysResult>;
  /** Grows with every change here: what was read before one is not kept. */
  #changes = 0;

  constructor(options: SigningKeysOptions) {
    this.#options = options;
    this.#batcher = new Batcher({ flush: (names) => this.#load(names), maxItems: 1_000 });
  }

  /** Finds the keys of a secret; rejects when the database cannot be asked. */
  async find(name: SecretName): Promise<SigningKeysResult> {
    const entry = this.#entries.get(textOf(name));
    if (entry && this.#options.clock.monotonicMs() < entry.untilMs) return entry.result;
    return this.#batcher.add(name);
  }

  /** Forgets a secret that was changed. */
  forget(name: SecretName): void {
    this.#changes++;
    this.#entries.delete(textOf(name));
  }

  async #load(names: readonly SecretName[]): Promise<readonly SigningKeysResult[]> {
    const { store, box, clock, ttlMs = 5_000 } = this.#options;
    const changes = this.#changes;
    const untilMs = clock.monotonicMs() + ttlMs;
    const wanted = new Map(names.map((name) => [textOf(name), name]));
    const results = new Map<string, SigningKeysResult>();
    for (const { value, previousValue, ...name } of await store.secrets.load(store.db, [
      ...wanted.values(),
    ])) {
      const present = box.open(name, value);
      const previous = previousValue ? box.open(name, previousValue) : undefined;
      results.set(
        textOf(name),
        present
          ? { keys: (previous ? [present, previous] : [present]).map((bytes) => createSecretKey(bytes)) }
          : { missing: 'key' },
      );
    }
    if (changes === this.#changes) {
      for (const [text, result] of results) {
        // Moves it to the young end. What is missing is asked for again: it may be put any moment.
        this.#entries.delete(text);
        if ('keys' in result) this.#entries.set(text, { result, untilMs });
      }
      this.#evict();
    }
    return names.map((name) => results.get(textOf(name)) ?? { missing: 'secret' });
  }

  #evict(): void {
    const { maxSecrets = 10_000 } = this.#options;
    for (const text of this.#entries.keys()) {
      if (this.#entries.size <= maxSecrets) return;
      this.#entries.delete(text);
    }
  }
}

const textOf = ({ namespace, name }: SecretName): string => JSON.stringify([namespace, name]);
