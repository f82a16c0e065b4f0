/**
 * A worker: it holds a stream to one instance of Carillon at a time and runs
 * what it is assigned.
 *
 *     connecting  tries one address after the other, with growing waits, for
 *                 as long as it takes
 *     serving     welcomed; takes assignments, sends what comes up
 *     draining    the instance is about to stop: it assigns nothing more, and
 *                 when the last result is acknowledged the worker goes to
 *                 another one
 *     leaving     `stop` was called: it has said goodbye, and is gone when the
 *                 last result is acknowledged, or the grace time is over
 *
 * Whatever the stream does, attempts go on. Each new stream names the
 * attempts that the worker holds, hears which of them are its no more, and
 * gets every result that was not acknowledged. So a broken connection costs
 * neither an attempt nor a result, if it is mended within the reconnect grace.
 */
import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { type WorkerHello, WorkerHelloSchema } from '../../gen/carillon/v1/worker_service_pb.js';
import { afterReads } from '../platform/after-reads.ts';
import { type Backoff, backoffMs } from '../platform/backoff.ts';
import { type Clock, systemClock } from '../platform/clock.ts';
import { systemRandom } from '../platform/random.ts';
import { AttemptRunner } from './attempt-runner.ts';
import { openPromise } from './open-promise.ts';
import { Outbox } from './outbox.ts';
import { WorkerStoppedError } from './stop-reasons.ts';
import { settingsFrom, type WorkerOptions, type WorkerSettings } from './worker-options.ts';
import { refusalFrom, type WorkerRefusedError } from './worker-refusal.ts';
import { type ServerMessage, type StreamEnd, WorkerStream } from './worker-stream.ts';

const backoff: Backoff = { initialMs: 100, maxMs: 5_000, multiplier: 2 };

/** How much longer a wait may be at random: many workers lose one instance in the same moment. */
const jitter = 1;

/** A stream that stood this long was no failure, in milliseconds. */
const steadyMs = 1_000;

/** How long handlers that were asked to stop may take, and then how long the server may take to end the stream. */
const lastWordsMs = 5_000;

/** How long assignments that crossed the goodbye may take to arrive, in milliseconds. */
const lingerMs = 100;

const goodbye = { $typeName: 'carillon.v1.WorkerGoodbye' } as const;

const nothing = (): void => undefined;

/** The most attempts that a hello can name. */
const maxNamed = 100_000;

export class Worker {
  readonly #settings: WorkerSettings;
  readonly #clock: Clock;
  readonly #outbox: Outbox;
  readonly #runner: AttemptRunner;
  readonly #waking = new AbortController();
  readonly #welcomed = openPromise();
  readonly #ended = openPromise();
  #stream: WorkerStream | undefined;
  #isServing = false;
  #isDraining = false;
  #isStarted = false;
  #isLeaving = false;
  #isOver = false;
  #isWelcomed = false;
  #hasLingered = false;
  #callOffGrace = nothing;
  #callOffLinger = nothing;
  #callOffEnd = nothing;

