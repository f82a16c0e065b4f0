import type { Clock } from '../../platform/clock.ts';
import { callerNetworkOfPeer } from '../../platform/ip-address.ts';

/** How many wrong credentials an address may show in a row. */
const burst = 20;

/** After so long an address may show another wrong one, in milliseconds. */
const refillMs = 3_000;

/** So many addresses are remembered; beyond it the ones that failed longest ago are forgotten. */
const maxAddresses = 10_000;

/**
 * Holds up those who try credentials: an address that has shown too many wrong
 * ones is not looked up for a while. Nobody can guess 256 bits; this spares the
 * database and the log the tries. Credentials that an instance knows to be right
 * never get here, so that one neighbour behind a shared address does not lock
 * out those who are connected.
 */
export class GuessLimit {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
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

  /** Notes that an address has shown a wrong credential. */
  noteFailure(peer: string): void {
    const address = callerNetworkOfPeer(peer);
    const nowMs = this.#clock.monotonicMs();
    const bookedMs = Math.max(nowMs, this.#bookedUntilMs.get(address) ?? 0) + refillMs;
    this.#bookedUntilMs.delete(address);
    this.#bookedUntilMs.set(address, bookedMs);
    if (this.#bookedUntilMs.size <= maxAddresses) return;
    for (const oldest of this.#bookedUntilMs.keys()) {
      this.#bookedUntilMs.delete(oldest);
      return;
    }
  }
}
