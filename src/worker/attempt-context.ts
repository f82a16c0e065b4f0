import type { JsonObject } from '@bufbuild/protobuf';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import { ExecutionCause, LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import type { Attempt } from './attempt.ts';
import type { LogBuffer } from './log-buffer.ts';

/** Writes one log line of the execution; `data` is an object that JSON can write, up to 65,536 bytes. */
export type WriteLine = (message: string, data?: object) => void;

/**
 * The log of an execution. Lines are kept in the order in which they are
 * written and are seen live. Those written when the attempt has ended are
 * dropped.
 */
export type AttemptLog = {
  readonly debug: WriteLine;
  readonly info: WriteLine;
  readonly warn: WriteLine;
  readonly error: WriteLine;
  /**
   * Resolves when there is room for more lines. Writing never waits: a handler
   * that writes faster than Carillon takes it loses lines, and a line says how
   * many. One that writes very much awaits this now and then.
   */
  ready(): Promise<void>;
};

/** What a run is told: three shapes side by side. */
export type AttemptParameters = {
  readonly text: string | undefined;
  readonly object: JsonObject | undefined;
  readonly list: readonly { readonly name: string; readonly value: string }[];
};

/** Names a job. */
export type AttemptJobKey = { readonly namespace: string; readonly group: string; readonly name: string };

/** Why an execution exists. */
export type AttemptCause = Exclude<keyof typeof ExecutionCause, 'UNSPECIFIED'>;

/** One attempt as its handler sees it. Its members may be taken apart: `({ log, signal }) => …`. */
export class AttemptContext {
  readonly #attempt: Attempt;
  readonly #lines: LogBuffer;
  #log: AttemptLog | undefined;

  constructor(attempt: Attempt, lines: LogBuffer) {
    this.#attempt = attempt;
    this.#lines = lines;
  }

  /** The execution. */
  get executionId(): number {
    return this.#attempt.executionId;
  }

  /** The number of the attempt, from 1. One above 1 follows one that may have done its work in part or in full. */
  get attempt(): number {
    return this.#attempt.assignment.attempt;
  }

  /** The job's id. */
  get jobId(): number {
    return Number(this.#attempt.assignment.jobId);
  }

  /** The job's key. */
  get jobKey(): AttemptJobKey {
    const { namespace = '', group = '', name = '' } = this.#attempt.assignment.jobKey ?? {};
    return { namespace, group, name };
  }

  /** The instant that the schedule names, or the moment of the Trigger. */
  get fireTime(): Date {
    const { fireTime } = this.#attempt.assignment;
    return fireTime === undefined ? new Date(0) : timestampDate(fireTime);
  }

  /** Why the execution exists. */
  get cause(): AttemptCause {
    return ExecutionCause[this.#attempt.assignment.cause] as AttemptCause;
  }

  /** The leadership term that fired it; 0 for a Trigger. What is written elsewhere can be fenced with it. */
  get term(): number {
    return Number(this.#attempt.assignment.term);
  }

  /** The job's priority. */
  get priority(): number {
    return this.#attempt.assignment.priority;
  }

  /** The queue in which it waited. */
  get queue(): string {
    return this.#attempt.assignment.queue;
  }

  /** What the run is told. */
  get parameters(): AttemptParameters {
    const { text, object, list = [] } = this.#attempt.assignment.parameters ?? {};
    return { text, object, list };
  }

  /** Equal over the attempts of an execution, and of no other. */
  get idempotencyKey(): string {
    return this.#attempt.assignment.idempotencyKey;
  }

  /**
   * Aborts when the handler is to stop. Its reason is a CanceledError, an
   * AttemptTimeoutError, an AttemptLostError or a WorkerStoppedError.
   */
  get signal(): AbortSignal {
    return this.#attempt.signal;
  }

  /** Writes log lines of the execution. */
  get log(): AttemptLog {
    this.#log ??= {
      debug: this.#writer(LogLevel.DEBUG),
      info: this.#writer(LogLevel.INFO),
      warn: this.#writer(LogLevel.WARN),
      error: this.#writer(LogLevel.ERROR),
      ready: () => this.#lines.ready(),
    };
    return this.#log;
  }

  /** Tells how far the attempt has come, 0 to 1, as a log line: the text, or "progress 42 %". */
  get progress(): (fraction: number, text?: string) => void {
    return (fraction, text) => {
      const progress = Number.isNaN(fraction) ? 0 : Math.min(Math.max(fraction, 0), 1);
      this.log.info(text ?? `progress ${Math.floor(progress * 100)} %`, { progress });
    };
  }

  #writer(level: LogLevel): WriteLine {
    return (message, data) => this.#lines.add(this.#attempt, level, message, data);
  }
}
