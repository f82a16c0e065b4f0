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
import { definitionOf, type Job, type JobDefinition, type JobKey } from '../domain/job.ts';
import type { Schedule } from '../domain/schedule/schedule.ts';
import type { Tx } from '../store/database.ts';
import type { Timing } from '../store/job-store.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { LockedTimer } from '../store/timer-store.ts';
import { auditedChoice, auditedSave, auditRow } from './audit/audit-rows.ts';
import { maskedDefinition } from './audit/masked-definition.ts';
import { lockChosen } from './chosen-jobs.ts';
import { anchorSchedules, checkDefinition, definitionFromDraft } from './definition-check.ts';
import type { Fired, FirePlanning, LateFires } from './fire-planning.ts';
import { refuseFrequentSchedules, refuseSurplusJob } from './intake.ts';
import type { CachedJob } from './job-cache.ts';
import type { JobContinuation } from './job-continuation.ts';
import { queueIdOf, useCalendars, useSecrets } from './job-references.ts';
import { firesAlike, settleOwed, timingFrom } from './job-timing.ts';
import type { AddJob, Caller, DeleteChoice, UpdateJob } from './operations.ts';
import { jobAlreadyExists, jobNotFound, refuseOlder, requestIdReused } from './refusals.ts';

export type JobCommandsOptions = {
  readonly store: Pick<
    Store,
    | 'db'
    | 'transaction'
    | 'rehearse'
    | 'jobs'
    | 'intake'
    | 'audits'
    | 'timers'
    | 'leases'
    | 'ledger'
    | 'requests'
    | 'feed'
    | 'calendars'
    | 'cancels'
    | 'pauses'
    | 'triggers'
    | 'continuations'
    | 'queues'
    | 'secrets'
    | 'namespaces'
  >;
  readonly planning: FirePlanning;
  readonly continuation: Pick<JobContinuation, 'announce'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  /** Makes the id of a pause. */
  readonly newPauseId: () => string;
};

/** A job that was made or changed, and what was fired on the way. */
type Saved = { readonly id: number; readonly fired: readonly Fired[] };

export class JobCommands {
  readonly #options: JobCommandsOptions;

