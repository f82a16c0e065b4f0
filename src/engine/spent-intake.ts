/**
 * What this instance knows of namespaces whose bucket of executions is empty.
 *
 * Who calls without a pause at a limit is refused thousands of times a second;
 * asked of the database, each refusal would cost a transaction that locks the
 * row of the bucket, and delay everybody else. So a refusal is remembered until
 * there is room for one more, a second at most: a limit that is raised, and a
 * clock that jumps, make themselves felt that soon. A limit that is lifted does
 * at once, because whether a namespace has one is read with the job.
 *
 * Only of grants of nothing: what stands in the way was committed by others
 * then, whatever becomes of the transaction that asked.
 */
import type { DomainError } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Tx } from '../store/database.ts';
import type { Demand, Grant } from '../store/intake-store.ts';
import type { Store } from '../store/store.ts';
import { tooManyExecutions } from './too-many-executions.ts';

/** How long a refusal is believed at most, in milliseconds. */
const believedMs = 1_000;

/** How many namespaces are remembered. */
const maxNamespaces = 10_000;

export class SpentIntake {
  readonly #store: Pick<Store, 'intake'>;
  readonly #clock: Clock;
  readonly #spent = new Map<
    string,
    { readonly grant: Grant; readonly roomAtMs: number; readonly untilMs: number }
  >();

  constructor({ store, clock }: { readonly store: Pick<Store, 'intake'>; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Books executions in the database, and remembers which namespaces have granted none. */
  async bookExecutions(tx: Tx, demands: readonly Demand[]): Promise<ReadonlyMap<string, Grant>> {
    const askedMs = this.#clock.monotonicMs();
    const grants = await this.#store.intake.bookExecutions(tx, demands);
    for (const [namespace, grant] of grants) if (grant.granted === 0) this.#note(namespace, grant, askedMs);
    return grants;
  }

  #note(namespace: string, grant: Grant, askedMs: number): void {
    const roomAtMs = askedMs + grant.waitMs;
    this.#spent.delete(namespace);
    this.#spent.set(namespace, { grant, roomAtMs, untilMs: Math.min(roomAtMs, askedMs + believedMs) });
    const [oldest] = this.#spent.keys();
    if (this.#spent.size > maxNamespaces) this.#spent.delete(oldest!);
  }

  /** The refusal of one more execution, where it is known; undefined where the database has to be asked. */
  refusalOf(namespace: string): DomainError | undefined {
    const spent = this.#spent.get(namespace);
    if (!spent) return undefined;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < spent.untilMs) {
      return tooManyExecutions(namespace, { ...spent.grant, waitMs: Math.ceil(spent.roomAtMs - nowMs) });
    }
    this.#spent.delete(namespace);
    return undefined;
  }
}
