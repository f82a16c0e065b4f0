import type { RunLimits } from './run-limits.ts';

/** What the jobs of a namespace may take together, and what calls may make in it; what is absent has no limit. */
export type NamespaceLimits = RunLimits & {
  readonly maxJobs?: number;
  /** How many executions calls make in a minute. */
  readonly executionsPerMinute?: number;
  readonly logBytesPerAttempt?: number;
  /** How many streams are open at once on each instance. */
  readonly maxStreams?: number;
};

/** What separates tenants: the outermost part of a job's key. */
export type Namespace = {
  readonly name: string;
  readonly description: string;
  readonly limits: NamespaceLimits;
  readonly createdAt: Date;
  readonly updatedAt: Date;
};

/** A namespace as a user gives it. */
export type NamespaceDraft = Pick<Namespace, 'name' | 'description' | 'limits'>;

/** Where executions of one namespace wait for workers. */
export type Queue = {
  readonly namespace: string;
  readonly name: string;
  readonly limits: RunLimits;
  readonly createdAt: Date;
  readonly updatedAt: Date;
};

/** A queue as a user gives it. */
export type QueueDraft = Pick<Queue, 'namespace' | 'name' | 'limits'>;
