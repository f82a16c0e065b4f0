/** What callees that report later ask of the engine, apart from how it travels. */
import type { LogLine } from '../../domain/execution.ts';
import type { Json } from '../../domain/job.ts';

/** Lines of one attempt. */
export type LogReport = {
  readonly token: string;
  readonly lines: readonly LogLine[];
  /** How many lines were sent before these; absent: these are new. */
  readonly offset?: number;
};

/** What became of reported lines. */
export type LogReceipt = {
  readonly stored: number;
  /** Lines that had arrived before. */
  readonly repeated: number;
  /** Lines for which the attempt's allowance had no room. */
  readonly dropped: number;
  /** How many lines of the attempt have arrived by now. */
  readonly nextOffset: number;
  readonly isCancelRequested: boolean;
};

/** How an attempt ended, in the words of its callee. */
export type EndReport = {
  readonly token: string;
  readonly state: 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  readonly message: string;
  readonly result?: { [key: string]: Json };
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
};

/** The reports of callees, each authorised by the token of its attempt. */
export type AttemptOperations = {
  appendLogs(report: LogReport): Promise<LogReceipt>;
  heartbeat(token: string): Promise<{ readonly isCancelRequested: boolean; readonly reportBy: Date }>;
  /** `alreadyEnded`: it had ended like this before, and nothing was changed. */
  complete(report: EndReport): Promise<{ readonly alreadyEnded: boolean }>;
};