  /** @throws TypeError that names the option that cannot be used. */
  constructor(options: WorkerOptions, clock: Clock = systemClock) {
    this.#settings = settingsFrom(options);
    this.#clock = clock;
    this.#outbox = new Outbox(clock);
    const { capacity, handler, logger } = this.#settings;
    this.#runner = new AttemptRunner({
      capacity,
      handler,
      clock,
      lines: this.#outbox.lines,
      onStarted: (attempt) => this.#outbox.addStarted(attempt),
      onEnded: (attempt, thrown) => {
        if (thrown !== undefined) {
          logger.debug({ executionId: attempt.executionId, error: thrown }, 'an attempt did not succeed');
        }
        this.#outbox.addEnded(attempt);
      },
    });
    // Whoever waits for neither is told by the log.
    this.#welcomed.promise.catch(() => undefined);
    this.#ended.promise.catch(() => undefined);
  }

  /** Its name within the namespace. */
  get workerId(): string {
    return this.#settings.workerId;
  }

  /** How many handlers are under way. */
  get running(): number {
    return this.#runner.underWay;
  }

  /** Resolves when the worker has stopped; rejects with WorkerRefusedError when it had to give up. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /**
   * Begins to connect, and resolves with the first welcome, or when the worker
   * was stopped before. It waits for a Carillon that is not there yet.
   *
   * @throws WorkerRefusedError when Carillon does not take it.
   */
  start(): Promise<void> {
    if (!this.#isStarted && !this.#isLeaving) {
      this.#isStarted = true;
      void this.#connect();
    }
    return this.#welcomed.promise;
  }

  /**
   * Leaves: takes nothing more, lets handlers finish within the grace time,
   * aborts the signals of the others, and resolves when the last result is
   * acknowledged. The second call ends the grace time.
   */
  stop(): Promise<void> {
    if (this.#isLeaving) this.#abortHandlers();
    else this.#leave();
    return this.#ended.promise.catch(() => undefined);
  }

  /**
   * Starts, and leaves at SIGTERM or SIGINT; the second signal ends the grace
   * time. Resolves when it has stopped.
   *
   * @throws WorkerRefusedError when Carillon does not take it.
   */
  async run(): Promise<void> {
    const onSignal = (): void => void this.stop();
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
    try {
      void this.start();
      await this.ended;
    } finally {
      process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
    }
  }

  async #connect(): Promise<void> {
    const { addresses, logger } = this.#settings;
    // Workers with one list of addresses spread over it.
    let next = Math.floor(systemRandom() * addresses.length);
    let failures = 0;
    while (!this.#isOver) {
      const address = addresses[next % addresses.length] as string;
      const beganMs = this.#clock.monotonicMs();
      const end = await this.#serve(address);
      const isAsked = this.#isDraining && end.code === status.OK;
      const refusal = refusalFrom(end, this.#isWelcomed);
      if (this.#isLeaving && this.#runner.size === 0) this.#finish();
      else if (refusal !== undefined) this.#fail(refusal);
      if (this.#isOver) return;
      failures = isAsked || this.#clock.monotonicMs() - beganMs > steadyMs ? 1 : failures + 1;
      const isElsewhere = isAsked && addresses.length > 1;
      const waitMs = isElsewhere ? 0 : Math.round(backoffMs(backoff, failures, jitter));
      logger.warn({ address, code: end.code, details: end.details, waitMs }, 'the stream has ended');
      next++;
      await this.#clock.sleep(waitMs, this.#waking.signal);
    }
  }

  /** Holds one stream; resolves when it is gone. */
  #serve(address: string): Promise<StreamEnd> {
    const { tls, token, logger } = this.#settings;
    this.#isDraining = false;
    return new Promise((resolve) => {
      const stream = new WorkerStream({
        address,
        tls,
        token: token(),
        hello: this.#hello(),
        clock: this.#clock,
        onMessage: (message) => this.#receive(message),
        onWelcome: ({ rejected, instance }) => {
          logger.info({ address, instance, workerId: this.workerId }, 'the worker is connected');
          this.#runner.lose(rejected);
          this.#isServing = true;
          this.#isWelcomed = true;
          this.#outbox.open(stream, this.#runner.ended());
          this.#welcomed.resolve();
          if (this.#isLeaving) this.#sayGoodbye();
          this.#endWhenDone();
        },
        onEnd: (end) => {
          this.#stream = undefined;
          this.#isServing = false;
          this.#callOffEnd();
          this.#outbox.close();
          resolve(end);
        },
      });
      this.#stream = stream;
    });
  }

  #hello(): WorkerHello {
    const { workerId, namespace, capacity, version } = this.#settings;
    const queues = [...this.#settings.queues];
    const labels = { ...this.#settings.labels };
    const running = this.#runner.refs().slice(0, maxNamed);
    return create(WorkerHelloSchema, { workerId, namespace, queues, labels, capacity, version, running });
  }

  #receive(message: ServerMessage): void {
    switch (message.case) {
      case 'assignments':
        // Behind the end of the worker's side nothing could be reported any more.
        if (this.#isServing) this.#runner.take(message.value.assignments);
        break;
      case 'ack':
        this.#runner.acknowledge(message.value.attempts);
        break;
      case 'cancel':
        this.#runner.cancel(message.value.attempts, message.value.reason || 'canceled');
        break;
      case 'drain':
        this.#isDraining = true;
        break;
      // Any other kind is one that newer servers know.
    }
    this.#endWhenDone();
  }

  /** Closes the worker's side when there is nothing more to be said. */
  #endWhenDone(): void {
    const mayEnd = this.#isLeaving ? this.#hasLingered : this.#isDraining;
    const stream = this.#stream;
    if (!mayEnd || !this.#isServing || this.#runner.size > 0 || stream === undefined) return;
    this.#isServing = false;
    stream.end();
    this.#callOffEnd = this.#clock.setTimer(lastWordsMs, () => stream.close());
  }

  #leave(): void {
    this.#isLeaving = true;
    if (!this.#isStarted || (this.#runner.size === 0 && !this.#isServing)) {
      this.#finish();
      return;
    }
    if (this.#isServing) this.#sayGoodbye();
    this.#callOffGrace = this.#clock.setTimer(this.#settings.graceMs, () => this.#abortHandlers());
  }

  #sayGoodbye(): void {
    this.#stream?.send({ case: 'goodbye', value: goodbye });
    this.#hasLingered = false;
    this.#callOffLinger();
    this.#callOffLinger = this.#clock.setTimer(lingerMs, () => {
      this.#callOffLinger = afterReads(() => {
        this.#hasLingered = true;
        this.#endWhenDone();
      });
    });
  }

  #abortHandlers(): void {
    if (this.#isOver) return;
    this.#callOffGrace();
    this.#callOffGrace = this.#clock.setTimer(lastWordsMs, () => this.#finish());
    this.#runner.stopAll(new WorkerStoppedError('the worker stops'));
  }

  #fail(error: WorkerRefusedError): void {
    this.#settings.logger.error({ error }, 'the worker gives up');
    this.#welcomed.reject(error);
    this.#ended.reject(error);
    this.#finish();
  }

  /** Nothing more happens from here on. */
  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#isLeaving = true;
    this.#callOffGrace();
    this.#callOffLinger();
    this.#runner.loseAll('the worker has stopped');
    this.#waking.abort();
    this.#stream?.close();
    this.#welcomed.resolve();
    this.#ended.resolve();
  }
}
