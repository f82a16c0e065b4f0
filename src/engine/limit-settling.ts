import type { Store } from '../store/store.ts';

/**
 * Puts open executions into the lanes that changed limits make (lanes.ts).
 *
 * A change of limits is one short transaction, however much is open. Whoever
 * made it then settles once, so that it takes hold at once for what waits; the
 * leader does so again at every pass until the change is so old that no
 * transaction which had not seen it can still write rows. The instance is
 * killed in between: the change says of itself that it is not settled. Two
 * settle at once, or one under an older term: each makes of a row what the
 * limits of this moment say, so nothing can go wrong but work done twice.
 */
export class LimitSettling {
  readonly #store: Pick<Store, 'db' | 'namespaces'>;

  constructor(store: Pick<Store, 'db' | 'namespaces'>) {
    this.#store = store;
  }

  /** Settles what has changed; returns whether anything had. */
  async pass(): Promise<boolean> {
    const { db, namespaces } = this.#store;
    const unsettled = await namespaces.listUnsettled(db);
    if (unsettled.namespaces.length === 0 && unsettled.queueIds.length === 0) return false;
    for (let after: number | undefined = 0; after !== undefined; )
      after = await namespaces.settle(db, unsettled, after);
    await namespaces.concludeSettling(db, unsettled);
    return true;
  }
}
