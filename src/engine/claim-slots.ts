/** Who claims for the slots of an instance: what no limit concerns, and what limits hold back. */
export type Claimant = 'unlimited' | 'limited';

const otherThan = { unlimited: 'limited', limited: 'unlimited' } as const;

/**
 * The places of an instance for attempts that it delivers itself, shared by two
 * claims that go on side by side. Each takes slots before it claims, so that
 * together they never hold more than there are. Who got fewer than it wanted is
 * short: the other one leaves it half of what is free, by turns where that is
 * one, until it wants or finds nothing more. The claim under limits takes a
 * while, so it leaves half to the other one in any case. So neither starves, and
 * neither waits for the other.
 */
export class ClaimSlots {
  #free: number;
  readonly #short = new Set<Claimant>();
  /** Whose turn it is for what cannot be halved. */
  #turn: Claimant = 'unlimited';
  readonly #onFree: (claimant: Claimant) => void;

  /** `onFree` is told when there are slots again for somebody who was short of them. */
  constructor(count: number, onFree: (claimant: Claimant) => void) {
    this.#free = count;
    this.#onFree = onFree;
  }

  /** How many nobody has; below 0 when attempts were begun that nobody had a slot for. */
  get free(): number {
    return this.#free;
  }

  /** Takes up to so many; they are kept for attempts or given back. Who wants none is short of none. */
  take(claimant: Claimant, wanted: number): number {
    const taken = Math.min(wanted, this.#shareOf(claimant));
    this.#free -= taken;
    if (taken === wanted) this.#short.delete(claimant);
    else this.#short.add(claimant);
    // What is left was left to the other one, whom nobody else may be about to tell of it, or is there for a second look.
    // Not who got none: it would ask again without a pause.
    this.#tell(taken > 0 ? undefined : claimant);
    return taken;
  }

  #shareOf(claimant: Claimant): number {
    const free = Math.max(0, this.#free);
    if (!this.#short.has(otherThan[claimant])) return claimant === 'limited' ? Math.ceil(free / 2) : free;
    const share = this.#turn === claimant ? Math.ceil(free / 2) : Math.floor(free / 2);
    if (share > 0) this.#turn = otherThan[claimant];
    return share;
  }

  /** Gives back what a claim did not need: it has found nothing more. */
  giveBack(claimant: Claimant, unused: number): void {
    if (unused > 0) this.#short.delete(claimant);
    this.release(unused);
  }

  /** Takes slots that attempts have whether or not there are any. */
  force(count: number): void {
    this.#free -= count;
  }

  /** Gives back slots whose attempts are over. */
  release(count: number): void {
    this.#free += count;
    if (count > 0) this.#tell();
  }

  #tell(except?: Claimant): void {
    if (this.#free <= 0) return;
    for (const claimant of this.#short) if (claimant !== except) this.#onFree(claimant);
  }
}
