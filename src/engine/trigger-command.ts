/**
 * Fires jobs by hand.
 *
 * Group commit: calls that arrive while a batch is being written make up the
 * next batch, which is a constant number of statements however many calls. A
 * call whose overlap policy is SKIP locks the job's timer row, as firing does,
 * so that two of them, or one and the leader, cannot both find the job idle.
 * With ALLOW nothing is decided and nothing is locked.
 *
 * Each call settles by itself: one that is refused does not touch the others of
 * its batch. A reply means that the rows are committed. The reply to the commit
 * is lost: the caller is told UNAVAILABLE and asks again with its request_id,
 * which then names the execution that was made. Two calls of one batch with one
 * request_id: the second is a replay of the first.
 */
import { DomainError } from '../domain/errors.ts';
import type { Execution } from '../domain/execution.ts';
import type { JobKey } from '../domain/job.ts';
import { mergeParameters } from '../domain/parameters.ts';
import { Batcher } from '../platform/batcher.ts';
import type { Db, Tx } from '../store/database.ts';
import type { ResolvedJob, TriggeredRow } from '../store/ledger-store.ts';
import type { Notifier } from '../store/notifier.ts';
import type { RequestUse } from '../store/request-store.ts';
import type { Store } from '../store/store.ts';
import type { CachedJob, JobCache } from './job-cache.ts';
import type { TriggerJob } from './operations.ts';
import { jobNotFound, requestIdReused } from './refusals.ts';

export type TriggerCommandOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'ledger' | 'requests' | 'timers'>;
  readonly jobs: JobCache;
  readonly notifier: Pick<Notifier, 'notify'>;
};

type Reply = { readonly execution: Execution; readonly replayed: boolean };

/** What becomes of one call of a batch. */
type Outcome = { readonly reply: Reply } | { readonly replayOf: number } | { readonly refusal: DomainError };

/** A call that may be carried out. */
type Call = {
  readonly place: number;
  readonly request: TriggerJob;
  readonly job: CachedJob;
  readonly namespace: string;
  readonly executionId: number;
  readonly skipsOverlap: boolean;
};

export class TriggerCommand {
  readonly #options: TriggerCommandOptions;
  readonly #batcher: Batcher<TriggerJob, Outcome>;

  constructor(options: TriggerCommandOptions) {
    this.#options = options;
    this.#batcher = new Batcher({ flush: (requests) => this.#triggerAll(requests), maxItems: 500, lanes: 2 });
  }

