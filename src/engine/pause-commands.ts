/**
 * Pauses and resumes jobs: each call is one transaction that locks the timer
 * rows of the jobs it changes, so that it and firing come one after the other.
 * Both may simply be repeated: an equal pause is set once, and what is lifted
 * already is not lifted again.
 */
import { DomainError } from '../domain/errors.ts';
import type { Job } from '../domain/job.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import { auditedChoice, auditRow } from './audit/audit-rows.ts';
import { lockChosen } from './chosen-jobs.ts';
import type { Fired, FirePlanning } from './fire-planning.ts';
import { releaseHeld } from './held-fires.ts';
import type { JobCache } from './job-cache.ts';
import type { JobContinuation } from './job-continuation.ts';
import { settleOwed } from './job-timing.ts';
import type { Caller, JobChoice } from './operations.ts';

export type PauseCommandsOptions = {
  readonly store: Pick<
    Store,
    'transaction' | 'jobs' | 'audits' | 'pauses' | 'timers' | 'leases' | 'feed' | 'held' | 'cancels'
  >;
  readonly jobs: JobCache;
  readonly planning: FirePlanning;
  readonly continuation: Pick<JobContinuation, 'announce'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  /** Makes the id of a pause. */
  readonly newPauseId: () => string;
};

export class PauseCommands {
  readonly #options: PauseCommandsOptions;

  constructor(options: PauseCommandsOptions) {
    this.#options = options;
  }

  async pause(
    choice: JobChoice,
    pause: { readonly reason: string; readonly untilAt?: Date },
    caller: Caller,
  ): Promise<{ jobs: readonly Job[]; changed: number; pauseId: string }> {
    const { store, notifier, newPauseId } = this.#options;
    const result = await store.transaction(async (tx) => {
      const ids = await lockChosen(tx, store, choice);
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
        await store.pauses.insert(tx, free, { id: pauseId, actor: caller.actor, ...pause });
      const chosen = await auditedChoice(tx, store, choice, ids);
      await store.audits.insert(tx, [
        auditRow(caller, {
          ...chosen,
          after: { pauseId, reason: pause.reason, untilAt: pause.untilAt },
          details: { ...chosen.details, changed: free.length },
        }),
      ]);
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
    caller: Caller,
  ): Promise<{ jobs: readonly Job[]; changed: number; heldBackFireTimes: readonly Date[] }> {
    const { store, notifier, planning, continuation } = this.#options;
    const { pauseId, missed, dryRun } = options;
    let result: { jobs: readonly Job[]; changed: number; heldBackFireTimes: readonly Date[] } | undefined;
    let fired: readonly (Fired | undefined)[] = [];
    const rollback = new Error('dry run');
    await store
      .transaction(async (tx) => {
        const ids = await lockChosen(tx, store, choice);
        // What came due while the pauses stood is held back by them, also when nobody has fired it yet.
        const settled = await settleOwed(tx, store, planning, ids);
        const lifted = await store.pauses.lift(tx, ids, pauseId);
        const held = await releaseHeld(tx, this.#options, lifted, settled.timers, missed);
        fired = [settled.fired, held.fired];
        result = {
          jobs: await store.jobs.listByIds(tx, ids.slice(0, 500)),
          changed: lifted.length,
          heldBackFireTimes: held.fireTimes.slice(0, 1_000),
        };
        if (dryRun) throw rollback;
        const chosen = await auditedChoice(tx, store, choice, ids);
        const { details } = chosen;
        const released = held.fireTimes.length;
        await store.audits.insert(tx, [
          auditRow(caller, {
            ...chosen,
            details: { ...details, changed: lifted.length, pauseId: pauseId || undefined, missed, released },
          }),
        ]);
      })
      .catch((error: unknown) => {
        if (error !== rollback) throw error;
      });
    for (const topic of ['timers', 'pending', 'feed'] as const) notifier.notify(topic);
    if (!dryRun) for (const each of fired) if (each) continuation.announce(each);
    return result!;
  }
}
