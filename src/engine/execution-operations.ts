import { type Execution, type LogEntry, waitingForSlot, waitingForWorker } from '../domain/execution.ts';
import type { JobRef } from '../domain/job.ts';
import { refusalOf } from '../domain/run-limits.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import { auditRow } from './audit/audit-rows.ts';
import { auditedCancel } from './audit/audited-cancel.ts';
import type { ExecutionFeed } from './execution-feed.ts';
import type { JobContinuation } from './job-continuation.ts';
import type { OpenStreams } from './open-streams.ts';
import type {
  Caller,
  CancelChoice,
  ExecutionFilter,
  ExecutionOperations,
  ListLogs,
  Page,
  StreamMessage,
  StreamRequest,
} from './operations.ts';
import { pageSize, pageTokenFrom, positionFromPageToken } from './page-token.ts';
import { executionNotFound, jobNotFound } from './refusals.ts';
import { waitingText } from './workers/waiting-text.ts';

export type LedgerOperationsOptions = {
  readonly store: Pick<
    Store,
    | 'db'
    | 'transaction'
    | 'jobs'
    | 'audits'
    | 'ledger'
    | 'logs'
    | 'cancels'
    | 'triggers'
    | 'workers'
    | 'limits'
    | 'tenancy'
  >;
  readonly continuation: Pick<JobContinuation, 'look'>;
  readonly notifier: Pick<Notifier, 'notify'>;
  readonly feed: Pick<ExecutionFeed, 'stream'>;
  readonly streams: Pick<OpenStreams, 'open'>;
};

/** So many workers are looked at to say why an execution waits. */
const maxCandidates = 50;

const isId = (value: unknown): value is number => Number.isSafeInteger(value);

/** Reads the ledger and the logs, and cancels what is open. */
export class LedgerOperations implements ExecutionOperations {
  readonly #options: LedgerOperationsOptions;

  constructor(options: LedgerOperationsOptions) {
    this.#options = options;
  }

  async get(executionId: number): Promise<Execution> {
    const { store } = this.#options;
    const execution = await store.ledger.find(store.db, executionId);
    if (!execution) throw executionNotFound(executionId);
    const { waitsIn, waitingFor, jobKey } = execution;
    const whoTakesIt = waitsIn ? waitingForWorker(waitsIn.queue) : waitingForSlot;
    // What is buffered, or waits for a retry, waits for that first.
    if (execution.state !== 'PENDING' || waitingFor !== whoTakesIt) return execution;
    const bounds = await store.limits.listBoundsOf(store.db, executionId);
    const refusals = bounds.map(refusalOf).filter((refusal) => refusal !== undefined);
    if (refusals.length > 0) return { ...execution, waitingFor: refusals.join('; ') };
    if (!waitsIn) return execution;
    const { namespace } = jobKey;
    const workers = await store.workers.list(store.db, { namespace }, undefined, maxCandidates);
    return { ...execution, waitingFor: waitingText(waitsIn, workers) };
  }

