/**
 * How a job is written, new or changed, in the transaction of a command: its
 * definition with what that refers to, its timing, and the one-shots that have
 * just passed. What the timetable owed until now is settled before it changes.
 */
import type { Job, JobDefinition } from '../domain/job.ts';
import type { Schedule } from '../domain/schedule/schedule.ts';
import type { Tx } from '../store/database.ts';
import type { Timing } from '../store/job-store.ts';
import type { Store } from '../store/store.ts';
import type { LockedTimer } from '../store/timer-store.ts';
import { anchorSchedules, checkDefinition, definitionFromDraft } from './definition-check.ts';
import type { Fired, FirePlanning, LateFires } from './fire-planning.ts';
import { refuseFrequentSchedules, refuseSurplusJob } from './intake.ts';
import type { CachedJob } from './job-cache.ts';
import { queueIdOf, useCalendars, useSecrets } from './job-references.ts';
import { firesAlike, settleOwed, timingFrom } from './job-timing.ts';
import type { AddJob, Caller } from './operations.ts';

export type JobSavingOptions = {
  readonly store: Pick<
    Store,
    | 'jobs'
    | 'intake'
    | 'timers'
    | 'leases'
    | 'feed'
    | 'calendars'
    | 'pauses'
    | 'triggers'
    | 'continuations'
    | 'queues'
    | 'secrets'
    | 'namespaces'
  >;
  readonly planning: FirePlanning;
  /** Makes the id of a pause. */
  readonly newPauseId: () => string;
};

/** A job that was made or changed, and what was fired on the way. */
export type Saved = { readonly id: number; readonly fired: readonly Fired[] };

/** Writes jobs, each within a transaction of the caller's, who announces what was fired once it is committed. */
export class JobSaving {
  readonly #options: JobSavingOptions;

  constructor(options: JobSavingOptions) {
    this.#options = options;
  }

  /** Makes a job under its key; undefined when a job has the key. */
  async insert(tx: Tx, request: AddJob, caller: Caller): Promise<Saved | undefined> {
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
    const queueId = await queueIdOf(tx, store, key, definition);
    await useSecrets(tx, store, key, definition);
    const limits = await store.intake.lockLimits(tx, key.namespace);
    const id = await store.jobs.insert(tx, newId!, key, definition, timing, queueId);
    if (id === undefined) return undefined;
    // Not before: what is stored already is measured by nothing but an edit of its timing.
    refuseFrequentSchedules(key.namespace, limits.executionsPerMinute, definition.schedules, id, nowMs);
    await refuseSurplusJob(tx, store, key.namespace, limits.maxJobs);
    if (startPaused) {
      await store.pauses.insert(tx, [id], { id: newPauseId(), actor: caller.actor, reason: 'added paused' });
    }
    const job: CachedJob = { id, key, generation: 1, definition, timetable: () => timetable };
    const timer = { jobId: id, generation: 1, nowMs, ...timing };
    const fired = await this.#settleSaved(tx, job, timer, late, []);
    return { id, fired: fired ? [fired] : [] };
  }

  /** Saves a new definition of a locked job; its timing too when the edit touches it. */
  async save(tx: Tx, before: Job, make: (nowMs: number) => JobDefinition): Promise<Saved> {
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
    const limit = await store.intake.findExecutionsPerMinute(tx, key.namespace);
    refuseFrequentSchedules(key.namespace, limit, definition.schedules, id, now.getTime());
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
}

/** Where the executions of a job wait. */
const placeOf = ({ target, maxRunning }: Pick<JobDefinition, 'target' | 'maxRunning'>): unknown => [
  maxRunning > 0,
  target.kind === 'worker' && [target.queue, Object.entries(target.labels).toSorted()],
];
