/**
 * What a call that was carried out leaves in the audit. Its row is written in
 * the transaction that makes the change, so that there are both or neither:
 *
 * - the instance is killed, or the database goes away, before the commit: there
 *   is neither, and the caller is told that it is not known;
 * - the reply to the commit is lost: there are both, and the caller is told the
 *   same; a repetition by request_id is answered from the first call and leaves
 *   no second row, because it changes nothing;
 * - the transaction meets another one and is run again: the row of the first
 *   run was rolled back with it;
 * - two leaders are alive: neither writes here, only calls do.
 *
 * A call that finds everything as it should be (a pause that stands, nothing to
 * delete, the value that a secret has) is acknowledged, and leaves its row with
 * `changed: 0`. A dry run changes nothing by design and leaves none.
 */
import { definitionOf, type Job, type JobDefinition } from '../../domain/job.ts';
import type { AuditImage, AuditRow } from '../../store/audit-store.ts';
import type { Tx } from '../../store/database.ts';
import type { Store } from '../../store/store.ts';
import type { Caller, JobChoice } from '../operations.ts';
import { nameOfRef } from '../refusals.ts';
import { boundedImage } from './bounded-image.ts';
import { maskedDefinition } from './masked-definition.ts';

/** What a call was about. */
export type AuditedObject = { readonly type: string; readonly id?: number; readonly name?: string };

/** What a call did. */
export type AuditedChange = {
  /** Absent: of none, or of several. */
  readonly namespace?: string;
  readonly object: AuditedObject;
  readonly before?: AuditImage;
  readonly after?: AuditImage;
  readonly details?: AuditImage;
};

/** The row of a call that was carried out. */
export function auditRow(
  { actor, method, peer, requestId }: Caller,
  { namespace, object, before, after, details }: AuditedChange,
  outcome = 'OK',
): AuditRow {
  return {
    actor,
    method,
    namespace: namespace ?? null,
    objectType: object.type,
    objectId: object.id ?? null,
    objectName: object.name ?? null,
    peer,
    requestId,
    outcome,
    before: before ? boundedImage(before) : null,
    after: after ? boundedImage(after) : null,
    details: details ? boundedImage(details) : null,
  };
}

/** What differs between two states of a thing, by its fields: how they were and how they are. */
export function changesBetween(
  before: AuditImage,
  after: AuditImage,
  show: (state: AuditImage) => AuditImage = (state) => state,
): { readonly before: AuditImage; readonly after: AuditImage; readonly details: AuditImage } {
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]),
  );
  const only = (state: AuditImage): AuditImage =>
    Object.fromEntries(Object.entries(show(state)).filter(([field]) => fields.includes(field)));
  return { before: only(before), after: only(after), details: { changed: fields.length > 0 ? 1 : 0 } };
}

/** The row of a job that was made, with all of its definition, or changed, with the fields that differ. */
export function auditedSave(caller: Caller, before: Job | undefined, job: Job): AuditRow {
  const { id, key } = job;
  const about = { namespace: key.namespace, object: { type: 'job', id, name: nameOfRef({ key }) } };
  const after = definitionOf(job);
  const change = before
    ? // What differs only in what is masked looks the same on both sides, and is shown all the same.
      changesBetween(definitionOf(before), after, (state) => maskedDefinition(state as JobDefinition))
    : { after: maskedDefinition(after), details: { changed: 1 } };
  return auditRow(caller, { ...about, ...change });
}

/** How many of the jobs that a call chose are named in its row. */
const namedJobs = 20;

/**
 * What a call that chose one job or many was about, and the details that say
 * which. `ids` are those that it found; `names` the first of them.
 */
export async function auditedChoice(
  tx: Tx,
  store: Pick<Store, 'jobs'>,
  choice: JobChoice,
  ids: readonly number[],
): Promise<Required<Pick<AuditedChange, 'object' | 'details'>> & Pick<AuditedChange, 'namespace'>> {
  const { namespaces, names } = await store.jobs.summarize(tx, ids, namedJobs);
  const common = namespaces.length === 1 ? namespaces[0] : undefined;
  if ('selector' in choice) {
    const { selector } = choice;
    return {
      namespace: selector.namespace ?? common,
      object: { type: 'job' },
      details: { selector, chosen: ids.length, jobs: names },
    };
  }
  const { job } = choice;
  return {
    namespace: common ?? ('key' in job ? job.key.namespace : undefined),
    object: {
      type: 'job',
      id: ids[0] ?? ('id' in job ? job.id : undefined),
      name: names[0] ?? ('key' in job ? nameOfRef(job) : undefined),
    },
    details: {},
  };
}
