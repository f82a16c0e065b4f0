/**
 * Commands on jobs: each is one transaction that locks the timer rows of the
 * jobs it changes, so that it and firing come one after the other, whichever
 * instance does either. An error leaves nothing behind; a reply means that the
 * change is committed. After the commit the leader is told to look again.
 *
 * The reply to a commit is lost: Add may be repeated with its request_id;
 * Update tells by its etag; Pause, Resume and Delete may simply be repeated.
 */
import { DomainError } from '../domain/errors.ts';
import type { Job, JobDefinition } from '../domain/job.ts';
import type { Tx } from '../store/database.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import { anchorSchedules, checkDefinition, definitionFromDraft } from './definition-check.ts';
import type { JobCache } from './job-cache.ts';
import { firesAlike, settleOwed, timingFrom } from './job-timing.ts';
import type { AddJob, Caller, JobChoice, UpdateJob } from './operations.ts';
import { jobNotFound, requestIdReused } from './refusals.ts';

export type JobCommandsOptions = {
  readonly store: Pick<
    Store,
    'db' | 'transaction' | 'jobs' | 'timers' | 'leases' | 'ledger' | 'requests' | 'feed'
  >;
  readonly jobs: JobCache;
  readonly notifier: Pick<Notifier, 'notify'>;
  /** Makes the id of a pause. */
  readonly newPauseId: () => string;
};

/** The most jobs that one call changes. */
export const maxSelected = 10_000;

export class JobCommands {
  readonly #options: JobCommandsOptions;

  constructor(options: JobCommandsOptions) {
    this.#options = options;
  }