  constructor(options: JobCommandsOptions) {
    this.#options = options;
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
      const inserted = await this.#insert(tx, request, caller);
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
      const saved = await this.#save(tx, before, (nowMs) => ({
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

  async #insert(tx: Tx, request: AddJob, caller: Caller): Promise<Saved | undefined> {
    const { store, newPauseId } = this.#options;
    const { key, draft, startPaused } = request;
    const { now } = await store.feed.readPosition(tx);
    const nowMs = now.getTime();
    const definition = definitionFromDraft(draft, anchorSchedules(draft.schedules, [], nowMs));
    // Drawn first, because `H` is spread by it.
    const [newId] = await store.triggers.drawIds(tx, 1);
    const timetable = checkDefinition(definition, 'job', nowMs - definition.misfire.graceMs, newId!);
    const { timing, late } = timingFrom(timetable, definition, nowMs);
    // What lies within the grace but is no one-shot does not fire any more.
    if (definition.schedules.length > 0 && timing.nextFireMs === null && !late)
      checkDefinition(definition, 'job', nowMs, newId!);
    await store.namespaces.ensure(tx, key.namespace);
    await refuseFrequentSchedules(tx, store, key.namespace, definition.schedules, newId!, nowMs);
    const queueId = await queueIdOf(tx, store, key, definition);
    await useSecrets(tx, store, key, definition);
    const maxJobs = await store.intake.lockJobs(tx, key.namespace);
    const id = await store.jobs.insert(tx, newId!, key, definition, timing, queueId);
    if (id === undefined) return undefined;
    await refuseSurplusJob(tx, store, key.namespace, maxJobs);
    if (startPaused) {
      await store.pauses.insert(tx, [id], { id: newPauseId(), actor: caller.actor, reason: 'added paused' });
    }
    const job: CachedJob = { id, key, generation: 1, definition, timetable: () => timetable };
    const timer = { jobId: id, generation: 1, nowMs, ...timing };
    const fired = await this.#settleSaved(tx, job, timer, late, []);
    return { id, fired: fired ? [fired] : [] };
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
    return this.#save(tx, before, (nowMs) =>
      definitionFromDraft(draft, anchorSchedules(draft.schedules, before.schedules, nowMs)),
    );
  }

  /** Saves a new definition of a locked job; its timing too when the edit touches it. */
  async #save(tx: Tx, before: Job, make: (nowMs: number) => JobDefinition): Promise<Saved> {
    const { store, planning } = this.#options;
    const { id, key, schedules } = before;
    const { now } = await store.feed.readPosition(tx);
    const definition = make(now.getTime());
    if (firesAlike(schedules, definition.schedules)) {
      checkDefinition({ ...definition, schedules: [] }, 'job', now.getTime(), id);
      await this.#store(tx, before, { ...definition, schedules }, undefined);
      await this.#letGo(tx, before, definition);
      return { id, fired: [] };
    }
    const timetable = checkDefinition(definition, 'job', now.getTime() - definition.misfire.graceMs, id);
    await refuseFrequentSchedules(tx, store, key.namespace, definition.schedules, id, now.getTime());
    const settled = await settleOwed(tx, store, planning, [id]);
    const timer = settled.timers.get(id)!;
    const { timing, late } = timingFrom(timetable, definition, timer.nowMs, {
      schedules,
      progress: timer.progress,
    });
    await this.#store(tx, before, definition, timing);
    await this.#letGo(tx, before, definition);
    const generation = before.generation + 1;
    const job: CachedJob = { id, key, generation, definition, timetable: () => timetable };
    const fired = await this.#settleSaved(tx, job, { ...timer, generation, ...timing }, late, schedules);
    return { id, fired: [settled.fired, fired].filter((each) => each !== undefined) };
  }

  /** With ALLOW nothing waits for another: what is buffered may begin. */
  async #letGo(tx: Tx, before: Job, { overlap }: JobDefinition): Promise<void> {
    if (overlap !== 'ALLOW' || before.bufferedCount === 0) return;
    await this.#options.store.continuations.releaseAll(tx, before.id);
  }

  /** Stores a definition; what waits of the job waits where the new target says. */
  async #store(tx: Tx, before: Job, definition: JobDefinition, timing: Timing | undefined): Promise<void> {
    const { store } = this.#options;
    const queueId = await queueIdOf(tx, store, before.key, definition);
    await useSecrets(tx, store, before.key, definition);
    await store.jobs.saveDefinition(tx, before.id, definition, timing, queueId);
    const isMoved = JSON.stringify(placeOf(before)) !== JSON.stringify(placeOf(definition));
    if (isMoved) await store.jobs.moveOpen(tx, before.id);
  }

  /**
   * Has a saved job use the calendars that its schedules name, and fires the
   * one-shots of it that have just passed.
   */
  async #settleSaved(
    tx: Tx,
    job: CachedJob,
    timer: LockedTimer,
    late: Pick<LateFires, 'places' | 'afterMs'> | undefined,
    before: readonly Schedule[],
  ): Promise<Fired | undefined> {
    const { store, planning } = this.#options;
    await useCalendars(tx, store, job, before);
    if (!late) return undefined;
    const firings = await planning.planLate(tx, [{ job, timer, progress: timer.progress, ...late }]);
    return planning.write(tx, firings, await store.leases.lockCurrentTerm(tx));
  }

  async #get(tx: Tx, id: number): Promise<Job> {
    const job = await this.#options.store.jobs.find(tx, { id });
    if (!job) throw jobNotFound({ id });
    return job;
  }
}

/** Where the executions of a job wait. */
const placeOf = ({ target, maxRunning }: Pick<JobDefinition, 'target' | 'maxRunning'>): unknown => [
  maxRunning > 0,
  target.kind === 'worker' && [target.queue, Object.entries(target.labels).toSorted()],
];
