/**
 * One worker as its instance knows it: what it runs, what it is told, and the
 * stream that carries it, which may break and come back.
 *
 * An attempt takes up a place from its claim until its result is here or the
 * worker is given up. Messages of one turn of the event loop travel together.
 * A stream that breaks leaves the attempts where they are: the worker has the
 * grace time to come back and say what it still runs. What it does not name is
 * lost, with the stream or with the process: one attempt number is never sent
 * twice.
 *
 * What is at the worker is never more than its capacity. What was claimed for a
 * place may find it taken when it is handed over: the stream has broken since,
 * and the worker has come back with attempts from another instance. It waits
 * here, unsent, until there is a place.
 */
import { DomainError } from '../../domain/errors.ts';
import type { LogLine } from '../../domain/execution.ts';
import type { DeliveryContext, DeliveryResult } from '../targets/target.ts';
import { batchesOf } from './assignment-batches.ts';
import { deliveryResultOf } from './delivery-results.ts';
import type {
  Assignment,
  AttemptRef,
  WorkerEvent,
  WorkerHello,
  WorkerResult,
  WorkerStream,
} from './worker-messages.ts';

/** An attempt at the worker. */
type Held = {
  readonly attempt: number;
  /** Both are set once it is delivered; before that only its place is taken. */
  context?: DeliveryContext;
  resolve?: (result: DeliveryResult) => void;
  /** Why the worker was told to stop it; said again on the next stream, since it may not have heard. */
  cancelReason?: string;
  /** Of an attempt that was taken over: what its worker said before it was handed over here. */
  readonly early: {
    readonly lines: LogLine[];
    bytes: number;
    result?: { readonly result: WorkerResult; readonly stored: () => void };
  };
};

/** So much of the log is kept of an attempt that was taken over and is not handed over yet: a moment's worth. */
const maxEarlyBytes = 1_024 * 1_024;

/** What a line counts for besides its text. */
const earlyLineBytes = 100;

/** What goes out together. */
type Outbox = { assignments: Assignment[]; acks: AttemptRef[] };

export class ConnectedWorker {
  hello: WorkerHello;
  queueIds: readonly number[];
  #stream: WorkerStream | undefined;
  readonly #held = new Map<number, Held>();
  /** What the worker knows of: it was sent to it, or it named it in its hello. */
  readonly #atWorker = new Map<number, number>();
  /** What is handed over and waits for a stream, or for a place at the worker. */
  readonly #unsent = new Map<number, Assignment>();
  #outbox: Outbox | undefined;
  /** On the clock that never jumps. */
  seenMs: number;
  isDraining = false;
  /** Messages that are being taken, such as lines that wait to be stored. Those behind them are not read meanwhile. */
  beingTaken = 0;
  /** Calls off the end of its grace time, while that runs. */
  callOffGrace: () => void = () => undefined;

  constructor(hello: WorkerHello, queueIds: readonly number[], nowMs: number) {
    this.hello = hello;
    this.queueIds = queueIds;
    this.seenMs = nowMs;
  }

  get isConnected(): boolean {
    return this.#stream !== undefined;
  }

  get runningCount(): number {
    return this.#held.size;
  }

