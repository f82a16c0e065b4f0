import type { Clock } from '../platform/clock.ts';
import type { Attempt } from './attempt.ts';

/** How much later than its deadline an attempt may be told, in milliseconds: what lets one timer serve many. */
const slackMs = 10;

/**
 * Tells when the time of attempts is over. Carillon judges that itself and says
 * so by a cancel; this is for a worker that cannot hear it, so that a handler
 * does not go on for as long as the connection is away.
 *
 * There is one timer, for the earliest deadline. It is not called off when the
 * attempt ends in time: the next ones nearly always have later deadlines, so
 * that an attempt costs a comparison, and the timer a look at all of them once
 * in a timeout.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #attempts: () => Iterable<Attempt>;
  readonly #onOver: (attempt: Attempt) => void;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #callOff: (() => void) | undefined;

  constructor(clock: Clock, attempts: () => Iterable<Attempt>, onOver: (attempt: Attempt) => void) {
    this.#clock = clock;
    this.#attempts = attempts;
    this.#onOver = onOver;
  }

  /** Takes a deadline into account. */
  watch(deadlineMs: number): void {
    if (deadlineMs >= this.#wakeAtMs) return;
    this.#callOff?.();
    this.#wakeAtMs = deadlineMs;
    this.#callOff = this.#clock.setTimer(deadlineMs - this.#clock.monotonicMs() + slackMs, () =>
      this.#look(),
    );
  }

  /** Tells nothing more. */
  stop(): void {
    this.#callOff?.();
    this.#callOff = undefined;
    this.#wakeAtMs = Number.NEGATIVE_INFINITY;
  }

  #look(): void {
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    this.#callOff = undefined;
    const now = this.#clock.monotonicMs();
    let earliest = Number.POSITIVE_INFINITY;
    // A copy: telling of one may end others.
    for (const attempt of [...this.#attempts()]) {
      if (attempt.stopReason !== undefined || attempt.phase === 'ENDED') continue;
      if (attempt.deadlineMs <= now) this.#onOver(attempt);
      else earliest = Math.min(earliest, attempt.deadlineMs);
    }
    if (earliest < Number.POSITIVE_INFINITY) this.watch(earliest);
  }
}
