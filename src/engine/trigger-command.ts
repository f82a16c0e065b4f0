/**
 * Fires jobs by hand.
 *
 * Group commit: calls that arrive while a batch is being written make up the
 * next batch, which is a constant number of statements however many calls. A
 * call locks the job's timer row, as firing does, so that two of them, or one
 * and the leader, cannot both find the job idle; with ALLOW nothing is decided
 * and nothing is locked. Calls of one batch for one job are decided in the order
 * of their ids; CANCEL_OTHER takes the place of those before it.
 *
 * Each call settles by itself: one that is refused does not touch the others of
 * its batch. A reply means that the rows are committed. The reply to the commit
 * is lost: the caller is told UNAVAILABLE and asks again with its request_id,
 * which then names the execution that was made. Two calls of one batch with one
 * request_id: the second is a replay of the first.
 *
 * A call beyond executions_per_minute is refused a moment later than it could
 * be: who calls again as soon as it is answered then takes a share of the
 * processor from others that is small and does not depend on its speed.
 *
 * The audit of a call is in the statement that makes its execution (see
 * audit/audit-rows.ts): one row for each execution, none for a replay.
 */
import { DomainError } from '../domain/errors.ts';
import type { Execution } from '../domain/execution.ts';
import type { Occupancy } from '../domain/overlap.ts';
import { waitsForFinish } from '../domain/schedule/progress.ts';
import { Batcher } from '../platform/batcher.ts';
import type { Clock } from '../platform/clock.ts';
import type { Db, Tx } from '../store/database.ts';
import type { Notifier } from '../store/notifier.ts';
import type { RequestUse } from '../store/request-store.ts';
import type { Store } from '../store/store.ts';
import type { ResolvedJob, TriggeredRow } from '../store/trigger-store.ts';
import { meterCalls } from './intake.ts';
import type { JobCache } from './job-cache.ts';
import type { JobContinuation } from './job-continuation.ts';
import type { Caller, TriggerJob } from './operations.ts';
import { jobNotFound, requestIdReused } from './refusals.ts';
import { SpentIntake } from './spent-intake.ts';
import { refusalOf } from './trigger-refusal.ts';
import { type TriggerCall as Call, decideAll, executionOf, rowOf } from './trigger-rows.ts';

export type TriggerCommandOptions = {
  readonly store: Pick<
    Store,
    'db' | 'transaction' | 'ledger' | 'requests' | 'timers' | 'triggers' | 'cancels' | 'intake'
  >;
  readonly jobs: JobCache;
  readonly continuation: Pick<JobContinuation, 'look'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  readonly clock: Clock;
};

/** How long a call beyond its namespace's limit waits for its refusal, in milliseconds. */
const refusedAfterMs = 50;

/** One call: what is asked, and who asks. */
type Asked = { readonly request: TriggerJob; readonly caller: Caller };

type Reply = { readonly execution: Execution; readonly replayed: boolean };

/** What becomes of one call of a batch. */
type Outcome = { readonly reply: Reply } | { readonly replayOf: number } | { readonly refusal: DomainError };

export class TriggerCommand {
  readonly #options: TriggerCommandOptions;
  readonly #batcher: Batcher<Asked, Outcome>;
  readonly #intake: SpentIntake;

  constructor(options: TriggerCommandOptions) {
    this.#options = options;
    this.#intake = new SpentIntake(options);
    this.#batcher = new Batcher({ flush: (asked) => this.#triggerAll(asked), maxItems: 500, lanes: 2 });
  }

  async trigger(request: TriggerJob, caller: Caller): Promise<Reply> {
    const outcome = await this.#batcher.add({ request, caller });
    if ('refusal' in outcome) {
      if (outcome.refusal.reason === 'QUOTA_EXCEEDED') await this.#options.clock.sleep(refusedAfterMs);
      throw outcome.refusal;
    }
    if ('reply' in outcome) return outcome.reply;
    const { store } = this.#options;
    const execution = await store.ledger.find(store.db, outcome.replayOf);
    if (!execution)
      throw new DomainError(
        'EXECUTION_NOT_FOUND',
        `the execution of the earlier request is not kept any more`,
      );
    return { execution, replayed: true };
  }

