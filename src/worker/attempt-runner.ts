/**
 * The attempts that the worker holds, from their assignment to the
 * acknowledgement of their results. A handler is called when one of `capacity`
 * places is free; a place is free again when the handler has ended, also that
 * of an attempt that is nobody's any more, so never more than `capacity`
 * handlers are under way whatever the connection does.
 *
 * An execution has one attempt at a time. When a newer one comes in, the
 * older has ended as far as Carillon is concerned: it is asked to stop, and
 * its result is kept no longer.
 */
import type { Assignment, AttemptRef } from '../../gen/carillon/v1/worker_service_pb.js';
import type { Clock } from '../platform/clock.ts';
import { Queue } from '../platform/queue.ts';
import { Attempt, type EndedWith } from './attempt.ts';
import { AttemptContext } from './attempt-context.ts';
import { resultOfReturn, resultOfThrow } from './attempt-result.ts';
import { Deadlines } from './deadlines.ts';
import type { LogBuffer } from './log-buffer.ts';
import { AttemptLostError, AttemptTimeoutError, CanceledError } from './stop-reasons.ts';
import type { Handler } from './worker-options.ts';

/** What a runner works with. */
export type AttemptRunnerOptions = {
  readonly capacity: number;
  readonly handler: Handler;
  readonly clock: Clock;
  readonly lines: LogBuffer;
  /** Told when a handler was called that did not end at once. */
  readonly onStarted: (attempt: Attempt) => void;
  /** Told when an attempt has its result; `thrown` is what its handler threw. */
  readonly onEnded: (attempt: Attempt, thrown: unknown) => void;
};

/** How long handlers are called in a row before the connection gets its turn, in milliseconds. */
const turnMs = 25;

/** A cancel that comes this close before the end of an attempt's time is its timeout, in milliseconds. */
const timeoutSlackMs = 250;

export class AttemptRunner {
  readonly #options: AttemptRunnerOptions;
  readonly #held = new Map<number, Attempt>();
  readonly #waiting = new Queue<Attempt>();
  readonly #deadlines: Deadlines;
  #underWay = 0;
  #isFilling = false;

