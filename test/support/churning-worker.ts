/**
 * A worker that comes and goes at random, over one of several instances, and
 * keeps its own account of what it holds: an attempt from its assignment until
 * its result is sent. Every result is kept until it is acknowledged and sent
 * again on each new stream, as the library does; unlike the library it also
 * opens a second stream over the first one, and forgets all it had as a process
 * does that was killed.
 */
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { nameOf, RawWorkerStream, type Ref } from './raw-worker-stream.ts';
import type { Random } from './seeded-random.ts';

/** What the workers of a test have seen together. */
export class Churn {
  /** Every attempt that anybody was assigned. */
  readonly assigned = new Set<string>();
  /** What must not have happened, in words. */
  readonly violations: string[] = [];
  /** Who holds an execution, as far as the holders know. */
  readonly holders = new Map<bigint, Set<ChurningWorker>>();
  /** How often each kind of thing was done. */
  readonly counts: Record<string, number> = {};

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }
}

export type ChurningWorkerOptions = {
  readonly workerId: string;
  readonly queue: string;
  readonly capacity: number;
  readonly addresses: readonly string[];
  readonly churn: Churn;
  readonly random: Random;
  /** How long it stays away at the most, in milliseconds; now and then twice as long. */
  readonly maxAwayMs: number;
};

type Result = { readonly ref: Ref; readonly state: ExecutionState };

const heartbeatMs = 150;

export class ChurningWorker {
  readonly #options: ChurningWorkerOptions;
  readonly #held = new Map<string, Ref>();
  readonly #unacked = new Map<string, Result>();
  readonly #heartbeat: NodeJS.Timeout;
  #stream: RawWorkerStream | undefined;
  #isLeaving = false;
  #isSteady = false;
  /** What becomes of what it is assigned: chance decides, it is held, or it succeeds. */
  fate: 'chance' | 'holding' | 'success' = 'chance';

  constructor(options: ChurningWorkerOptions) {
    this.#options = options;
    this.#heartbeat = setInterval(() => this.#stream?.heartbeat(), heartbeatMs);
    this.#open();
    this.#actLater();
  }

  get workerId(): string {
    return this.#options.workerId;
  }

  get capacity(): number {
    return this.#options.capacity;
  }

  get heldCount(): number {
    return this.#held.size;
  }

  /** Whether it has a stream that it knows nothing bad of. */
  get isConnected(): boolean {
    return this.#stream?.isWelcome === true && !this.#stream.end && !this.#isLeaving;
  }

  /** Goes nowhere any more, once it is back. */
  steady(): void {
    this.#isSteady = true;
  }

  /** Reports all that it holds, and at once what comes from now on. */
  finish(): void {
    this.fate = 'success';
    for (const ref of [...this.#held.values()]) this.#end(ref, ExecutionState.SUCCEEDED);
  }

  close(): void {
    this.#isSteady = true;
    clearInterval(this.#heartbeat);
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.break();
  }

  #open(): void {
    const { workerId, queue, capacity, addresses, random } = this.#options;
    const named = [...this.#held.values(), ...[...this.#unacked.values()].map(({ ref }) => ref)];
    const stream = RawWorkerStream.open(random.pick(addresses), {
      workerId,
      queues: [queue],
      capacity,
      running: named,
    });
    this.#stream = stream;
    this.#isLeaving = false;
    stream.onWelcome = () => {
      if (this.#stream !== stream) return;
      for (const ref of stream.rejected) this.#drop(ref);
      for (const { ref, state } of this.#unacked.values()) void stream.report([ref], { state });
    };
    stream.onMessage = (message) => {
      if (this.#stream !== stream) return;
      if (message.case === 'assignments') for (const ref of message.value.assignments) this.#take(ref);
      if (message.case === 'cancel') for (const ref of message.value.attempts) this.#cancel(ref);
      if (message.case === 'ack') for (const ref of message.value.attempts) this.#unacked.delete(nameOf(ref));
      this.#endWhenDone();
    };
    stream.onEnd = () => {
      if (this.#stream !== stream) return;
      this.#stream = undefined;
      setTimeout(() => this.#stream ?? this.#open(), random.below(50));
    };
  }

  #actLater(): void {
    const { random } = this.#options;
    setTimeout(() => {
      if (this.#isSteady) return;
      this.#act();
      this.#actLater();
    }, random.below(400));
  }

  #act(): void {
    const { random, churn, maxAwayMs } = this.#options;
    const stream = this.#stream;
    if (!stream?.isWelcome || this.#isLeaving) return;
    switch (random.below(6)) {
      case 0:
      case 1: {
        churn.count('broken');
        this.#stream = undefined;
        stream.break();
        const awayMs = random.below(maxAwayMs) * (random.chance(0.2) ? 2 : 1);
        setTimeout(() => this.#stream ?? this.#open(), awayMs);
        return;
      }
      case 2:
        churn.count('replaced');
        // What still comes on the first one is nobody's: the second has not named it.
        this.#open();
        setTimeout(() => stream.break(), random.below(500));
        return;
      case 3:
        churn.count('left');
        this.#isLeaving = true;
        stream.goodbye();
        this.#endWhenDone();
        return;
      case 4:
        churn.count('forgot');
        this.#stream = undefined;
        stream.break();
        for (const ref of [...this.#held.values()]) this.#drop(ref);
        this.#unacked.clear();
        setTimeout(() => this.#stream ?? this.#open(), random.below(maxAwayMs));
    }
  }

  #take(assigned: Ref): void {
    const { churn, random, capacity, workerId } = this.#options;
    const ref = { executionId: assigned.executionId, attempt: assigned.attempt };
    const name = nameOf(ref);
    if (churn.assigned.has(name)) churn.violations.push(`${name} was assigned twice, now to ${workerId}`);
    churn.assigned.add(name);
    const holders = churn.holders.get(ref.executionId) ?? new Set();
    for (const other of holders) {
      if (other !== this && other.isConnected)
        churn.violations.push(`${name} went to ${workerId} while ${other.workerId} runs the execution`);
    }
    churn.holders.set(ref.executionId, holders.add(this));
    this.#held.set(name, ref);
    if (this.#held.size > capacity)
      churn.violations.push(`${workerId} holds ${this.#held.size} of ${capacity}`);
    if (this.fate === 'holding') return;
    const die = this.fate === 'success' ? 0 : random.below(100);
    // The others are waited for in vain, until their time is over.
    if (die >= 95) {
      churn.count('hung');
      return;
    }
    const state = die < 85 ? ExecutionState.SUCCEEDED : ExecutionState.FAILED;
    setTimeout(() => this.#end(ref, state), random.below(60));
  }

  #cancel(ref: Ref): void {
    if (this.#held.has(nameOf(ref))) this.#end(ref, ExecutionState.CANCELED);
  }

  #end(ref: Ref, state: ExecutionState): void {
    const name = nameOf(ref);
    if (!this.#held.has(name)) return;
    this.#drop(ref);
    this.#unacked.set(name, { ref, state });
    if (this.#stream?.isWelcome) void this.#stream.report([ref], { state });
  }

  #drop(ref: Ref): void {
    const name = nameOf(ref);
    this.#unacked.delete(name);
    if (this.#held.delete(name)) this.#options.churn.holders.get(ref.executionId)?.delete(this);
  }

  #endWhenDone(): void {
    const stream = this.#stream;
    if (!this.#isLeaving || !stream || this.#held.size + this.#unacked.size > 0) return;
    // What crossed the goodbye has time to arrive.
    setTimeout(() => {
      if (this.#stream === stream && this.#held.size + this.#unacked.size === 0) stream.close();
    }, 30);
  }
}
