import type { Tx } from '../../store/database.ts';
import type { Store } from '../../store/store.ts';
import type { CancelChoice } from '../operations.ts';
import { nameOfRef } from '../refusals.ts';
import type { AuditedChange, AuditedObject } from './audit-rows.ts';

/** How many executions and jobs are named in the row of one Cancel. */
const namedItems = 20;

/** What a Cancel found. */
export type FoundToCancel = {
  /** The executions that it ended or asked to stop. */
  readonly canceled: readonly number[];
  /** The jobs that the choice names or whose executions it names, as far as there are any. */
  readonly jobIds: readonly number[];
};

/** What a Cancel was about, and what it did. */
export async function auditedCancel(
  tx: Tx,
  store: Pick<Store, 'jobs'>,
  choice: CancelChoice,
  reason: string,
  { canceled, jobIds }: FoundToCancel,
): Promise<AuditedChange> {
  const { namespaces, names } = await store.jobs.summarize(tx, jobIds, namedItems);
  return {
    namespace: namespaceOf(choice) ?? (namespaces.length === 1 ? namespaces[0] : undefined),
    object: objectOf(choice, jobIds, names),
    details: {
      ...detailsOf(choice),
      changed: canceled.length,
      canceled: canceled.slice(0, namedItems),
      jobs: names,
      reason,
    },
  };
}

function namespaceOf(choice: CancelChoice): string | undefined {
  if ('selector' in choice) return choice.selector.namespace;
  return 'namespace' in choice ? choice.namespace : undefined;
}

function objectOf(choice: CancelChoice, jobIds: readonly number[], names: readonly string[]): AuditedObject {
  if ('executionIds' in choice) {
    const { executionIds } = choice;
    return executionIds.length === 1
      ? { type: 'execution', id: executionIds[0]!, name: names[0] }
      : { type: 'execution' };
  }
  if ('backfillId' in choice) return { type: 'backfill', id: choice.backfillId, name: names[0] };
  if ('namespace' in choice) return { type: 'namespace', name: choice.namespace };
  if ('selector' in choice || choice.jobs.length !== 1) return { type: 'job' };
  const [ref] = choice.jobs;
  return { type: 'job', id: jobIds[0], name: names[0] ?? nameOfRef(ref!) };
}

function detailsOf(choice: CancelChoice): Readonly<Record<string, unknown>> {
  if ('executionIds' in choice) return { asked: choice.executionIds.length };
  if ('jobs' in choice) return { asked: choice.jobs.length };
  return 'selector' in choice ? { selector: choice.selector } : {};
}