  constructor(options: AttemptRunnerOptions) {
    this.#options = options;
    this.#deadlines = new Deadlines(
      options.clock,
      () => this.#held.values(),
      (attempt) => this.#stop(attempt, new AttemptTimeoutError('the time of the attempt is over')),
    );
  }

  /** How many attempts it holds. */
  get size(): number {
    return this.#held.size;
  }

  /** How many handlers are under way. */
  get underWay(): number {
    return this.#underWay;
  }

  /** The attempts it holds, for the next hello. */
  refs(): AttemptRef[] {
    return Array.from(this.#held.values(), (attempt) => attempt.ref);
  }

  /** The attempts whose results are not acknowledged. */
  ended(): Attempt[] {
    return [...this.#held.values()].filter((attempt) => attempt.phase === 'ENDED');
  }

  /** Takes attempts to run. One that it holds already is not taken twice. */
  take(assignments: readonly Assignment[]): void {
    const now = this.#options.clock.monotonicMs();
    for (const assignment of assignments) {
      const { timeout } = assignment;
      const deadlineMs = timeout ? now + Number(timeout.seconds) * 1_000 + timeout.nanos / 1e6 : Infinity;
      const attempt = new Attempt(assignment, deadlineMs);
      const older = this.#held.get(attempt.executionId);
      if (older !== undefined) {
        if (older.assignment.attempt >= assignment.attempt) continue;
        this.#lose(older, 'a newer attempt of the execution has begun');
      }
      this.#held.set(attempt.executionId, attempt);
      this.#waiting.push(attempt);
      this.#deadlines.watch(deadlineMs);
    }
    this.#fill();
  }

  /** Asks attempts to stop, because somebody canceled them or their time is over. */
  cancel(refs: readonly AttemptRef[], reason: string): void {
    const now = this.#options.clock.monotonicMs();
    for (const ref of refs) {
      const attempt = this.#find(ref);
      if (attempt === undefined) continue;
      const isOver = attempt.deadlineMs - now <= timeoutSlackMs;
      this.#stop(attempt, isOver ? new AttemptTimeoutError(reason) : new CanceledError(reason));
    }
  }

  /** Asks all attempts to stop. */
  stopAll(reason: Error): void {
    for (const attempt of [...this.#held.values()]) this.#stop(attempt, reason);
  }

  /** Lets go of attempts that are not the worker's any more. */
  lose(refs: readonly AttemptRef[]): void {
    for (const ref of refs) {
      const attempt = this.#find(ref);
      if (attempt !== undefined) this.#lose(attempt, 'the attempt was given to somebody else');
    }
  }

  /** Lets go of all attempts. */
  loseAll(why: string): void {
    for (const attempt of [...this.#held.values()]) this.#lose(attempt, why);
    this.#deadlines.stop();
  }

  /** Lets go of attempts whose results are stored. */
  acknowledge(refs: readonly AttemptRef[]): void {
    for (const ref of refs) {
      const attempt = this.#find(ref);
      if (attempt?.phase !== 'ENDED') continue;
      attempt.phase = 'GONE';
      this.#held.delete(attempt.executionId);
    }
  }

  #find({ executionId, attempt }: AttemptRef): Attempt | undefined {
    const held = this.#held.get(Number(executionId));
    return held?.assignment.attempt === attempt ? held : undefined;
  }

  #stop(attempt: Attempt, reason: Error): void {
    const { phase } = attempt;
    attempt.askToStop(reason);
    if (phase === 'WAITING') this.#end(attempt, resultOfThrow(attempt, reason), reason);
  }

  #lose(attempt: Attempt, why: string): void {
    this.#held.delete(attempt.executionId);
    const isUnderWay = attempt.phase === 'RUNNING';
    attempt.phase = 'GONE';
    if (isUnderWay) attempt.askToStop(new AttemptLostError(why));
  }

  #fill(): void {
    if (this.#isFilling) return;
    this.#isFilling = true;
    const { clock, capacity } = this.#options;
    const untilMs = clock.monotonicMs() + turnMs;
    while (this.#underWay < capacity) {
      const attempt = this.#waiting.take();
      if (attempt === undefined) break;
      if (attempt.phase === 'WAITING') this.#call(attempt);
      if (clock.monotonicMs() < untilMs) continue;
      // Handlers that compute must not keep heartbeats from being sent.
      setImmediate(() => {
        this.#isFilling = false;
        this.#fill();
      });
      return;
    }
    this.#isFilling = false;
  }

  #call(attempt: Attempt): void {
    attempt.phase = 'RUNNING';
    this.#underWay++;
    let returned: unknown;
    try {
      returned = this.#options.handler(new AttemptContext(attempt, this.#options.lines));
    } catch (error) {
      this.#fail(attempt, error);
      return;
    }
    if (!isThenable(returned)) {
      this.#succeed(attempt, returned);
      return;
    }
    this.#options.onStarted(attempt);
    returned.then(
      (value) => this.#succeed(attempt, value),
      (error: unknown) => this.#fail(attempt, error),
    );
  }

  #succeed(attempt: Attempt, value: unknown): void {
    this.#underWay--;
    if (attempt.phase === 'RUNNING') {
      const ended = resultOfReturn(attempt, value);
      if (ended.leftOut !== undefined) {
        this.#options.lines.warn(attempt, `the result is left out: ${ended.leftOut}`);
      }
      this.#end(attempt, ended);
    }
    this.#fill();
  }

  #fail(attempt: Attempt, thrown: unknown): void {
    this.#underWay--;
    if (attempt.phase === 'RUNNING') this.#end(attempt, resultOfThrow(attempt, thrown), thrown);
    this.#fill();
  }

  #end(attempt: Attempt, ended: EndedWith, thrown?: unknown): void {
    this.#options.lines.noteDropped(attempt);
    attempt.phase = 'ENDED';
    attempt.ended = ended;
    this.#options.onEnded(attempt, thrown);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