  async #triggerAll(asked: readonly Asked[]): Promise<readonly Outcome[]> {
    const { store, jobs, notifier, continuation } = this.#options;
    const resolved = await store.triggers.resolveAndDraw(
      store.db,
      asked.map(({ request }) => request.job),
    );
    const known = resolved.filter((job) => job !== undefined);
    const cached = await jobs.load(
      store.db,
      known.map((job) => ({ jobId: job.id, generation: job.generation })),
    );
    const outcomes = new Map<number, Outcome>();
    const calls: Call[] = [];
    asked.forEach(({ request, caller }, place) => {
      const target = resolved[place];
      const job = target && cached.get(target.id);
      const refusal = refusalOf(request, target, job);
      if (refusal || !job || !target) {
        outcomes.set(place, { refusal: refusal ?? jobNotFound(request.job) });
        return;
      }
      const { namespace, executionId, isMetered } = target;
      // One with a request_id may repeat a call that was taken.
      const spent = isMetered && request.requestId === '' ? this.#intake.refusalOf(namespace) : undefined;
      if (spent) {
        outcomes.set(place, { refusal: spent });
        return;
      }
      const overlap = request.overlap ?? job.definition.overlap;
      calls.push({ place, request, caller, job, namespace, executionId, overlap, isMetered });
    });
    if (calls.length > 0) {
      const needsTransaction = calls.some(
        (call) => call.overlap !== 'ALLOW' || call.request.requestId !== '' || call.isMetered,
      );
      const made = needsTransaction
        ? await store.transaction((tx) => this.#write(tx, calls))
        : await this.#insert(store.db, calls, new Map());
      for (const [place, outcome] of made.outcomes) outcomes.set(place, outcome);
      // Who floods a namespace that is at its limit makes nothing, and must not keep dispatchers busy looking for it.
      if ([...made.outcomes.values()].some((outcome) => 'reply' in outcome)) {
        for (const topic of ['pending', 'feed'] as const) notifier.notify(topic);
      }
      if (made.cancels) notifier.notify('cancel');
      continuation.look(made.waitingJobs);
    }
    return asked.map((_, place) => outcomes.get(place)!);
  }

