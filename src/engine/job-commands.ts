/**
 * Commands that make, change and delete jobs: each is one transaction that locks the timer rows of the
 * jobs it changes, so that it and firing come one after the other, whichever
 * instance does either. An error leaves nothing behind; a reply means that the
 * change is committed. After the commit the leader is told to look again.
 *
 * The reply to a commit is lost: Add may be repeated with its request_id;
 * Update tells by its etag; Delete may simply be repeated.
 *
 * Add with validateOnly is the same transaction, rolled back: what it answers
 * is what storing would have come to, and nobody is told of anything.
 */
import { DomainError } from '../domain/errors.ts';
import { definitionOf, type Job, type JobKey } from '../domain/job.ts';
import type { Tx } from '../store/database.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import { auditedChoice, auditedSave, auditRow } from './audit/audit-rows.ts';
import { maskedDefinition } from './audit/masked-definition.ts';
import { lockChosen } from './chosen-jobs.ts';
import { anchorSchedules, definitionFromDraft } from './definition-check.ts';
import type { JobContinuation } from './job-continuation.ts';
import { JobSaving, type JobSavingOptions, type Saved } from './job-saving.ts';
import type { AddJob, Caller, DeleteChoice, UpdateJob } from './operations.ts';
import { jobAlreadyExists, jobNotFound, refuseOlder, requestIdReused } from './refusals.ts';

export type JobCommandsOptions = JobSavingOptions & {
  readonly store: Pick<
    Store,
    'db' | 'transaction' | 'rehearse' | 'audits' | 'ledger' | 'requests' | 'cancels'
  >;
  readonly continuation: Pick<JobContinuation, 'announce'>;
  readonly notifier: Pick<Notifier, 'notify'>;
};

export class JobCommands {
  readonly #options: JobCommandsOptions;
  readonly #saving: JobSaving;

  constructor(options: JobCommandsOptions) {
    this.#options = options;
    this.#saving = new JobSaving(options);
  }

