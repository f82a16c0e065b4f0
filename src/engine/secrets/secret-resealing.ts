/**
 * Seals secrets anew that are not under the first key, so that a key can go.
 * Runs on the leader only: when it begins to lead, and every ten minutes while
 * there are several keys.
 *
 * A pass goes over all secrets in batches and writes each batch by
 * compare-and-set on its bytes. So neither two leaders, nor a secret that is
 * put anew meanwhile, nor a kill in the middle can lose a value: what is
 * written opens to what was there, and what is not written is as it was. What
 * a pass could not write (put anew or locked at that moment) is gone over again
 * soon. The passes that follow are for what an instance with another order of
 * keys has put since. Should such a one lead, it seals under the key that it has
 * first; both open it, and whoever leads after it seals it back.
 *
 * Nothing is sealed under a key that an instance which lives has not got: it
 * would be locked out of its secrets. Each instance says in its row which keys
 * it has; while one lacks the first of these, nothing is done, and the log says
 * which. That may last as long as a restart of all instances takes, so nothing
 * is sealed before this is asked, and while one lacks it no secret is read: who
 * does is asked again every five seconds.
 *
 * Opening and sealing a batch of 50 holds up the event loop for some
 * milliseconds; between two of them the database is asked.
 *
 * A value that no key opens is left alone: its key may come back. It is told in
 * the log once.
 */
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import { Loop } from '../../platform/loop.ts';
import type { Service } from '../../platform/service.ts';
import type { ResealedSecret, StoredSecret } from '../../store/secret-store.ts';
import type { Store } from '../../store/store.ts';
import type { SecretBox } from './secret-box.ts';

export type SecretResealingOptions = {
  readonly store: Pick<Store, 'db' | 'secrets' | 'instances'>;
  readonly box: SecretBox;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leadership: () => { readonly term: number } | undefined;
  /** How often it looks whether it leads, in milliseconds. */
  readonly intervalMs: number;
  /** The most secrets of one statement. Default 50. More hold up the event loop for as much longer. */
  readonly batchSize?: number;
};

/** How long after a pass the next one begins. */
const passEveryMs = 600_000;

/** How long after an instance was found to lack the first key it is looked for again. */
const lackingWaitMs = 5_000;

/** Secrets that no key opens are named in the log up to this many. */
const maxNamed = 20;

type Opened = NonNullable<ReturnType<SecretBox['find']>>;

/** A secret that is not under the first key, opened. */
type DueSecret = {
  readonly before: StoredSecret;
  readonly value: Opened;
  /** The value before, while it signs; one that no key opens signs nothing any more, and goes by itself. */
  readonly kept: Buffer | null;
  readonly previous: Opened | undefined;
  /** The last of the keys that it is under, by its place from 0. */
  readonly key: number;
};

/** What a pass has come to. */
type Pass = {
  sealed: number;
  /** Secrets that are still under a key, by its place in CARILLON_SECRET_KEY from 1. */
  readonly left: Map<number, number>;
  readonly unopened: string[];
};

export class SecretResealing implements Service {
  readonly #options: SecretResealingOptions;
  readonly #loop: Loop;
  /** The term in which a pass has come to its end, and when the next one is due. */
  #done: { readonly term: number; readonly untilMs: number } | undefined;
  /** While an instance lacks the first key: when that is asked again. */
  #lackingUntilMs: number | undefined;
  /** What the log was told, so that it is told once. */
  #toldLeft = '';
  #toldLacking = '';
  readonly #toldUnopened = new Set<string>();

