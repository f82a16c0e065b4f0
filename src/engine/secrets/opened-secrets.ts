import type { SecretKind } from '../../domain/secret.ts';
import { Batcher } from '../../platform/batcher.ts';
import type { Clock } from '../../platform/clock.ts';
import { WeighedMap } from '../../platform/weighed-map.ts';
import type { SealedSecret } from '../../store/secret-store.ts';
import type { Store } from '../../store/store.ts';
import type { SecretBox, SecretName } from './secret-box.ts';

/** Why there is nothing: no such secret of the kind, or no key here that opens it. */
export type MissingSecret = { readonly missing: 'secret' | 'key' };

export type OpenedSecretsOptions = {
  readonly store: Pick<Store, 'db' | 'secrets'>;
  readonly box: SecretBox;
  readonly clock: Clock;
  /**
   * How long what was opened is used without a look at the database. Default
   * 5,000 milliseconds, which the proto states. Longer: a secret that was
   * changed because it is known to others goes on being used.
   */
  readonly ttlMs?: number;
  /** The most secrets that are kept. Default 10,000. */
  readonly maxSecrets?: number;
  /** About the most bytes that they take. Default 33,554,432. With fewer, a great many large secrets in use cost statements. */
  readonly maxBytes?: number;
};

type Entry<Opened> = { readonly found: Opened | MissingSecret; readonly untilMs: number };

/** What an entry takes besides its values, and how often a value is in it: as what is used, and in parts of that. */
const entryBytes = 1_024;
const valueCopies = 2;

/**
 * The secrets of one kind, decrypted and made into what is used. They are kept
 * for a few seconds, so that an execution costs no statement; those that are
 * missing when many jobs fire at once are read together. What was changed on
 * this instance holds from its reply on, elsewhere a few seconds later. That
 * there is no key for a secret is kept as well; that there is no secret is not,
 * since it may be put any moment.
 */
export class OpenedSecrets<Opened extends object> {
  readonly #options: OpenedSecretsOptions;
  readonly #kind: SecretKind;
  readonly #use: (value: Buffer, previous: Buffer | undefined) => Opened;
  readonly #entries = new WeighedMap<string, Entry<Opened>>();
  readonly #batcher: Batcher<SecretName, Opened | MissingSecret>;
  /** Grows with every change here: what was read before one is not kept. */
  #changes = 0;

  constructor(
    kind: SecretKind,
    use: (value: Buffer, previous: Buffer | undefined) => Opened,
    options: OpenedSecretsOptions,
  ) {
    this.#kind = kind;
    this.#use = use;
    this.#options = options;
    this.#batcher = new Batcher({ flush: (names) => this.#load(names), maxItems: 1_000 });
  }

  /** How many are kept, those that are over included until the next look at the database. */
  get size(): number {
    return this.#entries.size;
  }

  /** Finds a secret; rejects when the database cannot be asked. */
  async find(name: SecretName): Promise<Opened | MissingSecret> {
    const entry = this.#entries.get(textOf(name));
    if (entry && this.#options.clock.monotonicMs() < entry.untilMs) return entry.found;
    return this.#batcher.add(name);
  }

  /** Forgets a secret that was changed. */
  forget(name: SecretName): void {
    this.#changes++;
    this.#entries.delete(textOf(name));
  }

  async #load(names: readonly SecretName[]): Promise<readonly (Opened | MissingSecret)[]> {
    const { store, clock, ttlMs = 5_000 } = this.#options;
    const changes = this.#changes;
    const untilMs = clock.monotonicMs() + ttlMs;
    const wanted = new Map(names.map((name) => [textOf(name), name]));
    const found = new Map<string, Opened | MissingSecret>();
    for (const sealed of await store.secrets.load(store.db, [...wanted.values()])) {
      if (sealed.kind !== this.#kind) continue;
      const text = textOf(sealed);
      const opened = this.#open(sealed) ?? ({ missing: 'key' } as const);
      found.set(text, opened);
      if (changes !== this.#changes) continue;
      const bytes = 'missing' in opened ? 0 : sealed.value.length + (sealed.previousValue?.length ?? 0);
      this.#entries.set(text, { found: opened, untilMs }, entryBytes + valueCopies * bytes);
    }
    this.#evict();
    return names.map((name) => found.get(textOf(name)) ?? { missing: 'secret' });
  }

  #open({ value, previousValue, ...name }: SealedSecret): Opened | undefined {
    const { box } = this.#options;
    const present = box.open(name, value);
    if (!present) return undefined;
    return this.#use(present, previousValue ? box.open(name, previousValue) : undefined);
  }

  /** Drops what is over, and the oldest of what is too much: the first to be over is first. */
  #evict(): void {
    const { clock, maxSecrets = 10_000, maxBytes = 32 * 1_024 * 1_024 } = this.#options;
    const nowMs = clock.monotonicMs();
    const entries = this.#entries;
    for (const text of entries.keys()) {
      const isOver = nowMs >= entries.get(text)!.untilMs;
      if (!isOver && entries.size <= maxSecrets && entries.weight <= maxBytes) return;
      entries.delete(text);
    }
  }
}

const textOf = ({ namespace, name }: SecretName): string => JSON.stringify([namespace, name]);