  async add(request: AddJob, caller: Caller): Promise<{ job: Job; created: boolean }> {
    const { store, notifier, continuation } = this.#options;
    const { key, validateOnly = false, requestDigest: digest } = request;
    const requestId = validateOnly ? '' : request.requestId;
    const run = validateOnly ? store.rehearse : store.transaction;
    const result = await run(async (tx) => {
      const replay = async () => {
        const earlier = requestId && (await store.requests.find(tx, key.namespace, 'Add', requestId));
        if (!earlier) return undefined;
        if (earlier.digest !== digest) throw requestIdReused(requestId);
        const job = await store.jobs.find(tx, { id: earlier.subjectId });
        if (!job) throw jobNotFound({ id: earlier.subjectId });
        return { job, created: job.generation === 1, fired: [] };
      };
      const replayed = await replay();
      if (replayed) return replayed;
      const inserted = await this.#saving.insert(tx, request, caller);
      if (inserted === undefined) {
        // Whoever took the key may have been this very request.
        const repeated = await replay();
        if (repeated) return repeated;
        if (!request.replace) throw jobAlreadyExists(key);
      }
      const before = inserted ? undefined : await this.#lockBefore(tx, key);
      const saved = inserted ?? (await this.#replace(tx, before!, request));
      if (requestId) {
        const [earlier] = await store.requests.use(tx, [
          { namespace: key.namespace, method: 'Add', requestId, digest, subjectId: saved.id },
        ]);
        if (earlier) throw requestIdReused(requestId);
      }
      const job = await this.#get(tx, saved.id);
      await store.audits.insert(tx, [auditedSave(caller, before, job)]);
      return { job, created: inserted !== undefined, fired: saved.fired };
    });
    // A leader that found the row locked by a rehearsal has left it for later.
    notifier.notify('timers');
    if (validateOnly) return { job: result.job, created: result.created };
    notifier.notify('pending');
    for (const fired of result.fired) continuation.announce(fired);
    return { job: result.job, created: result.created };
  }

  async update(request: UpdateJob, caller: Caller): Promise<Job> {
    const { store, notifier, continuation } = this.#options;
    const { job, fired } = await store.transaction(async (tx) => {
      const id = await store.jobs.lock(tx, request.job);
      if (id === undefined) throw jobNotFound(request.job);
      const before = await this.#get(tx, id);
      refuseOlder(before, request.etag);
      const { clearQueueTimeout, ...changes } = request.changes;
      const saved = await this.#saving.save(tx, before, (nowMs) => ({
        ...definitionOf(before),
        ...changes,
        ...(clearQueueTimeout && { queueTimeoutMs: undefined }),
        schedules: changes.schedules
          ? anchorSchedules(changes.schedules, before.schedules, nowMs)
          : before.schedules,
      }));
      const job = await this.#get(tx, id);
      await store.audits.insert(tx, [auditedSave(caller, before, job)]);
      return { job, fired: saved.fired };
    });
    for (const topic of ['timers', 'pending'] as const) notifier.notify(topic);
    for (const each of fired) continuation.announce(each);
    return job;
  }

  async delete(
    choice: DeleteChoice,
    onRunning: 'LEAVE' | 'CANCEL' | 'FAIL_IF_RUNNING',
    caller: Caller,
  ): Promise<{ deleted: number; existed: boolean }> {
    const { store, notifier } = this.#options;
    const deleted = await store.transaction(async (tx) => {
      const ids = await lockChosen(tx, store, choice, { mayBeMissing: true });
      const chosen = await auditedChoice(tx, store, choice, ids);
      const before = 'job' in choice ? await store.jobs.find(tx, choice.job) : undefined;
      await store.audits.insert(tx, [
        auditRow(caller, {
          ...chosen,
          before: before && maskedDefinition(definitionOf(before)),
          details: { ...chosen.details, changed: ids.length, onRunning },
        }),
      ]);
      if (ids.length === 0) return 0;
      if ('job' in choice && choice.etag) refuseOlder(await this.#get(tx, ids[0]!), choice.etag);
      if (onRunning === 'FAIL_IF_RUNNING') {
        const [open] = await store.ledger.listOpen(tx, { jobIds: ids }, 1);
        if (open) {
          const subject = `execution ${open.id}`;
          throw new DomainError('JOB_STATE_CONFLICT', `${subject} is open; nothing was deleted`, {
            metadata: { execution: String(open.id), job: String(open.jobId) },
            precondition: { type: 'EXECUTION_OPEN', subject, description: 'on_running is FAIL_IF_RUNNING' },
          });
        }
      }
      await store.cancels.cancel(tx, { jobIds: ids }, 'the job was deleted', {
        onlyWaiting: onRunning !== 'CANCEL',
      });
      await store.jobs.delete(tx, ids);
      return ids.length;
    });
    for (const topic of ['timers', 'cancel', 'feed'] as const) notifier.notify(topic);
    return { deleted, existed: deleted > 0 };
  }

  /** Locks the job that is to be replaced, and reads it. */
  async #lockBefore(tx: Tx, key: JobKey): Promise<Job> {
    const id = await this.#options.store.jobs.lock(tx, { key });
    // The job was deleted since the insert found it: another change came in between.
    if (id === undefined)
      throw new DomainError('CONCURRENT_CHANGE', 'the job was deleted meanwhile; try again', {
        retryAfterMs: 50,
      });
    return this.#get(tx, id);
  }

  #replace(tx: Tx, before: Job, { draft }: AddJob): Promise<Saved> {
    return this.#saving.save(tx, before, (nowMs) =>
      definitionFromDraft(draft, anchorSchedules(draft.schedules, before.schedules, nowMs)),
    );
  }

  async #get(tx: Tx, id: number): Promise<Job> {
    const job = await this.#options.store.jobs.find(tx, { id });
    if (!job) throw jobNotFound({ id });
    return job;
  }
}
