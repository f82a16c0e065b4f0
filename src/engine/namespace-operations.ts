import type { Namespace, NamespaceDraft, NamespaceLimits, Queue, QueueDraft } from '../domain/namespace.ts';
import type { Caller, Page } from './operations.ts';

export type { NamespaceDraft, QueueDraft };

/** What the outside may ask of namespaces and queues. */
export type NamespaceOperations = {
  /** Refuses a name that is taken. */
  create(draft: NamespaceDraft, caller: Caller): Promise<Namespace>;
  /** By name. `within` absent: all. */
  list(
    filter: { readonly within?: readonly string[] },
    page: Page,
    caller: Caller,
  ): Promise<{ readonly namespaces: readonly Namespace[]; readonly nextPageToken: string }>;
  /** Changes what is given. */
  update(
    name: string,
    changes: { readonly description?: string; readonly limits?: NamespaceLimits },
    caller: Caller,
  ): Promise<Namespace>;
  /** Makes a queue where there is none, and sets its limits. */
  putQueue(draft: QueueDraft, caller: Caller): Promise<Queue>;
  /** By name. */
  listQueues(
    namespace: string,
    page: Page,
    caller: Caller,
  ): Promise<{ readonly queues: readonly Queue[]; readonly nextPageToken: string }>;
};