  async trigger(request: TriggerJob): Promise<Reply> {
    const outcome = await this.#batcher.add(request);
    if ('refusal' in outcome) throw outcome.refusal;
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

  async #triggerAll(requests: readonly TriggerJob[]): Promise<readonly Outcome[]> {
    const { store, jobs, notifier } = this.#options;
    const resolved = await store.ledger.resolveAndDraw(
      store.db,
      requests.map((request) => request.job),
    );
    const known = resolved.filter((job) => job !== undefined);
    const cached = await jobs.load(
      store.db,
      known.map((job) => ({ jobId: job.id, generation: job.generation })),
    );
    const outcomes = new Map<number, Outcome>();
    const calls: Call[] = [];
    requests.forEach((request, place) => {
      const target = resolved[place];
      const job = target && cached.get(target.id);
      const refusal = refusalOf(request, target, job);
      if (refusal || !job || !target) {
        outcomes.set(place, { refusal: refusal ?? jobNotFound(request.job) });
        return;
      }
      const skipsOverlap = (request.overlap ?? job.definition.overlap) === 'SKIP';
      calls.push({
        place,
        request,
        job,
        namespace: target.namespace,
        executionId: target.executionId,
        skipsOverlap,
      });
    });
    if (calls.length > 0) {
      const needsTransaction = calls.some((call) => call.skipsOverlap || call.request.requestId !== '');
      const made = needsTransaction
        ? await store.transaction((tx) => this.#write(tx, calls))
        : await this.#insert(store.db, calls, new Map());
      for (const [place, outcome] of made) outcomes.set(place, outcome);
      notifier.notify('pending');
      notifier.notify('feed');
    }
    return requests.map((_, place) => outcomes.get(place)!);
  }

  async #write(tx: Tx, calls: readonly Call[]): Promise<ReadonlyMap<number, Outcome>> {
    const { store } = this.#options;
    const open = new Map<number, number>();
    const locked = [...new Set(calls.filter((call) => call.skipsOverlap).map((call) => call.job.id))];
    if (locked.length > 0) {
      await store.timers.lockByIds(tx, locked, null);
      for (const [jobId, situation] of await store.timers.listSituations(tx, locked)) {
        if (situation.openExecutionId !== null) open.set(jobId, situation.openExecutionId);
      }
    }
    const { fresh, outcomes } = await this.#useRequestIds(tx, calls);
    for (const [place, outcome] of await this.#insert(tx, fresh, open)) outcomes.set(place, outcome);
    return outcomes;
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

  /** Writes the executions of a batch; `open` names an open execution of each job that is not idle. */
  async #insert(
    db: Db,
    calls: readonly Call[],
    open: Map<number, number>,
  ): Promise<ReadonlyMap<number, Outcome>> {
    if (calls.length === 0) return new Map();
    const rows = calls.map((call): TriggeredRow => {
      const { request, job, executionId: id } = call;
      const blocker = call.skipsOverlap ? open.get(job.id) : undefined;
      if (blocker === undefined) open.set(job.id, id);
      return {
        id,
        jobId: job.id,
        cause: request.cause,
        priority: job.definition.priority,
        queueTimeoutMs: job.definition.queueTimeoutMs ?? null,
        parameters: hasParameters(request) ? request.parameters : null,
        ...(blocker === undefined
          ? { state: 'PENDING', message: '' }
          : { state: 'SKIPPED', reason: 'OVERLAP', message: `execution ${blocker} was still open` }),
      };
    });
    const at = await this.#options.store.ledger.insertTriggered(db, rows);
    return new Map(
      calls.map((call, i) => [
        call.place,
        { reply: { execution: executionOf(rows[i]!, call.job, at), replayed: false } },
      ]),
    );
  }
}

const hasParameters = ({ parameters }: TriggerJob): boolean =>
  parameters.text !== undefined || parameters.object !== undefined || (parameters.list?.length ?? 0) > 0;

function refusalOf(
  request: TriggerJob,
  target: ResolvedJob | undefined,
  job: CachedJob | undefined,
): DomainError | undefined {
  if (!target || !job) return jobNotFound(request.job);
  const name = nameOf(job.key);
  if (job.definition.schedules.length > 0 && !target.firesAgain && !request.allowFinished) {
    return new DomainError(
      'JOB_FINISHED',
      `job ${name} is finished; set allow_finished to fire it all the same`,
      {
        metadata: { job: name },
        precondition: {
          type: 'JOB_FINISHED',
          subject: name,
          description: 'no schedule of the job fires again',
        },
      },
    );
  }
  if (request.requireActive && target.paused) {
    return new DomainError('JOB_PAUSED', `job ${name} is paused and require_active was set`, {
      metadata: { job: name },
      precondition: { type: 'JOB_PAUSED', subject: name, description: 'the job is held by a pause' },
    });
  }
  return undefined;
}

const nameOf = (key: JobKey): string => `${key.namespace}/${key.group}/${key.name}`;

function executionOf(row: TriggeredRow, job: CachedJob, at: Date): Execution {
  return {
    id: row.id,
    jobId: row.jobId,
    jobKey: job.key,
    schedule: '',
    cause: row.cause,
    fireAt: at,
    createdAt: at,
    finishedAt: row.state === 'SKIPPED' ? at : undefined,
    state: row.state,
    reason: row.reason,
    message: row.message,
    attempt: 0,
    attempts: [],
    parameters: mergeParameters(job.definition.parameters, row.parameters),
    priority: row.priority,
    term: 0,
    waitingFor: row.state === 'PENDING' ? 'an instance with a free slot' : '',
    skippedCount: 0,
  };
}