  /** How many more attempts it takes now. */
  get free(): number {
    return this.isConnected && !this.isDraining ? Math.max(0, this.hello.capacity - this.#held.size) : 0;
  }

  /** Whether this stream is the one in use. */
  isOn(stream: WorkerStream): boolean {
    return this.#stream === stream;
  }

  /**
   * Takes a stream in use, with the hello that came on it. Of what the hello
   * says is running, `running` is the worker's own; what was handed over before
   * and is not among it has ended with `lost`.
   */
  connect(
    {
      hello,
      queueIds,
      stream,
    }: {
      readonly hello: WorkerHello;
      readonly queueIds: readonly number[];
      readonly stream: WorkerStream;
    },
    running: readonly AttemptRef[],
    lost: DeliveryResult,
  ): void {
    const before = this.#stream;
    this.hello = hello;
    this.queueIds = queueIds;
    this.#stream = stream;
    this.isDraining = false;
    before?.fail(new DomainError('CONCURRENT_CHANGE', 'another stream of the same worker took its place'));
    this.#outbox?.assignments.splice(0);
    const known = new Map(this.#atWorker);
    this.#atWorker.clear();
    for (const ref of running) {
      this.reserve(ref);
      this.#atWorker.set(ref.executionId, ref.attempt);
    }
    for (const [executionId, attempt] of known) {
      if (this.#atWorker.get(executionId) !== attempt) this.giveUp({ executionId, attempt }, lost);
    }
    this.#sendUnsent();
  }

  disconnect(): void {
    this.#stream = undefined;
  }

  send(event: WorkerEvent): void {
    this.#stream?.send(event);
  }

  /** Tells the worker to stop an attempt. */
  cancel(ref: AttemptRef, reason: string): void {
    const held = this.#held.get(ref.executionId);
    if (held?.attempt === ref.attempt) held.cancelReason = reason;
    this.send({ kind: 'cancel', attempts: [ref], reason });
  }

  /** Says again, on a new stream, what is to be stopped. */
  repeatCancels(): void {
    for (const [executionId, { attempt, cancelReason, resolve }] of this.#held) {
      if (cancelReason === undefined || !resolve) continue;
      this.send({ kind: 'cancel', attempts: [{ executionId, attempt }], reason: cancelReason });
    }
  }

  fail(error: unknown): void {
    this.#stream?.fail(error);
  }

  /** Takes up a place, at the claim. */
  reserve(ref: AttemptRef): void {
    const { executionId, attempt } = ref;
    const before = this.#held.get(executionId);
    if (before?.attempt === attempt) return;
    if (before) this.release({ executionId, attempt: before.attempt });
    this.#held.set(executionId, { attempt, early: { lines: [], bytes: 0 } });
  }

  /** Whether an attempt has a place here. */
  holds({ executionId, attempt }: AttemptRef): boolean {
    return this.#held.get(executionId)?.attempt === attempt;
  }

  /** Whether the worker knows of an attempt. */
  isAtWorker({ executionId, attempt }: AttemptRef): boolean {
    return this.#atWorker.get(executionId) === attempt;
  }

  /** Whether an attempt waits here to be sent, unknown to the worker. */
  isUnsent({ executionId, attempt }: AttemptRef): boolean {
    return this.#unsent.get(executionId)?.attempt === attempt;
  }

  /** Gives the place of an attempt back, if it has not been given back already. */
  release({ executionId, attempt }: AttemptRef): void {
    if (this.#held.get(executionId)?.attempt === attempt) this.#held.delete(executionId);
    if (this.isUnsent({ executionId, attempt })) this.#unsent.delete(executionId);
    if (this.#atWorker.get(executionId) !== attempt) return;
    this.#atWorker.delete(executionId);
    this.#sendUnsent();
  }

  /** It takes nothing more: what waits for a place is given up. */
  drain(lost: DeliveryResult): void {
    this.isDraining = true;
    for (const assignment of [...this.#unsent.values()]) this.giveUp(assignment, lost);
  }

  /** Hands an attempt over; `resolve` is called at most once. */
  assign(assignment: Assignment, context: DeliveryContext, resolve: (result: DeliveryResult) => void): void {
    const { executionId, attempt } = assignment;
    this.reserve(assignment);
    const { early } = this.#held.get(executionId)!;
    this.#held.set(executionId, { attempt, context, resolve, early });
    if (!this.isAtWorker(assignment)) this.#unsent.set(executionId, assignment);
    if (early.lines.length > 0) void context.log(early.lines);
    if (early.result) this.settle(early.result.result, early.result.stored);
    this.#sendUnsent();
  }

  /** Sends what waits, as far as there are places at the worker. */
  #sendUnsent(): void {
    if (!this.isConnected) return;
    for (const [executionId, assignment] of this.#unsent) {
      if (this.#atWorker.size >= this.hello.capacity) return;
      this.#unsent.delete(executionId);
      this.#atWorker.set(executionId, assignment.attempt);
      this.#post().assignments.push(assignment);
    }
  }

  /** Takes lines of an attempt; those of attempts that the worker does not hold are dropped. */
  async log({ executionId, attempt }: AttemptRef, lines: readonly LogLine[]): Promise<void> {
    const held = this.#held.get(executionId);
    if (held?.attempt !== attempt) return;
    if (held.context) return held.context.log(lines);
    for (const line of lines) {
      if (held.early.bytes >= maxEarlyBytes) return;
      held.early.lines.push(line);
      held.early.bytes += line.message.length + earlyLineBytes;
    }
  }

  /** Takes a result; false when the worker does not hold that attempt any more. */
  settle(result: WorkerResult, stored: () => void): boolean {
    const held = this.#held.get(result.executionId);
    if (held?.attempt !== result.attempt) return false;
    if (!held.resolve) {
      if (!this.isAtWorker(result)) return false;
      held.early.result = { result, stored };
      return true;
    }
    this.release(result);
    held.resolve(deliveryResultOf(result, stored));
    return true;
  }

  /** Says that a result is stored, or came too late to change anything. */
  acknowledge({ executionId, attempt }: AttemptRef): void {
    this.#post().acks.push({ executionId, attempt });
  }

  /** Gives up one attempt. */
  giveUp(ref: AttemptRef, result: DeliveryResult): void {
    const { executionId, attempt } = ref;
    const held = this.#held.get(executionId);
    if (held?.attempt !== attempt) return;
    this.release(ref);
    held.resolve?.(result);
  }

  /** Gives up all that it holds. */
  abandon(result: DeliveryResult): void {
    const held = [...this.#held.values()];
    this.#held.clear();
    this.#atWorker.clear();
    this.#unsent.clear();
    for (const { resolve } of held) resolve?.(result);
  }

  /** What is collected here goes out when the present turn of the event loop is over. */
  #post(): Outbox {
    if (!this.#outbox) {
      this.#outbox = { assignments: [], acks: [] };
      queueMicrotask(() => this.#flush());
    }
    return this.#outbox;
  }

  #flush(): void {
    const { assignments, acks } = this.#outbox!;
    this.#outbox = undefined;
    for (const batch of batchesOf(assignments)) this.send({ kind: 'assignments', assignments: batch });
    if (acks.length > 0) this.send({ kind: 'ack', attempts: acks });
  }
}
