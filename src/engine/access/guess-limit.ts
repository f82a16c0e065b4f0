import { createHash } from 'node:crypto';
import type { Clock } from '../../platform/clock.ts';
import { callerNetworkOfPeer } from '../../platform/ip-address.ts';

/** How many wrong credentials an address may show in a row. */
const burst = 20;

/** After so long an address may show another wrong one, in milliseconds. */
const refillMs = 3_000;

/** So many addresses are remembered; beyond it the ones that failed longest ago are forgotten. */
const maxAddresses = 10_000;

/** How long a wrong credential is known to be wrong, in milliseconds. A new token is drawn, and was never wrong before. */
const wrongMs = 10_000;

/** So many wrong credentials are known. */
const maxWrong = 10_000;

/**
 * Holds up those who try credentials: an address that has shown too many wrong
 * ones is not looked up for a while. Nobody can guess 256 bits; this spares the
 * database and the log the tries. Credentials that an instance knows to be right
 * never get here, and one that was wrong a moment ago counts once, however often
 * it is repeated: so a neighbour behind a shared address who goes on with an old
 * token does not lock out the others.
 */
export class GuessLimit {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  /** By hash: until when a credential is known to be wrong; the oldest first. */
  readonly #wrongUntilMs = new Map<string, number>();
  /** By address: until when its failures are made up for. */
  readonly #bookedUntilMs = new Map<string, number>();

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** How long an address has to wait before it may try again, in milliseconds; 0: not at all. */
  waitMs(peer: string): number {
    const bookedMs = (this.#bookedUntilMs.get(callerNetworkOfPeer(peer)) ?? 0) - this.#clock.monotonicMs();
    return Math.max(0, bookedMs - (burst - 1) * refillMs);
  }

  /** Whether a credential was wrong a moment ago. */
  wasWrong(credential: string | undefined): boolean {
    const untilMs = credential === undefined ? undefined : this.#wrongUntilMs.get(hashOf(credential));
    return untilMs !== undefined && untilMs > this.#clock.monotonicMs();
  }

  /** Notes that an address has shown a wrong credential. */
  noteFailure(peer: string, credential?: string): void {
    if (credential !== undefined) {
      const hash = hashOf(credential);
      this.#wrongUntilMs.delete(hash);
      this.#wrongUntilMs.set(hash, this.#clock.monotonicMs() + wrongMs);
      dropOldest(this.#wrongUntilMs, maxWrong);
    }
    const address = callerNetworkOfPeer(peer);
    const nowMs = this.#clock.monotonicMs();
    const bookedMs = Math.max(nowMs, this.#bookedUntilMs.get(address) ?? 0) + refillMs;
    this.#bookedUntilMs.delete(address);
    this.#bookedUntilMs.set(address, bookedMs);
    dropOldest(this.#bookedUntilMs, maxAddresses);
  }
}

const hashOf = (credential: string): string => createHash('sha256').update(credential).digest('base64');

function dropOldest(entries: Map<string, unknown>, max: number): void {
  for (const oldest of entries.keys()) {
    if (entries.size <= max) return;
    entries.delete(oldest);
  }
}
