import type { JobRef } from '../../domain/job.ts';
import type {
  Caller,
  CancelChoice,
  ExecutionFilter,
  ExecutionOperations,
  ListLogs,
  Page,
  StreamMessage,
  StreamRequest,
} from '../operations.ts';
import { permissionDenied } from '../refusals.ts';
import type { PageSeal } from './page-seal.ts';
import { mayEverywhere, narrow, type Tenancy } from './tenancy.ts';

type Canceled = Awaited<ReturnType<ExecutionOperations['cancel']>>;

/**
 * The operations on executions, each kept to the namespaces in which its caller
 * may do it. A call of which nothing is left is carried out all the same, on
 * nothing: it is in the audit like one about what does not exist.
 */
export class CheckedExecutions implements ExecutionOperations {
  readonly #inner: ExecutionOperations;
  readonly #tenancy: Tenancy;
  readonly #seal: PageSeal;

  constructor(inner: ExecutionOperations, tenancy: Tenancy, seal: PageSeal) {
    this.#inner = inner;
    this.#tenancy = tenancy;
    this.#seal = seal;
  }

  async get(executionId: number, caller: Caller): ReturnType<ExecutionOperations['get']> {
    await this.#tenancy.admitExecution(executionId, caller);
    return this.#inner.get(executionId, caller);
  }

  async list(
    filter: ExecutionFilter,
    page: Page,
    order: Parameters<ExecutionOperations['list']>[2],
    caller: Caller,
  ): ReturnType<ExecutionOperations['list']> {
    const opened = this.#seal.open(page, caller);
    if (filter.job) await this.#tenancy.admitJob(filter.job, caller);
    return this.#seal.close(await this.#inner.list(narrow(filter, caller), opened, order, caller), caller);
  }

  async cancel(choice: CancelChoice, reason: string, caller: Caller): Promise<Canceled> {
    if (mayEverywhere(caller)) return this.#inner.cancel(choice, reason, caller);
    if ('executionIds' in choice) return this.#cancelByIds(choice.executionIds, reason, caller);
    if ('jobs' in choice) return this.#cancelByJobs(choice.jobs, reason, caller);
    if ('backfillId' in choice) {
      const isAdmitted = await this.#tenancy.admitsBackfill(choice.backfillId, caller);
      return this.#inner.cancel(isAdmitted ? choice : { executionIds: [] }, reason, caller);
    }
    const selector = 'selector' in choice ? choice.selector : { namespace: choice.namespace };
    return this.#inner.cancel({ selector: narrow(selector, caller) }, reason, caller);
  }

  async listLogs(request: ListLogs, page: Page, caller: Caller): ReturnType<ExecutionOperations['listLogs']> {
    const opened = this.#seal.open(page, caller);
    await this.#tenancy.admitExecution(request.executionId, caller);
    return this.#seal.close(await this.#inner.listLogs(request, opened, caller), caller);
  }

  async *stream(request: StreamRequest, signal: AbortSignal, caller: Caller): AsyncGenerator<StreamMessage> {
    const { source } = request;
    if ('executionId' in source) await this.#tenancy.admitExecution(source.executionId, caller);
    else if ('job' in source) await this.#tenancy.admitJob(source.job, caller);
    const narrowed = 'selector' in source ? { selector: narrow(source.selector, caller) } : source;
    const seal = this.#seal.ofStream(source, caller);
    const messages = this.#inner.stream(
      { ...request, source: narrowed, cursor: seal.open(request.cursor) },
      signal,
      caller,
    );
    for await (const { cursor, event } of messages) yield { cursor: seal.close(cursor), event };
  }

  async #cancelByIds(ids: readonly number[], reason: string, caller: Caller): Promise<Canceled> {
    const namespaces = await this.#tenancy.namespacesOfExecutions(ids, caller);
    const hidden: number[] = [];
    const admitted: number[] = [];
    for (const id of ids) {
      if (isInSight(namespaces.get(id), caller)) admitted.push(id);
      else hidden.push(id);
    }
    const canceled = await this.#inner.cancel({ executionIds: admitted }, reason, caller);
    const missing = new Set([...hidden, ...canceled.notFound]);
    return { ...canceled, notFound: [...new Set(ids)].filter((id) => missing.has(id)) };
  }

  async #cancelByJobs(jobs: readonly JobRef[], reason: string, caller: Caller): Promise<Canceled> {
    const namespaces = await this.#tenancy.namespacesOfJobs(jobs, caller);
    const admitted = jobs.filter((_, i) => isInSight(namespaces[i], caller));
    const canceled = await this.#inner.cancel({ jobs: admitted }, reason, caller);
    const missing = new Set([
      ...jobs.filter((_, i) => !isInSight(namespaces[i], caller)),
      ...canceled.jobsNotFound,
    ]);
    return { ...canceled, jobsNotFound: jobs.filter((job) => missing.has(job)) };
  }
}

/** Whether the caller may do this in a namespace; false where it does not see it, refused where its roles do not do. */
function isInSight(namespace: string | undefined, caller: Caller): boolean {
  if (namespace === undefined || !caller.access.sees(namespace)) return false;
  if (!caller.access.allows(caller.permission, namespace)) throw permissionDenied(caller, namespace);
  return true;
}
