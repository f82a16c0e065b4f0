/**
 * Keeps callers to their namespaces.
 *
 * What a call is about is in a namespace: the one that its key names, or the one
 * that the job or execution of its id has had since it was made. That never
 * changes, so it is judged before the operation begins, outside its transaction,
 * and remembered. What is in a namespace where the caller holds no role is
 * refused in the words in which a missing thing is refused, and takes the same
 * look: what is remembered of a namespace that the caller does not see is asked
 * again, as a missing thing would be. Ids are numbers in the order of time;
 * what they tell of how busy others are is all that one tenant learns of another.
 *
 * Calls about many things are narrowed: `within` is added to filters and
 * selectors, and makes them choose in the caller's namespaces alone.
 */
import { DomainError } from '../../domain/errors.ts';
import type { JobRef } from '../../domain/job.ts';
import type { Store } from '../../store/store.ts';
import type { Caller } from '../operations.ts';
import { executionNotFound, jobNotFound, namespaceNotFound, permissionDenied } from '../refusals.ts';

/** So many jobs and executions are remembered, the oldest forgotten first. */
const maxRemembered = 100_000;

export class Tenancy {
  readonly #store: Pick<Store, 'db' | 'tenancy' | 'namespaces'>;
  readonly #jobs = new Map<number, string>();
  readonly #executions = new Map<number, string>();
  readonly #namespaces = new Set<string>();

  constructor(store: Pick<Store, 'db' | 'tenancy' | 'namespaces'>) {
    this.#store = store;
  }

  /** Refuses a job that the caller may not do this to; where it is not in sight, as one that does not exist. */
  async admitJob(ref: JobRef, caller: Caller): Promise<void> {
    if (mayEverywhere(caller)) return;
    const [namespace] = await this.namespacesOfJobs([ref], caller);
    admit(caller, namespace, () => jobNotFound(ref));
  }

  async admitExecution(executionId: number, caller: Caller): Promise<void> {
    if (mayEverywhere(caller)) return;
    const namespaces = await this.namespacesOfExecutions([executionId], caller);
    admit(caller, namespaces.get(executionId), () => executionNotFound(executionId));
  }

  /** Refuses a namespace in which the caller may not do this, or which does not exist. */
  async admitNamespace(namespace: string, caller: Caller): Promise<void> {
    admit(caller, namespace, () => namespaceNotFound(namespace));
    if (this.#namespaces.has(namespace)) return;
    if (!(await this.#store.namespaces.find(this.#store.db, namespace))) throw namespaceNotFound(namespace);
    this.#namespaces.add(namespace);
  }

  /** Whether the caller may do this in the namespace of a backfill, which exists. */
  async admitsBackfill(backfillId: number, caller: Caller): Promise<boolean> {
    if (mayEverywhere(caller)) return true;
    const namespace = await this.#store.tenancy.findOfBackfill(this.#store.db, backfillId);
    if (namespace === undefined || !caller.access.sees(namespace)) return false;
    if (!caller.access.allows(caller.permission, namespace)) throw permissionDenied(caller, namespace);
    return true;
  }

  /** The namespaces of jobs in their order; undefined for one whose id names none. */
  async namespacesOfJobs(refs: readonly JobRef[], caller: Caller): Promise<readonly (string | undefined)[]> {
    const ids = refs.flatMap((ref) => ('id' in ref ? [ref.id] : []));
    const found = await remembered(this.#jobs, ids, caller, (missing) =>
      this.#store.tenancy.ofJobs(this.#store.db, missing),
    );
    return refs.map((ref) => ('id' in ref ? found.get(ref.id) : ref.key.namespace));
  }

  namespacesOfExecutions(
    executionIds: readonly number[],
    caller: Caller,
  ): Promise<ReadonlyMap<number, string>> {
    return remembered(this.#executions, executionIds, caller, (missing) =>
      this.#store.tenancy.ofExecutions(this.#store.db, missing),
    );
  }
}

/** Whether a caller may do what it asks in every namespace: then there is nothing to look up. */
export const mayEverywhere = ({ access, permission }: Caller): boolean => access.allowsEverywhere(permission);

/** Refuses what the caller may not do in a namespace; where it holds no role there, by `missing`. */
export function admit(caller: Caller, namespace: string | undefined, missing: () => DomainError): void {
  const isMissing = namespace === undefined;
  // The same work in both cases: what an error costs to make can be told by who calls often enough.
  if (isMissing || !caller.access.sees(namespace)) throw outOfSight(missing(), !isMissing);
  if (!caller.access.allows(caller.permission, namespace)) throw permissionDenied(caller, namespace);
}

/** The refusal of something that is missing, for something that is out of sight: the same for the caller, not for the audit. */
const outOfSight = ({ reason, message, details }: DomainError, deniedAccess: boolean): DomainError =>
  new DomainError(reason, message, { ...details, deniedAccess });

/** Narrows a filter or a selector to the namespaces in which the caller may do this. */
export function narrow<Choice extends { readonly namespace?: string; readonly within?: readonly string[] }>(
  choice: Choice,
  caller: Caller,
): Choice {
  const within = caller.access.namespacesWith(caller.permission);
  if (within === undefined) return choice;
  const { namespace } = choice;
  const isForbidden = namespace !== undefined && caller.access.sees(namespace) && !within.includes(namespace);
  if (isForbidden) throw permissionDenied(caller, namespace);
  return { ...choice, within };
}

/** Looks things up, what is remembered only where the caller sees it, and remembers what was found. */
async function remembered(
  known: Map<number, string>,
  ids: readonly number[],
  { access }: Caller,
  look: (ids: readonly number[]) => Promise<ReadonlyMap<number, string>>,
): Promise<ReadonlyMap<number, string>> {
  const found = new Map<number, string>();
  const missing: number[] = [];
  for (const id of ids) {
    const namespace = known.get(id);
    if (namespace !== undefined && access.sees(namespace)) found.set(id, namespace);
    else missing.push(id);
  }
  if (missing.length === 0) return found;
  for (const [id, namespace] of await look(missing)) {
    found.set(id, namespace);
    known.set(id, namespace);
  }
  for (const oldest of known.keys()) {
    if (known.size <= maxRemembered) break;
    known.delete(oldest);
  }
  return found;
}
