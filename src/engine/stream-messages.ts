import type { Execution, LogEntry, LogLevel } from '../domain/execution.ts';
import type { JobChoice } from './operations.ts';

/** What a stream is of, and where it begins. */
export type StreamRequest = {
  readonly source: { readonly executionId: number } | JobChoice;
  /** Empty: from the beginning. */
  readonly cursor: string;
  readonly follow: boolean;
  readonly minLevel: LogLevel;
  /** Absent: all lines. */
  readonly tail?: number;
};

/** What a stream tells. */
export type StreamEvent =
  | { readonly kind: 'execution'; readonly execution: Execution }
  | { readonly kind: 'log'; readonly entry: LogEntry }
  | {
      readonly kind: 'gap';
      readonly executionId: number;
      readonly firstSeq: number;
      readonly lastSeq: number;
      readonly count: number;
    }
  | { readonly kind: 'heartbeat'; readonly at: Date };

/** An event, and where to go on behind it. */
export type StreamMessage = { readonly cursor: string; readonly event: StreamEvent };
