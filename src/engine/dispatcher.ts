/**
 * Claims executions and begins their attempts (running-attempts.ts). Runs on
 * every instance.
 *
 * Two loops claim side by side, in batches, whenever executions may wait: at a
 * notification, when slots become free, when a retry falls due, and at the
 * safety interval. One claims what no limit concerns and the instance delivers
 * itself; the other what limits hold back and what workers run, by turns. So
 * who has no limits does not wait for those who have. Ends of attempts are
 * written in batches too (group commit), so the cost per execution is a share
 * of three statements.
 *
 * Failure cases. The reply to a claim is lost: the database says that this
 * instance holds executions which it does not know of; after any failed claim
 * it lists those and begins them. It looks again every few seconds, since a
 * claim whose connection broke may go on in the database and commit later. No
 * claim is under way while it looks: what one has got and not yet begun would
 * look as if its reply had been lost, and would be begun twice. The
 * reply to an end is lost: it is written again, and changes nothing when it had
 * been. The database is away: ends are kept and tried again, attempts under way
 * go on, none begins. This instance is given up for lost (cut off, stopped): its
 * attempts are aborted, and what they still report is refused by instance and
 * attempt number. A cancel meets the end: whichever the database sees first
 * stands. Stop: nothing more is claimed, attempts may end within the grace time;
 * the others are aborted and given back at once, for another instance to run;
 * when that cannot be written, because the database is away, they are left to
 * the rescuer.
 */
import { Loop } from '../platform/loop.ts';
import type { Service } from '../platform/service.ts';
import type { ClaimedAttempt } from '../store/attempt-store.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import { type Claimant, ClaimSlots } from './claim-slots.ts';
import { LimitedClaims } from './limited-claims.ts';
import { RunningAttempts, type RunningAttemptsOptions } from './running-attempts.ts';
import { WorkerClaims } from './workers/worker-claims.ts';
import type { WorkerHub } from './workers/worker-hub.ts';

export type DispatcherOptions = RunningAttemptsOptions & {
  readonly store: Pick<Store, 'db' | 'transaction' | 'attempts' | 'limits'>;
  readonly workers: WorkerHub;
  readonly notifier: Pick<Notifier, 'on' | 'notify'>;
  readonly instanceId: () => number;
  /** The most attempts at once. */
  readonly maxRunning: number;
  /** The most executions of one claim. */
  readonly batchSize: number;
  readonly safetyIntervalMs: number;
  /** How long stop waits for attempts to end by themselves. */
  readonly shutdownGraceMs: number;
};

/** Takes up to so many slots; returns how many. */
type TakeSlots = (wanted: number) => number;

/** How often claims whose reply was lost are looked for: what one that commits late costs. */
const lookEveryMs = 5_000;