  async add(request: AddJob, caller: Caller): Promise<{ job: Job; created: boolean }> {
    const { store, notifier } = this.#options;
    const { key, requestId, requestDigest: digest } = request;
    const result = await store.transaction(async (tx) => {
      const replay = async (): Promise<{ job: Job; created: boolean } | undefined> => {
        const earlier = requestId && (await store.requests.find(tx, key.namespace, 'Add', requestId));
        if (!earlier) return undefined;
        if (earlier.digest !== digest) throw requestIdReused(requestId);
        const job = await store.jobs.find(tx, { id: earlier.subjectId });
        if (!job) throw jobNotFound({ id: earlier.subjectId });
        return { job, created: job.generation === 1 };
      };
      const replayed = await replay();
      if (replayed) return replayed;
      const id = await this.#insert(tx, request, caller);
      if (id === undefined) {
        // Whoever took the key may have been this very request.
        const repeated = await replay();
        if (repeated) return repeated;
        if (!request.replace) throw alreadyExists(key);
      }
      const jobId = id ?? (await this.#replace(tx, request));
      if (requestId) {
        const [earlier] = await store.requests.use(tx, [
          { namespace: key.namespace, method: 'Add', requestId, digest, subjectId: jobId },
        ]);
        if (earlier) throw requestIdReused(requestId);
      }
      return { job: await this.#get(tx, jobId), created: id !== undefined };
    });
    notifier.notify('timers');
    return result;
  }

  async update(request: UpdateJob): Promise<Job> {
    const { store, notifier } = this.#options;
    const job = await store.transaction(async (tx) => {
      const id = await store.jobs.lock(tx, request.job);
      if (id === undefined) throw jobNotFound(request.job);
      const before = await this.#get(tx, id);
      if (request.etag !== '' && request.etag !== String(before.revision)) {
        throw new DomainError('ETAG_MISMATCH', 'the job was changed since it was read; read it again', {
          metadata: { revision: request.etag, present_revision: String(before.revision) },
        });
      }
      const { clearQueueTimeout, ...changes } = request.changes;
      await this.#save(tx, before, (nowMs) => ({
        ...definitionOf(before),
        ...changes,
        ...(clearQueueTimeout && { queueTimeoutMs: undefined }),
        schedules: changes.schedules
          ? anchorSchedules(changes.schedules, before.schedules, nowMs)
          : before.schedules,
      }));
      return this.#get(tx, id);
    });
    notifier.notify('timers');
    notifier.notify('pending');
    return job;
  }

  async pause(
    choice: JobChoice,
    pause: { readonly reason: string; readonly untilAt?: Date },
    caller: Caller,
  ): Promise<{ jobs: readonly Job[]; changed: number; pauseId: string }> {
    const { store, notifier, newPauseId } = this.#options;
    const result = await store.transaction(async (tx) => {
      const ids = await this.#lockChosen(tx, choice);
      const { now } = await store.feed.readPosition(tx);
      if (pause.untilAt && pause.untilAt <= now) {
        const description = `must lie in the future; it is ${now.toISOString()} now`;
        throw new DomainError('INVALID_ARGUMENT', `until_time: ${description}`, {
          metadata: { field: 'until_time', description },
          violations: [{ field: 'until_time', description }],
        });
      }
      const jobs = await store.jobs.listByIds(tx, ids);
      const equal = jobs.flatMap((job) =>
        job.pauses
          .filter(
            (held) =>
              held.actor === caller.actor &&
              held.reason === pause.reason &&
              held.untilAt?.getTime() === pause.untilAt?.getTime(),
          )
          .map((held) => ({ jobId: job.id, id: held.id })),
      );
      const held = new Set(equal.map(({ jobId }) => jobId));
      const free = ids.filter((id) => !held.has(id));
      const pauseId = equal[0]?.id ?? newPauseId();
      if (free.length > 0)
        await store.jobs.insertPauses(tx, free, { id: pauseId, actor: caller.actor, ...pause });
      return { jobs: await store.jobs.listByIds(tx, ids.slice(0, 500)), changed: free.length, pauseId };
    });
    notifier.notify('timers');
    return result;
  }

  async resume(
    choice: JobChoice,
    options: {
      readonly pauseId: string;
      readonly missed: 'DROP' | 'RUN_LAST' | 'RUN_ALL';
      readonly dryRun: boolean;
    },
  ): Promise<{ jobs: readonly Job[]; changed: number; heldBackFireTimes: readonly Date[] }> {
    const { store, notifier } = this.#options;
    const { pauseId, missed, dryRun } = options;
    let result: { jobs: readonly Job[]; changed: number; heldBackFireTimes: readonly Date[] } | undefined;
    const rollback = new Error('dry run');
    await store
      .transaction(async (tx) => {
        const ids = await this.#lockChosen(tx, choice);
        // What came due while the pauses stood is held back by them, also when nobody has fired it yet.
        await settleOwed(tx, store, this.#options.jobs, ids);
        const lifted = await store.jobs.deletePauses(tx, ids, pauseId);
        const heldBack = await this.#releaseHeld(tx, lifted, missed);
        result = {
          jobs: await store.jobs.listByIds(tx, ids.slice(0, 500)),
          changed: lifted.length,
          heldBackFireTimes: heldBack.slice(0, 1_000),
        };
        if (dryRun) throw rollback;
      })
      .catch((error: unknown) => {
        if (error !== rollback) throw error;
      });
    for (const topic of ['timers', 'pending', 'feed'] as const) notifier.notify(topic);
    return result!;
  }

  async delete(
    choice: JobChoice,
    onRunning: 'LEAVE' | 'CANCEL' | 'FAIL_IF_RUNNING',
  ): Promise<{ deleted: number; existed: boolean }> {
    const { store, notifier } = this.#options;
    const deleted = await store.transaction(async (tx) => {
      const ids = await this.#lockChosen(tx, choice, true);
      if (ids.length === 0) return 0;
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
      await store.ledger.cancel(tx, { jobIds: ids }, 'the job was deleted', {
        onlyWaiting: onRunning !== 'CANCEL',
      });
      await store.jobs.delete(tx, ids);
      return ids.length;
    });
    for (const topic of ['timers', 'cancel', 'feed'] as const) notifier.notify(topic);
    return { deleted, existed: deleted > 0 };
  }

  async #insert(tx: Tx, request: AddJob, caller: Caller): Promise<number | undefined> {
    const { store, newPauseId } = this.#options;
    const { now } = await store.feed.readPosition(tx);
    const nowMs = now.getTime();
    const definition = definitionFromDraft(
      request.draft,
      anchorSchedules(request.draft.schedules, [], nowMs),
    );
    // Drawn first, because `H` is spread by it.
    const [newId] = await store.ledger.drawIds(tx, 1);
    const timetable = checkDefinition(definition, 'job', nowMs - definition.misfire.graceMs, newId!);
    const timing = timingFrom(timetable, definition, nowMs);
    // What lies within the grace but is no one-shot does not fire any more.
    if (definition.schedules.length > 0 && timing.nextFireMs === null)
      checkDefinition(definition, 'job', nowMs, newId!);
    const id = await store.jobs.insert(tx, newId!, request.key, definition, timing);
    if (id !== undefined && request.startPaused) {
      await store.jobs.insertPauses(tx, [id], {
        id: newPauseId(),
        actor: caller.actor,
        reason: 'added paused',
      });
    }
    return id;
  }

  async #replace(tx: Tx, request: AddJob): Promise<number> {
    const { store } = this.#options;
    const id = await store.jobs.lock(tx, { key: request.key });
    // The job was deleted since the insert found it: another change came in between.
    if (id === undefined)
      throw new DomainError('CONCURRENT_CHANGE', 'the job was deleted meanwhile; try again', {
        retryAfterMs: 50,
      });
    const before = await this.#get(tx, id);
    await this.#save(tx, before, (nowMs) =>
      definitionFromDraft(request.draft, anchorSchedules(request.draft.schedules, before.schedules, nowMs)),
    );
    return id;
  }

  /** Saves a new definition of a locked job; its timing too when the edit touches it. */
  async #save(tx: Tx, before: Job, make: (nowMs: number) => JobDefinition): Promise<void> {
    const { store, jobs } = this.#options;
    const { now } = await store.feed.readPosition(tx);
    const nowMs = now.getTime();
    const definition = make(nowMs);
    if (firesAlike(before.schedules, definition.schedules)) {
      checkDefinition({ ...definition, schedules: [] }, 'job', nowMs, before.id);
      return store.jobs.saveDefinition(
        tx,
        before.id,
        { ...definition, schedules: before.schedules },
        undefined,
      );
    }
    const timetable = checkDefinition(definition, 'job', nowMs - definition.misfire.graceMs, before.id);
    const settled = (await settleOwed(tx, store, jobs, [before.id])).get(before.id);
    const timing = timingFrom(timetable, definition, settled?.nowMs ?? nowMs, {
      schedules: before.schedules,
      runsMade: settled?.runsMade ?? [],
    });
    await store.jobs.saveDefinition(tx, before.id, definition, timing);
  }

  /** Locks the jobs of a choice; a single job must exist unless that is allowed. */
  async #lockChosen(tx: Tx, choice: JobChoice, mayBeMissing = false): Promise<readonly number[]> {
    const { store } = this.#options;
    if ('job' in choice) {
      const id = await store.jobs.lock(tx, choice.job);
      if (id === undefined && !mayBeMissing) throw jobNotFound(choice.job);
      return id === undefined ? [] : [id];
    }
    const ids = await store.jobs.lockSelected(tx, choice.selector);
    if (ids.length > maxSelected) {
      throw new DomainError(
        'QUOTA_EXCEEDED',
        `the selector chooses ${ids.length} jobs; one call changes at most ${maxSelected}`,
        {
          metadata: { chosen: String(ids.length), limit: String(maxSelected) },
          quota: { subject: 'selector', description: `at most ${maxSelected} jobs` },
        },
      );
    }
    return ids;
  }

  /** Lets the fire times run that pauses held back, of the jobs that no pause holds any more. */
  async #releaseHeld(
    tx: Tx,
    lifted: readonly { readonly jobId: number; readonly createdAt: Date }[],
    missed: 'DROP' | 'RUN_LAST' | 'RUN_ALL',
  ): Promise<readonly Date[]> {
    if (missed === 'DROP' || lifted.length === 0) return [];
    const { store } = this.#options;
    const held = new Map(lifted.map(({ jobId, createdAt }) => [jobId, createdAt]));
    const fireTimes: Date[] = [];
    const released: number[] = [];
    const skipped: number[] = [];
    for (const job of await store.jobs.listByIds(tx, [...held.keys()])) {
      if (job.pauses.length > 0) continue;
      const rows = await store.ledger.listHeldBack(
        tx,
        job.id,
        held.get(job.id)!,
        missed === 'RUN_LAST' ? 1 : 1_000,
      );
      const [open] = job.overlap === 'SKIP' ? await store.ledger.listOpen(tx, { jobIds: [job.id] }, 1) : [];
      // With SKIP only the oldest can run, and only when the job is idle.
      const runnable = job.overlap === 'ALLOW' ? rows.length : open ? 0 : 1;
      const oldestFirst = rows.toReversed();
      for (const row of oldestFirst.slice(0, runnable)) {
        fireTimes.push(row.fireAt);
        released.push(row.id);
      }
      skipped.push(...oldestFirst.slice(runnable).map((row) => row.id));
    }
    await store.ledger.markOverlapped(tx, skipped);
    await store.ledger.release(tx, released);
    return fireTimes;
  }

  async #get(tx: Tx, id: number): Promise<Job> {
    const job = await this.#options.store.jobs.find(tx, { id });
    if (!job) throw jobNotFound({ id });
    return job;
  }
}

function definitionOf(job: Job): JobDefinition {
  const { description, labels, schedules, target, parameters, priority, overlap, misfire, retry } = job;
  const { attemptTimeoutMs, queueTimeoutMs } = job;
  return {
    description,
    labels,
    schedules,
    target,
    parameters,
    priority,
    overlap,
    misfire,
    retry,
    attemptTimeoutMs,
    queueTimeoutMs,
  };
}

function alreadyExists(key: Job['key']): DomainError {
  const name = `${key.namespace}/${key.group}/${key.name}`;
  return new DomainError('JOB_ALREADY_EXISTS', `a job ${name} exists; set replace to change it`, {
    metadata: { job: name },
    resource: { type: 'job', name },
  });
}
