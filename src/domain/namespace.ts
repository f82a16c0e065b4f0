import type { RunLimits } from './run-limits.ts';

/** What separates tenants: the outermost part of a job's key. */
export type Namespace = {
  readonly name: string;
  readonly description: string;
  readonly limits: RunLimits;
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