  constructor(options: SecretResealingOptions) {
    this.#options = options;
    this.#loop = new Loop({
      clock: options.clock,
      tick: () => this.tick(),
      onError: (error, failures) => {
        if (failures === 1) options.logger.warn({ error }, 'secrets not sealed anew, trying again');
      },
      failedWaitMs: options.intervalMs,
    });
  }

  start(): Promise<void> {
    return this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** Makes a pass if one is due. Returns how long to wait, in milliseconds. */
  async tick(): Promise<number> {
    const { box, clock, intervalMs } = this.#options;
    const leadership = this.#options.leadership();
    if (!leadership || !box.canSeal) return intervalMs;
    const done = this.#done;
    if (done?.term === leadership.term && clock.monotonicMs() < done.untilMs) return intervalMs;
    if (this.#lackingUntilMs !== undefined) {
      if (clock.monotonicMs() < this.#lackingUntilMs || (await this.#isLacking())) return intervalMs;
    }
    const pass = await this.#pass();
    if (!pass) return intervalMs;
    this.#tell(pass);
    if (pass.left.size === 0) {
      const untilMs = box.keyIds.length > 1 ? clock.monotonicMs() + passEveryMs : Number.POSITIVE_INFINITY;
      this.#done = { term: leadership.term, untilMs };
    }
    return intervalMs;
  }

  /** Goes over all secrets; undefined where an instance lacks the key. */
  async #pass(): Promise<Pass | undefined> {
    const { store, batchSize = 50 } = this.#options;
    const pass: Pass = { sealed: 0, left: new Map(), unopened: [] };
    for (let afterId = 0; ; ) {
      const stored = await store.secrets.listStored(store.db, afterId, batchSize);
      if (stored.length === 0) return pass;
      const due = stored.flatMap((secret) => this.#dueOf(secret, pass) ?? []);
      if (due.length > 0) {
        if (await this.#isLacking()) return undefined;
        const written = await store.secrets.reseal(
          store.db,
          due.map((secret) => this.#resealed(secret)),
        );
        pass.sealed += written.size;
        for (const { before, key } of due) {
          if (!written.has(before.id)) pass.left.set(key + 1, (pass.left.get(key + 1) ?? 0) + 1);
        }
      }
      afterId = stored.at(-1)!.id;
    }
  }

  /** A secret with what is to be sealed anew; undefined where there is nothing to do, or nothing can be done. */
  #dueOf(before: StoredSecret, pass: Pass): DueSecret | undefined {
    const { box } = this.#options;
    const value = box.find(before, before.value);
    if (!value) {
      pass.unopened.push(`${before.namespace}/${before.name}`);
      return undefined;
    }
    const kept = before.previousSigns ? before.previousValue : null;
    const previous = kept ? box.find(before, kept) : undefined;
    const key = Math.max(value.key, previous?.key ?? 0);
    return key === 0 ? undefined : { before, value, kept, previous, key };
  }

  #resealed({ before, value, kept, previous }: DueSecret): ResealedSecret {
    const { box } = this.#options;
    return {
      before,
      value: value.key === 0 ? before.value : box.seal(before, value.value),
      previousValue: previous && previous.key > 0 ? box.seal(before, previous.value) : kept,
    };
  }

  async #isLacking(): Promise<boolean> {
    const { store, box, clock, logger } = this.#options;
    const lacking = await store.instances.listWithoutSecretKey(store.db, box.keyIds[0]!);
    const told = lacking.join();
    if (told !== this.#toldLacking && lacking.length > 0) {
      logger.warn(
        { instances: lacking },
        'secrets not sealed anew: an instance has not the first key of CARILLON_SECRET_KEY',
      );
    }
    this.#toldLacking = told;
    this.#lackingUntilMs = lacking.length > 0 ? clock.monotonicMs() + lackingWaitMs : undefined;
    return lacking.length > 0;
  }

  #tell({ sealed, left, unopened }: Pass): void {
    const { box, logger } = this.#options;
    const news = unopened.filter((name) => !this.#toldUnopened.has(name));
    for (const name of news) this.#toldUnopened.add(name);
    if (news.length > 0) {
      logger.warn(
        { secrets: news.slice(0, maxNamed), count: news.length },
        'no key of CARILLON_SECRET_KEY opens these secrets',
      );
    }
    if (box.keyIds.length === 1) return;
    const counts = Object.fromEntries(
      box.keyIds.slice(1).map((_, i) => [`key${i + 2}`, left.get(i + 2) ?? 0]),
    );
    const told = JSON.stringify(counts);
    // One that is gone over again and again has one line.
    if (left.size > 0 && sealed === 0 && told === this.#toldLeft) return;
    this.#toldLeft = told;
    logger.info(
      { sealed, left: counts, unopened: unopened.length },
      'secrets sealed anew under the first key',
    );
  }
}