  async #write(tx: Tx, calls: readonly Call[]): Promise<Made> {
    const locked = await this.#lock(tx, calls);
    const { fresh, outcomes } = await this.#useRequestIds(tx, locked.calls);
    const admitted = await this.#meter(tx, fresh, outcomes);
    const made = await this.#insert(tx, admitted, locked.occupancies);
    return { ...made, outcomes: new Map([...locked.refused, ...outcomes, ...made.outcomes]) };
  }

  /** Takes calls as far as their namespaces have room, refuses the others, and those that repeat them in the same batch. */
  async #meter(tx: Tx, calls: readonly Call[], outcomes: Map<number, Outcome>): Promise<readonly Call[]> {
    const { store } = this.#options;
    const { admitted, refused } = await meterCalls(tx, this.#intake, calls);
    if (refused.size === 0) return admitted;
    const refusals = new Map([...refused].map(([{ executionId }, refusal]) => [executionId, refusal]));
    for (const [place, outcome] of outcomes) {
      const refusal = 'replayOf' in outcome ? refusals.get(outcome.replayOf) : undefined;
      if (refusal) outcomes.set(place, { refusal });
    }
    for (const [{ place }, refusal] of refused) outcomes.set(place, { refusal });
    await store.requests.forget(
      tx,
      [...refused.keys()].flatMap(({ namespace, request: { requestId } }) =>
        requestId === '' ? [] : [{ namespace, method: 'Trigger', requestId }],
      ),
    );
    return admitted;
  }

  /**
   * Locks the jobs of calls whose policy has to decide, and looks again at what
   * may have changed before the lock was got: the job may be gone, paused,
   * finished, or have another policy by now.
   */
  async #lock(
    tx: Tx,
    calls: readonly Call[],
  ): Promise<{
    readonly calls: readonly Call[];
    readonly refused: ReadonlyMap<number, Outcome>;
    readonly occupancies: ReadonlyMap<number, Occupancy>;
  }> {
    const { store, jobs } = this.#options;
    const ids = [...new Set(calls.filter(({ overlap }) => overlap !== 'ALLOW').map(({ job }) => job.id))];
    const refused = new Map<number, Outcome>();
    if (ids.length === 0) return { calls, refused, occupancies: new Map() };
    const timers = new Map(
      (await store.timers.lockByIds(tx, ids, null)).map((timer) => [timer.jobId, timer]),
    );
    const situations = await store.timers.listSituations(tx, ids);
    const cached = await jobs.load(tx, [...timers.values()]);
    const kept = calls.flatMap((call): Call[] => {
      const timer = timers.get(call.job.id);
      if (!timer) return [call];
      const { id } = call.job;
      const situation = situations.get(id);
      const job = cached.get(id);
      const target: ResolvedJob | undefined = situation?.exists
        ? {
            id,
            namespace: call.namespace,
            generation: timer.generation,
            firesAgain: timer.nextFireMs !== null || waitsForFinish(timer.progress),
            paused: (situation.pausedUntilMs ?? 0) > timer.nowMs,
            isMetered: call.isMetered,
          }
        : undefined;
      const refusal = refusalOf(call.request, target, job);
      if (refusal || !job) {
        refused.set(call.place, { refusal: refusal ?? jobNotFound(call.request.job) });
        return [];
      }
      return [{ ...call, job, overlap: call.request.overlap ?? job.definition.overlap }];
    });
    const occupancies = new Map([...situations].map(([id, { occupancy }]) => [id, occupancy]));
    return { calls: kept, refused, occupancies };
  }

  /** Notes the request ids of a batch; what was asked for before is answered from then. */
  async #useRequestIds(
    tx: Tx,
    calls: readonly Call[],
  ): Promise<{ fresh: Call[]; outcomes: Map<number, Outcome> }> {
    const outcomes = new Map<number, Outcome>();
    const uses = new Map<string, RequestUse & { readonly places: Call[] }>();
    const fresh: Call[] = [];
    for (const call of calls) {
      const { requestId, requestDigest: digest } = call.request;
      if (requestId === '') {
        fresh.push(call);
        continue;
      }
      const name = JSON.stringify([call.namespace, requestId]);
      const use = uses.get(name);
      if (use) use.places.push(call);
      else {
        const { namespace, executionId: subjectId } = call;
        uses.set(name, { namespace, method: 'Trigger', requestId, digest, subjectId, places: [call] });
      }
    }
    const list = [...uses.values()];
    const earlier = await this.#options.store.requests.use(tx, list);
    list.forEach((use, i) => {
      const before = earlier[i];
      use.places.forEach((call, n) => {
        if (!before && n === 0) {
          fresh.push(call);
          return;
        }
        const first = before ?? { digest: use.digest, subjectId: use.subjectId };
        outcomes.set(
          call.place,
          first.digest === call.request.requestDigest
            ? { replayOf: first.subjectId }
            : { refusal: requestIdReused(call.request.requestId) },
        );
      });
    });
    return { fresh, outcomes };
  }

  /** Writes the executions of a batch; jobs whose calls all are ALLOW need no occupancy. */
  async #insert(db: Db, calls: readonly Call[], occupancies: ReadonlyMap<number, Occupancy>): Promise<Made> {
    if (calls.length === 0) return { outcomes: new Map(), cancels: false, waitingJobs: [] };
    const { store } = this.#options;
    const decisions = decideAll(calls, occupancies);
    const rows = calls.map((call): TriggeredRow => rowOf(call, decisions.get(call)!));
    const canceled = await store.cancels.cancelReplaced(
      db,
      calls.flatMap((call) => {
        const decision = decisions.get(call)!;
        return decision.kind === 'BUFFER' && decision.cancelsOthers
          ? [{ jobId: call.job.id, message: `replaced by execution ${call.executionId}` }]
          : [];
      }),
    );
    const { at, ids } = await store.triggers.insertTriggered(db, rows);
    return {
      outcomes: new Map(
        calls.map((call, i): [number, Outcome] => {
          if (!ids.has(call.executionId)) return [call.place, { refusal: jobNotFound(call.request.job) }];
          return [call.place, { reply: { execution: executionOf(rows[i]!, call.job, at), replayed: false } }];
        }),
      ),
      cancels: canceled.some(({ marked }) => marked),
      waitingJobs: rows.filter((row) => row.buffered).map((row) => row.jobId),
    };
  }
}

/** What was written for a batch, and what is to be done once it is committed. */
type Made = {
  readonly outcomes: ReadonlyMap<number, Outcome>;
  /** An instance must be told that its attempts are to be canceled. */
  readonly cancels: boolean;
  readonly waitingJobs: readonly number[];
};
