import type { Namespace, NamespaceLimits, Queue } from '../domain/namespace.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import { auditRow, changesBetween } from './audit/audit-rows.ts';
import type { LimitSettling } from './limit-settling.ts';
import type { Caller, NamespaceDraft, NamespaceOperations, Page, QueueDraft } from './operations.ts';
import { pageByName } from './page-token.ts';
import { namespaceAlreadyExists, namespaceNotFound } from './refusals.ts';

export type NamespaceDeskOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'namespaces' | 'queues' | 'audits'>;
  readonly settling: Pick<LimitSettling, 'pass'>;
  readonly notifier: Pick<Notifier, 'notify'>;
};

/** What the outside may ask of namespaces and queues: what they are called, and their limits. */
export class NamespaceDesk implements NamespaceOperations {
  readonly #options: NamespaceDeskOptions;

  constructor(options: NamespaceDeskOptions) {
    this.#options = options;
  }

  async create(draft: NamespaceDraft, caller: Caller): Promise<Namespace> {
    const { store } = this.#options;
    const namespace = await store.transaction(async (tx) => {
      if (!(await store.namespaces.insert(tx, draft))) throw namespaceAlreadyExists(draft.name);
      const { name, description, limits } = draft;
      const about = { namespace: name, object: { type: 'namespace', name } };
      await store.audits.insert(tx, [
        auditRow(caller, { ...about, after: { description, limits }, details: { changed: 1 } }),
      ]);
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
    changes: { readonly description?: string; readonly limits?: NamespaceLimits },
    caller: Caller,
  ): Promise<Namespace> {
    const { store } = this.#options;
    const namespace = await store.transaction(async (tx) => {
      const before = await store.namespaces.lock(tx, name);
      const after = before && (await store.namespaces.update(tx, name, changes));
      if (!after) throw namespaceNotFound(name);
      const about = { namespace: name, object: { type: 'namespace', name } };
      const change = changesBetween(settingsOf(before), settingsOf(after));
      await store.audits.insert(tx, [auditRow(caller, { ...about, ...change })]);
      return after;
    });
    if (changes.limits) await this.#settle();
    return namespace;
  }

  async putQueue({ namespace, name, limits }: QueueDraft, caller: Caller): Promise<Queue> {
    const { store } = this.#options;
    const queue = await store.transaction(async (tx) => {
      const isNew = (await store.namespaces.findQueue(tx, namespace, name)) === undefined;
      const [id] = await store.queues.ensure(tx, namespace, [name]);
      const before = await store.namespaces.lockQueue(tx, id!);
      await store.namespaces.limitQueue(tx, id!, limits);
      const after = await store.namespaces.findQueue(tx, namespace, name);
      const change = changesBetween({ limits: before?.limits }, { limits: after?.limits });
      const details = isNew ? { changed: 1 } : change.details;
      await store.audits.insert(tx, [
        auditRow(caller, { namespace, object: { type: 'queue', name }, ...change, details }),
      ]);
      return after;
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

/** What a user sets of a namespace. */
const settingsOf = ({ description, limits }: Namespace): Pick<Namespace, 'description' | 'limits'> => ({
  description,
  limits,
});
