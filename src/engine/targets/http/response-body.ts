import type { LogLine } from '../../../domain/execution.ts';
import type { Json } from '../../../domain/job.ts';

/** Reads one response body as it arrives, in bounded memory. */
export type ResponseBody = {
  /** Takes the next bytes; returns the log lines that they complete. */
  push(chunk: Buffer): readonly LogLine[];
  /**
   * Takes the end of the body; returns the log lines that are left. Called once,
   * when nothing follows. Of a broken one the last line is a beginning.
   */
  end(isBroken?: boolean): readonly LogLine[];
  /** Nothing that follows will be looked at: the connection can go. */
  readonly full: boolean;
  /** The JSON object that the callee returned; known at the end. */
  readonly result: { [key: string]: Json } | undefined;
  /** The callee said in the body that the attempt failed. */
  readonly error: string | undefined;
  /** What the lines have used up of `maxLogBytes`; `usedUpBytes` once a line has said that it is used up. */
  readonly loggedBytes: number;
  /** What the body says about a failure, for the attempt's message; known at the end. */
  readonly text: string;
};

export type BodyLimits = {
  /** The most bytes of a log line. */
  readonly maxLineBytes: number;
  /** The most bytes of all lines that a streamed body may add to the log. */
  readonly maxLogBytes: number;
  /** The most bytes of a body that is read as a whole. */
  readonly maxBodyBytes: number;
};
