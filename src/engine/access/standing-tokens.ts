/**
 * The tokens that calls show, in memory as long as they are in use.
 *
 * A token is looked up at its first call. From then on one statement each second
 * confirms all that this instance knows: one that was revoked or has expired, by
 * the database's clock, is forgotten and its streams end. A revocation wakes the
 * look by NOTIFY; where the notification is lost, it takes that second. What
 * could not be confirmed for five seconds, because the database is away, is
 * looked up again at its next call, which then fails: so no instance takes a
 * revoked token for longer than that, and none asks the database at each call.
 *
 * Memory: texts are not kept, only their hashes; of more tokens than fit, those
 * without streams that were used longest ago are forgotten.
 */
import { Access } from '../../domain/access.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import { Loop } from '../../platform/loop.ts';
import type { Service } from '../../platform/service.ts';
import type { Notifier } from '../../store/notifier.ts';
import type { Store } from '../../store/store.ts';
import type { TokenProof } from '../../store/token-store.ts';
import type { Principal } from './authentication-operations.ts';

export type StandingTokensOptions = {
  readonly store: Pick<Store, 'db' | 'tokens'>;
  readonly notifier: Pick<Notifier, 'on'>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** How often what is known is confirmed, in milliseconds. */
const confirmMs = 1_000;

/** How long something unconfirmed is believed, in milliseconds. */
const believeMs = 5_000;

/** So many tokens are remembered, and none that was not used for this long. */
const maxKnown = 10_000;
const unusedMs = 600_000;

type Known = {
  readonly principal: Principal;
  readonly tokenId: number;
  confirmedMs: number;
  usedMs: number;
  /** Whether its use has still to be noted in the database. */
  isUseNew: boolean;
  readonly watchers: Set<() => void>;
};

export class StandingTokens implements Service {
  readonly #options: StandingTokensOptions;
  /** By proof, those used longest ago first. */
  readonly #known = new Map<string, Known>();
  readonly #byPrincipal = new WeakMap<Principal, Known>();
  readonly #pending = new Map<string, Promise<Principal | undefined>>();
  readonly #loop: Loop;
  #stopListening: (() => void) | undefined;

  constructor(options: StandingTokensOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#loop = new Loop({
      clock,
      tick: () => this.#confirm(),
      onError: (error, failures) => {
        if (failures === 1) logger.warn({ error }, 'tokens cannot be confirmed');
      },
    });
  }

  async start(): Promise<void> {
    this.#stopListening = this.#options.notifier.on('tokens', () => this.#loop.wake());
    await this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#stopListening?.();
    await this.#loop.stop();
  }

  /** Whose token this is, where that is known and was confirmed just now. */
  findKnown(proof: TokenProof): Principal | undefined {
    const key = keyOf(proof);
    const known = this.#known.get(key);
    const nowMs = this.#options.clock.monotonicMs();
    if (!known || nowMs - known.confirmedMs >= believeMs) return undefined;
    if (nowMs - known.usedMs > confirmMs) this.#noteUse(key, known, nowMs);
    return known.principal;
  }

  /** Asks the database whose token this is; undefined for one that does not stand. Calls of one moment ask once. */
  find(proof: TokenProof): Promise<Principal | undefined> {
    const key = keyOf(proof);
    const pending = this.#pending.get(key) ?? this.#look(key, proof);
    this.#pending.set(key, pending);
    return pending;
  }

  /** Calls back once when the token of a principal stands no more. Returns how to call it off. */
  watch(principal: Principal, onEnd: () => void): () => void {
    const known = this.#byPrincipal.get(principal);
    known?.watchers.add(onEnd);
    return () => known?.watchers.delete(onEnd);
  }

  async #look(key: string, proof: TokenProof): Promise<Principal | undefined> {
    const { store, clock } = this.#options;
    try {
      const askedMs = clock.monotonicMs();
      const token = await store.tokens.findStanding(store.db, proof);
      const before = this.#known.get(key);
      if (token?.id === before?.tokenId && before) {
        before.confirmedMs = askedMs;
        this.#noteUse(key, before, askedMs);
        return before.principal;
      }
      if (before) this.#forget(key, before);
      if (!token) return undefined;
      const principal = { actor: `${token.name} (token ${token.id})`, access: new Access(token.grants) };
      const known: Known = {
        principal,
        tokenId: token.id,
        confirmedMs: askedMs,
        usedMs: askedMs,
        isUseNew: true,
        watchers: new Set(),
      };
      this.#known.set(key, known);
      this.#byPrincipal.set(principal, known);
      this.#makeRoom();
      return principal;
    } finally {
      this.#pending.delete(key);
    }
  }

  /** Moves what is used to the end of those that may be forgotten. */
  #noteUse(key: string, known: Known, nowMs: number): void {
    known.usedMs = nowMs;
    known.isUseNew = true;
    this.#known.delete(key);
    this.#known.set(key, known);
  }

  #makeRoom(): void {
    if (this.#known.size <= maxKnown) return;
    for (const [key, known] of this.#known) {
      if (known.watchers.size > 0) continue;
      this.#known.delete(key);
      return;
    }
  }

  #forget(key: string, known: Known): void {
    if (this.#known.get(key) === known) this.#known.delete(key);
    for (const onEnd of known.watchers) onEnd();
    known.watchers.clear();
  }

  async #confirm(): Promise<number> {
    const { store, clock } = this.#options;
    const askedMs = clock.monotonicMs();
    const looked = [...this.#known];
    if (looked.length === 0) return confirmMs;
    const standing = await store.tokens.listStanding(
      store.db,
      looked.map(([, { tokenId }]) => tokenId),
    );
    const used: number[] = [];
    for (const [key, known] of looked) {
      const isOld = known.watchers.size === 0 && askedMs - known.usedMs > unusedMs;
      if (known.isUseNew) used.push(known.tokenId);
      known.isUseNew = false;
      if (!standing.has(known.tokenId) || isOld) this.#forget(key, known);
      else known.confirmedMs = askedMs;
    }
    if (used.length > 0) await store.tokens.touch(store.db, used);
    return confirmMs;
  }
}

const keyOf = (proof: TokenProof): string =>
  'hash' in proof ? proof.hash.toString('latin1') : JSON.stringify(proof.certificateNames);
