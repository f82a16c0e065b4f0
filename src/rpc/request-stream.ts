/**
 * The requests of one call that streams them, between the transport, which
 * pushes, and the handler, which takes them one by one.
 *
 * A request is checked when it is taken: those before a bad one reach the
 * handler, the bad one ends the call. What the handler has not taken waits
 * here, a few requests and no more; then the transport is told to pause, and
 * the caller is slowed down by the flow control of HTTP/2.
 */
import type { Message } from '@bufbuild/protobuf';
import type { Clock } from '../platform/clock.ts';
import { Queue } from '../platform/queue.ts';
import type { Call } from './call.ts';
import { MalformedRequest } from './malformed-request.ts';
import type { RequestStream } from './services/service.ts';

/** How many requests wait before the transport pauses; it goes on when none waits. */
const maxWaiting = 8;

/**
 * How long an end is doubted, in milliseconds. Node ends the readable side of
 * an HTTP/2 stream also when its connection is cut, just before it closes the
 * stream, and a caller in Node who cancels sends an orderly end and resets the
 * stream about a millisecond later. A caller who is gone must not look like one
 * who has said everything.
 */
const endDoubtMs = 10;

/** What holds the transport back. */
export type Flow = { pause(): void; resume(): void };

type Step = IteratorResult<Message, undefined>;

/** The end of an iteration. */
const end: Step = { done: true, value: undefined };

/** Hands requests from a transport to a handler. */
export class IncomingRequests implements RequestStream {
  readonly #call: Call;
  readonly #flow: Flow;
  readonly #clock: Clock;
  readonly #waiting = new Queue<Message | MalformedRequest>();
  #isPaused = false;
  #hasEnded = false;
  /** The handler, when it waits for a request. */
  #taker: { resolve(step: Step): void; reject(failure: unknown): void } | undefined;

  constructor(call: Call, flow: Flow, clock: Clock) {
    this.#call = call;
    this.#flow = flow;
    this.#clock = clock;
    call.whenSettled(() => this.#endTaker());
  }

  /** Takes in the next request, or what stands for one that cannot be decoded. */
  push(request: Message | MalformedRequest): void {
    if (this.#call.isSettled) return;
    const taker = this.#taker;
    if (taker === undefined) {
      this.#waiting.push(request);
      if (this.#waiting.length >= maxWaiting) this.#pause();
    } else if (this.#isGood(request)) {
      this.#taker = undefined;
      taker.resolve({ done: false, value: request });
    }
  }

  /** Takes note that the caller has sent its last request. */
  end(): void {
    const cancel = this.#clock.setTimer(endDoubtMs, () => {
      this.#hasEnded = true;
      this.#endTaker();
    });
    this.#call.whenSettled(cancel);
  }

  next(): Promise<Step> {
    if (this.#taker !== undefined) return Promise.reject(new Error('requests are taken one at a time'));
    const request = this.#call.isSettled ? undefined : this.#waiting.take();
    if (request !== undefined && this.#isGood(request)) {
      if (this.#waiting.length === 0) this.#resume();
      return Promise.resolve({ done: false, value: request });
    }
    return new Promise((resolve, reject) => {
      this.#taker = { resolve, reject };
      if (this.#call.isSettled || this.#hasEnded) this.#endTaker();
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Whether the request keeps its rules; the call fails where it does not. */
  #isGood(request: Message | MalformedRequest): request is Message {
    try {
      if (request instanceof MalformedRequest) throw request.error;
      this.#call.check(request);
      return true;
    } catch (error) {
      this.#call.fail(error);
      return false;
    }
  }

  /** Gives the handler the end, or the call's failure, when it waits. */
  #endTaker(): void {
    const taker = this.#taker;
    this.#taker = undefined;
    const { failure } = this.#call;
    if (failure === undefined) taker?.resolve(end);
    else taker?.reject(failure);
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#flow.pause();
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#flow.resume();
  }
}
