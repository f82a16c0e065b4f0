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
 */
import { DomainError } from '../../domain/errors.ts';
import type { LogLine } from '../../domain/execution.ts';
import type { DeliveryContext, DeliveryResult } from '../targets/target.ts';
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
  /** Kept while there is no stream to send it on. */
  unsent?: Assignment;
  /** Why the worker was told to stop it; said again on the next stream, since it may not have heard. */
  cancelReason?: string;
  /** The worker named it in a hello before it was handed over: it has been sent, whoever sent it. */
  readonly isTakenOver: boolean;
  /** Of an attempt that was taken over: what its worker said before it was handed over here. */
  readonly early: {
    lines: LogLine[];
    result?: { readonly result: WorkerResult; readonly stored: () => void };
  };
};

/** So many lines are kept of an attempt that was taken over and is not handed over yet: a moment's worth. */
const maxEarlyLines = 10_000;

/** What goes out together. */
type Outbox = { assignments: Assignment[]; acks: AttemptRef[] };

export class ConnectedWorker {
  hello: WorkerHello;
  queueIds: readonly number[];
  #stream: WorkerStream | undefined;
  readonly #held = new Map<number, Held>();
  /** What the worker says it runs, taken over from another stream; it needs no assignment. */
  readonly #running = new Map<number, number>();
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

  /** The attempts that it holds. */
  get held(): readonly AttemptRef[] {
    return [...this.#held].map(([executionId, { attempt }]) => ({ executionId, attempt }));
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
    this.#running.clear();
    for (const ref of running) {
      this.#running.set(ref.executionId, ref.attempt);
      this.#reserve(ref, true);
    }
    for (const [executionId, held] of [...this.#held]) {
      const { attempt, resolve, unsent } = held;
      if (!resolve || this.#running.get(executionId) === attempt) continue;
      if (unsent) {
        held.unsent = undefined;
        this.#post().assignments.push(unsent);
        continue;
      }
      this.giveUp({ executionId, attempt }, lost);
    }
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
    this.#reserve(ref, false);
  }

  #reserve({ executionId, attempt }: AttemptRef, isTakenOver: boolean): void {
    if (this.#held.get(executionId)?.attempt === attempt) return;
    this.#held.set(executionId, { attempt, isTakenOver, early: { lines: [] } });
  }

  /** Whether an attempt has a place here. */
  holds({ executionId, attempt }: AttemptRef): boolean {
    return this.#held.get(executionId)?.attempt === attempt;
  }

  /** Whether the worker has said on its stream that it runs an attempt. */
  isRunning({ executionId, attempt }: AttemptRef): boolean {
    return this.#running.get(executionId) === attempt;
  }

  /** Whether an attempt waits here for a stream, unknown to the worker. */
  isUnsent({ executionId, attempt }: AttemptRef): boolean {
    const held = this.#held.get(executionId);
    return held?.attempt === attempt && held.unsent !== undefined;
  }

  /** Gives the place of an attempt back, if it has not been given back already. */
  release({ executionId, attempt }: AttemptRef): void {
    if (this.#held.get(executionId)?.attempt === attempt) this.#held.delete(executionId);
    if (this.#running.get(executionId) === attempt) this.#running.delete(executionId);
  }

  /**
   * Hands an attempt over; `resolve` is called at most once. False: the worker
   * has had it from another instance and did not name it when it came back, so
   * it is lost and must not be sent.
   */
  assign(
    assignment: Assignment,
    context: DeliveryContext,
    resolve: (result: DeliveryResult) => void,
  ): boolean {
    const { executionId, attempt } = assignment;
    const isRunning = this.isRunning(assignment);
    this.#reserve(assignment, false);
    const { isTakenOver, early } = this.#held.get(executionId)!;
    if (isTakenOver && !isRunning) {
      this.release(assignment);
      return false;
    }
    const unsent = isRunning || this.isConnected ? undefined : assignment;
    this.#held.set(executionId, { attempt, context, resolve, unsent, isTakenOver, early });
    if (early.lines.length > 0) void context.log(early.lines);
    if (early.result) this.settle(early.result.result, early.result.stored);
    if (!isRunning && !unsent) this.#post().assignments.push(assignment);
    return true;
  }

  /** Takes lines of an attempt; those of attempts that the worker does not hold are dropped. */
  async log({ executionId, attempt }: AttemptRef, lines: readonly LogLine[]): Promise<void> {
    const held = this.#held.get(executionId);
    if (held?.attempt !== attempt) return;
    if (held.context) return held.context.log(lines);
    held.early.lines.push(...lines.slice(0, maxEarlyLines - held.early.lines.length));
  }

  /** Takes a result; false when the worker does not hold that attempt any more. */
  settle(result: WorkerResult, stored: () => void): boolean {
    const held = this.#held.get(result.executionId);
    if (held?.attempt !== result.attempt) return false;
    if (!held.resolve) {
      if (this.#running.get(result.executionId) !== result.attempt) return false;
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
    if (assignments.length > 0) this.send({ kind: 'assignments', assignments });
    if (acks.length > 0) this.send({ kind: 'ack', attempts: acks });
  }
}

function deliveryResultOf(result: WorkerResult, stored: () => void): DeliveryResult {
  const { state, message, result: value, retryable, retryAfterMs } = result;
  if (state === 'SUCCEEDED')
    return { outcome: 'SUCCEEDED', message, result: value, retryable: false, stored };
  return {
    outcome: 'FAILED',
    reason: 'TARGET_ERROR',
    message: state === 'CANCELED' && message === '' ? 'the worker canceled it' : message,
    result: value,
    retryable: retryable && state === 'FAILED',
    retryAfterMs,
    stored,
  };
}
