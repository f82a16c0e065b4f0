import type { Namespace, Queue } from '../domain/namespace.ts';
import type { RunLimits } from '../domain/run-limits.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { LimitSettling } from './limit-settling.ts';
import type { NamespaceDraft, NamespaceOperations, Page, QueueDraft } from './operations.ts';
import { pageByName } from './page-token.ts';
import { namespaceAlreadyExists, namespaceNotFound } from './refusals.ts';

export type NamespaceDeskOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'namespaces' | 'queues'>;
  readonly settling: Pick<LimitSettling, 'pass'>;
  readonly notifier: Pick<Notifier, 'notify'>;
};

/** What the outside may ask of namespaces and queues: what they are called, and their limits. */
export class NamespaceDesk implements NamespaceOperations {
  readonly #options: NamespaceDeskOptions;

  constructor(options: NamespaceDeskOptions) {
    this.#options = options;
  }

  async create(draft: NamespaceDraft): Promise<Namespace> {
    const { store } = this.#options;
    const namespace = await store.transaction(async (tx) => {
      if (!(await store.namespaces.insert(tx, draft))) throw namespaceAlreadyExists(draft.name);
      return store.namespaces.find(tx, draft.name);
    });
    return namespace!;
  }

  async list(
    { within }: { readonly within?: readonly string[] },
    page: Page,
  ): Promise<{ readonly namespaces: readonly Namespace[]; readonly nextPageToken: string }> {
    const { store } = this.#options;
    const { items, nextPageToken } = await pageByName(['namespaces', within ?? null], page, (after, limit) =>
      store.namespaces.list(store.db, within, after, limit),
    );
    return { namespaces: items, nextPageToken };
  }

  async update(
    name: string,
    changes: { readonly description?: string; readonly limits?: RunLimits },
  ): Promise<Namespace> {
    const { store } = this.#options;
    const namespace = await store.transaction((tx) => store.namespaces.update(tx, name, changes));
    if (!namespace) throw namespaceNotFound(name);
    if (changes.limits) await this.#settle();
    return namespace;
  }

  async putQueue({ namespace, name, limits }: QueueDraft): Promise<Queue> {
    const { store } = this.#options;
    const queue = await store.transaction(async (tx) => {
      const [id] = await store.queues.ensure(tx, namespace, [name]);
      await store.namespaces.limitQueue(tx, id!, limits);
      return store.namespaces.findQueue(tx, namespace, name);
    });
    await this.#settle();
    return queue!;
  }

  async listQueues(
    namespace: string,
    page: Page,
  ): Promise<{ readonly queues: readonly Queue[]; readonly nextPageToken: string }> {
    const { store } = this.#options;
    const { items, nextPageToken } = await pageByName(['queues', namespace], page, (after, limit) =>
      store.namespaces.listQueues(store.db, namespace, after, limit),
    );
    return { queues: items, nextPageToken };
  }

  /** The change is committed: what waits is put into the lanes that it makes, and may go on. */
  async #settle(): Promise<void> {
    await this.#options.settling.pass();
    this.#options.notifier.notify('pending');
  }
}