  async list(
    filter: ExecutionFilter,
    page: Page,
    order: 'create_time' | 'create_time desc',
  ): Promise<{ executions: readonly Execution[]; nextPageToken: string }> {
    const { store } = this.#options;
    const list = ['executions', filter, order];
    const afterId = positionFromPageToken(list, page.token, isId);
    const { job, ...conditions } = filter;
    const jobId = job && (await this.#findJobs([job]))[0];
    if (job && jobId === undefined) throw jobNotFound(job);
    const size = pageSize(page.size);
    const executions = await store.ledger.list(store.db, {
      ...conditions,
      jobId,
      afterId,
      newestFirst: order === 'create_time desc',
      limit: size + 1,
    });
    const shown = executions.slice(0, size);
    const nextPageToken = executions.length > size ? pageTokenFrom(list, shown.at(-1)!.id) : '';
    return { executions: shown, nextPageToken };
  }

  async cancel(
    choice: CancelChoice,
    reason: string,
    caller: Caller,
  ): Promise<{
    canceled: readonly number[];
    notFound: readonly number[];
    alreadyFinished: readonly number[];
    jobsNotFound: readonly JobRef[];
  }> {
    const { store, notifier, continuation } = this.#options;
    const jobsNotFound: JobRef[] = [];
    let target: Parameters<typeof store.cancels.cancel>[1];
    if ('executionIds' in choice) target = { executionIds: [...new Set(choice.executionIds)] };
    else if ('jobs' in choice) {
      const found = await this.#findJobs(choice.jobs);
      jobsNotFound.push(...choice.jobs.filter((_, i) => found[i] === undefined));
      target = { jobIds: found.filter((id) => id !== undefined) };
    } else if ('selector' in choice) target = { selector: choice.selector };
    else if ('backfillId' in choice) target = choice;
    else target = { selector: { namespace: choice.namespace } };

    const { touchedRows, canceled, others, known } = await store.transaction(async (tx) => {
      const touchedRows = await store.cancels.cancel(tx, target, reason);
      const canceled = touchedRows.map(({ id }) => id);
      const touched = new Set(canceled);
      const others = 'executionIds' in target ? target.executionIds.filter((id) => !touched.has(id)) : [];
      const known = await store.ledger.listKnownIds(tx, others);
      const jobIds = new Set([...touchedRows.map(({ jobId }) => jobId), ...known.values()]);
      const found = { canceled, jobIds: 'jobIds' in target ? target.jobIds : [...jobIds] };
      const change = await auditedCancel(tx, store, choice, reason, found);
      await store.audits.insert(tx, [auditRow(caller, change)]);
      return { touchedRows, canceled, others, known };
    });
    if (canceled.length > 0) notifier.notify('feed');
    if (touchedRows.some(({ marked }) => marked)) notifier.notify('cancel');
    continuation.look(touchedRows.filter(({ marked }) => !marked).map(({ jobId }) => jobId));
    return {
      canceled,
      notFound: others.filter((id) => !known.has(id)),
      alreadyFinished: others.filter((id) => known.has(id)),
      jobsNotFound,
    };
  }

  async listLogs(
    request: ListLogs,
    page: Page,
  ): Promise<{ entries: readonly LogEntry[]; nextPageToken: string }> {
    const { store } = this.#options;
    const list = ['logs', request];
    const position = positionFromPageToken(list, page.token, isId);
    const { executionId, afterSeq, newestFirst, ...conditions } = request;
    const known = await store.ledger.listKnownIds(store.db, [executionId]);
    if (!known.has(executionId)) throw executionNotFound(executionId);
    const size = pageSize(page.size);
    const entries = await store.logs.list(store.db, {
      ...conditions,
      executionId,
      newestFirst,
      afterSeq: newestFirst ? afterSeq : (position ?? afterSeq),
      beforeSeq: newestFirst ? (position ?? null) : null,
      limit: size + 1,
    });
    const shown = entries.slice(0, size);
    const nextPageToken = entries.length > size ? pageTokenFrom(list, shown.at(-1)!.seq) : '';
    return { entries: shown, nextPageToken };
  }

  /** However it ends, from its first message asked for to its last, a stream is counted in its namespace. */
  async *stream(request: StreamRequest, signal: AbortSignal): AsyncGenerator<StreamMessage> {
    const { feed, streams } = this.#options;
    const namespace = await this.#namespaceOf(request.source);
    const close = namespace === undefined ? undefined : streams.open(namespace);
    try {
      yield* feed.stream(request, signal);
    } finally {
      close?.();
    }
  }

  /** The namespace that a stream is of; undefined where it is of several, and where there is nothing to stream. */
  async #namespaceOf(source: StreamRequest['source']): Promise<string | undefined> {
    const { store } = this.#options;
    if ('selector' in source) {
      const { namespace, within } = source.selector;
      // Who sees one namespace only is in that, whatever it leaves out.
      return namespace ?? (within?.length === 1 ? within[0] : undefined);
    }
    if ('executionId' in source) {
      const { executionId } = source;
      return (await store.tenancy.ofExecutions(store.db, [executionId])).get(executionId);
    }
    const { job } = source;
    return 'key' in job ? job.key.namespace : (await store.tenancy.ofJobs(store.db, [job.id])).get(job.id);
  }

  async #findJobs(refs: readonly JobRef[]): Promise<readonly (number | undefined)[]> {
    const { store } = this.#options;
    return (await store.triggers.resolveJobs(store.db, refs)).map((job) => job?.id);
  }
}