export class Dispatcher implements Service {
  readonly #options: DispatcherOptions;
  /** Claims what no limit concerns and the instance delivers itself. */
  readonly #loop: Loop;
  /** Claims what limits hold back, and for workers. */
  readonly #limitedLoop: Loop;
  readonly #cancelLoop: Loop;
  readonly #claims: WorkerClaims;
  readonly #limited: LimitedClaims;
  /** Whether workers' claims come before those under limits: they take turns, so that neither starves. */
  #workersFirst = false;
  readonly #slots: ClaimSlots;
  readonly #running: RunningAttempts;
  readonly #stopListening: (() => void)[] = [];
  /** Whether attempts may be held here that are not begun. */
  #lookNow = false;
  /** When to look for claims whose reply was lost, whether or not one failed. */
  #lookAtMs = 0;
  /** Resolves when the look under way is over. */
  #looking: Promise<void> | undefined;
  /** Resolves when what the pass of the limited loop has claimed is begun. */
  #limitedPass: Promise<number> | undefined;
  #promoteAtMs = 0;
  #stopped: Promise<void> | undefined;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#claims = new WorkerClaims(options);
    this.#limited = new LimitedClaims(options);
    this.#running = new RunningAttempts(options, {
      onDelivered: () => this.#slots.release(1),
      onRetry: (waitMs) => this.expectRetry(waitMs),
    });
    const onError = (error: unknown, failures: number): void => {
      if (failures === 1) logger.warn({ error }, 'claim failed, trying again');
    };
    this.#loop = new Loop({ clock, tick: () => this.tick(), onError });
    this.#limitedLoop = new Loop({ clock, tick: () => this.tickLimited(), onError });
    const loops = { unlimited: this.#loop, limited: this.#limitedLoop };
    this.#slots = new ClaimSlots(options.maxRunning, (claimant) => loops[claimant].wake());
    this.#cancelLoop = new Loop({
      clock,
      tick: () => this.#findCancels(),
      onError: (error) => logger.debug({ error }, 'wishes to cancel not read, trying again'),
    });
  }

  async start(): Promise<void> {
    const { notifier } = this.#options;
    this.#stopListening.push(
      notifier.on('pending', () => {
        this.#loop.wake();
        this.#limitedLoop.wake();
      }),
      // Somebody without a dispatcher of his own lets an execution wait for its retry.
      notifier.on('retry', () => this.expectRetry(0)),
      notifier.on('cancel', () => this.#cancelLoop.wake()),
    );
    await this.#cancelLoop.start();
    await this.#loop.start();
    await this.#limitedLoop.start();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#drain();
    return this.#stopped;
  }

  /** How many attempts run here now. */
  get runningCount(): number {
    return this.#running.count;
  }

  /** Aborts everything: the attempts belong to others now. */
  abandon(): void {
    this.#running.abortAll('lost');
  }

  /** One pass over what no limit concerns: claims one batch. Returns how long to wait, in milliseconds. */
  async tick(): Promise<number> {
    const { store, clock, batchSize, safetyIntervalMs, instanceId, isAlive } = this.#options;
    if (!isAlive()) return safetyIntervalMs / 10;
    if (this.#lookNow || clock.monotonicMs() >= this.#lookAtMs) await this.#beginUnknown();
    await this.#promoteDue();
    const isFull = await this.#beginClaimed('unlimited', async (take) => {
      const slots = take(batchSize);
      return slots > 0 ? store.attempts.claim(store.db, instanceId(), slots) : [];
    });
    if (isFull) return 0;
    return Math.max(1, Math.min(this.#promoteAtMs - clock.monotonicMs(), safetyIntervalMs));
  }

  /** One pass over what limits hold back and what workers run. Returns how long to wait, in milliseconds. */
  async tickLimited(): Promise<number> {
    await this.#looking;
    if (!this.#options.isAlive()) return this.#options.safetyIntervalMs / 10;
    this.#limitedPass = this.#claimLimited();
    return this.#limitedPass;
  }

  /** Claims again for workers: places have become free there. */
  wake(): void {
    this.#limitedLoop.wake();
  }

  /** Begins what was taken over from another instance. */
  beginAdopted(): void {
    this.#lookNow = true;
    this.#loop.wake();
  }

  /** Looks again for executions whose retry falls due after this time. */
  expectRetry(waitMs: number): void {
    const atMs = this.#options.clock.monotonicMs() + waitMs;
    if (atMs >= this.#promoteAtMs) return;
    this.#promoteAtMs = atMs;
    this.#loop.wake();
  }

  async #claimLimited(): Promise<number> {
    const { safetyIntervalMs } = this.#options;
    const claims = [(take: TakeSlots) => this.#limited.claim(take), () => this.#claims.claimAll()];
    this.#workersFirst = !this.#workersFirst;
    if (this.#workersFirst) claims.reverse();
    for (const claim of claims) await this.#beginClaimed('limited', claim);
    if (this.#claims.mayHaveMore) return 0;
    return Math.min(this.#limited.waitMs ?? safetyIntervalMs, safetyIntervalMs);
  }

  /** Claims, and begins what that gives; returns whether every slot that was taken was of use, so that more may wait. */
  async #beginClaimed(
    claimant: Claimant,
    claim: (take: TakeSlots) => Promise<readonly ClaimedAttempt[]>,
  ): Promise<boolean> {
    let taken = 0;
    let claimed: readonly ClaimedAttempt[];
    try {
      claimed = await claim((wanted) => {
        taken = this.#slots.take(claimant, wanted);
        return taken;
      });
    } catch (error) {
      this.#slots.release(taken);
      this.#lookSoon();
      throw error;
    }
    const unused = taken - directIn(claimed);
    this.#slots.giveBack(claimant, unused);
    await this.#begin(claimed);
    return taken > 0 && unused === 0;
  }

  async #begin(claimed: readonly ClaimedAttempt[]): Promise<void> {
    try {
      await this.#running.begin(claimed);
    } catch (error) {
      // They are held in the database and unknown here: the next tick begins them.
      this.#slots.release(directIn(claimed));
      this.#lookSoon();
      throw error;
    }
  }

  #lookSoon(): void {
    this.#lookNow = true;
    this.#loop.wake();
  }

  /** Lets those wait for a slot or a place whose retry has fallen due. */
  async #promoteDue(): Promise<void> {
    const { store, clock, safetyIntervalMs } = this.#options;
    if (clock.monotonicMs() < this.#promoteAtMs) return;
    const { promoted, nextMs } = await store.attempts.promoteDue(store.db);
    const waitMs = promoted === 1_000 ? 0 : Math.min(nextMs ?? safetyIntervalMs, safetyIntervalMs);
    this.#promoteAtMs = clock.monotonicMs() + waitMs;
    if (promoted > 0) this.#limitedLoop.wake();
  }

  /** Begins what the database says this instance holds and it does not know of, while no claim is under way. */
  async #beginUnknown(): Promise<void> {
    const { store, clock, instanceId, logger } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#looking = promise;
    try {
      await this.#limitedPass?.catch(() => undefined);
      // Before the question: what is told while the database answers may not be in the answer.
      this.#lookNow = false;
      const held = await store.attempts
        .listHeld(store.db, instanceId(), this.#running.executionIds)
        .catch((error: unknown) => {
          this.#lookNow = true;
          throw error;
        });
      const unknown = held.filter(({ executionId }) => !this.#running.has(executionId));
      this.#lookAtMs = clock.monotonicMs() + lookEveryMs;
      if (unknown.length === 0) return;
      logger.warn({ count: unknown.length }, 'found claims whose reply was lost');
      this.#slots.force(directIn(unknown));
      await this.#begin(unknown);
    } finally {
      this.#looking = undefined;
      resolve();
    }
  }

  async #findCancels(): Promise<number> {
    const { store, instanceId, safetyIntervalMs } = this.#options;
    if (this.#running.count === 0) return safetyIntervalMs;
    for (const id of await store.attempts.listCancelRequested(store.db, instanceId())) {
      this.#running.abort(id, 'cancel');
    }
    return safetyIntervalMs;
  }

  async #drain(): Promise<void> {
    for (const stop of this.#stopListening) stop();
    await Promise.all([this.#loop.stop(), this.#limitedLoop.stop()]);
    await this.#running.end(this.#options.shutdownGraceMs);
    await this.#cancelLoop.stop();
  }
}

/** How many of these the instance delivers itself. */
const directIn = (claimed: readonly ClaimedAttempt[]): number =>
  claimed.filter(({ workerId }) => workerId === null).length;
