/** What a worker and an instance tell each other, apart from how it travels. */
import type { LogLine } from '../../domain/execution.ts';
import type { Json } from '../../domain/job.ts';
import type { Delivery } from '../targets/target.ts';

/** One attempt of one execution. */
export type AttemptRef = { readonly executionId: number; readonly attempt: number };

/** An attempt as a key of sets and maps. */
export const refKey = ({ executionId, attempt }: AttemptRef): string => `${executionId}/${attempt}`;

/** An attempt as a worker is told of it. */
export type Assignment = Delivery & {
  readonly queue: string;
  /** How long it may take, in milliseconds. */
  readonly timeoutMs: number;
};

/** How a worker introduces itself. */
export type WorkerHello = {
  readonly namespace: string;
  /** Unique in the namespace. */
  readonly workerId: string;
  readonly queues: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** How many attempts it runs at once. */
  readonly capacity: number;
  readonly version: string;
  /** What it runs already, and what it has ended without an ack: from a stream before. */
  readonly running: readonly AttemptRef[];
};

/** How an attempt ended at a worker. */
export type WorkerResult = AttemptRef & {
  readonly state: 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  readonly message: string;
  readonly result?: { [key: string]: Json };
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
};

/** What a worker says after its hello. */
export type WorkerReport =
  | { readonly kind: 'heartbeat' }
  | { readonly kind: 'started'; readonly attempts: readonly AttemptRef[] }
  | { readonly kind: 'logs'; readonly entries: readonly (AttemptRef & { readonly line: LogLine })[] }
  | { readonly kind: 'results'; readonly results: readonly WorkerResult[] }
  | { readonly kind: 'goodbye' };

/** What an instance says. */
export type WorkerEvent =
  | {
      readonly kind: 'welcome';
      readonly heartbeatIntervalMs: number;
      readonly reconnectGraceMs: number;
      readonly instance: string;
      /** Of `running`: what is not the worker's any more. */
      readonly rejected: readonly AttemptRef[];
    }
  | { readonly kind: 'assignments'; readonly assignments: readonly Assignment[] }
  | { readonly kind: 'cancel'; readonly attempts: readonly AttemptRef[]; readonly reason: string }
  | { readonly kind: 'drain' }
  /** Results that are stored, or came too late to change anything. */
  | { readonly kind: 'ack'; readonly attempts: readonly AttemptRef[] };

/** The stream to a worker. */
export type WorkerStream = {
  send(event: WorkerEvent): void;
  /** Ends it with a failure. */
  fail(error: unknown): void;
};

/** A worker that is connected: what comes from it goes in here. */
export type WorkerSession = {
  /** Resolves when more may be read: lines are read no faster than they can be stored. */
  receive(report: WorkerReport): Promise<void> | undefined;
  /** The stream has ended, whoever ended it. */
  close(): void;
};
