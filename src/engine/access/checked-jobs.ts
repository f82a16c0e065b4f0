import type { Selector } from '../../domain/job.ts';
import type {
  AddJob,
  Backfill,
  Caller,
  DeleteChoice,
  JobChoice,
  JobFilter,
  JobOperations,
  JobOrder,
  Page,
  TriggerJob,
  UpdateJob,
} from '../operations.ts';
import type { PageSeal } from './page-seal.ts';
import { mayEverywhere, narrow, type Tenancy } from './tenancy.ts';

/** The operations on jobs, each kept to the namespaces in which its caller may do it. */
export class CheckedJobs implements JobOperations {
  readonly #inner: JobOperations;
  readonly #tenancy: Tenancy;
  readonly #seal: PageSeal;

  constructor(inner: JobOperations, tenancy: Tenancy, seal: PageSeal) {
    this.#inner = inner;
    this.#tenancy = tenancy;
    this.#seal = seal;
  }

  async add(request: AddJob, caller: Caller): ReturnType<JobOperations['add']> {
    await this.#tenancy.admitNamespace(request.key.namespace, caller);
    return this.#inner.add(request, caller);
  }

  async get(...[job, caller]: Parameters<JobOperations['get']>): ReturnType<JobOperations['get']> {
    await this.#tenancy.admitJob(job, caller);
    return this.#inner.get(job, caller);
  }

  async list(
    filter: JobFilter,
    page: Page,
    order: JobOrder,
    caller: Caller,
  ): ReturnType<JobOperations['list']> {
    const opened = this.#seal.open(page, caller);
    return this.#seal.close(await this.#inner.list(narrow(filter, caller), opened, order, caller), caller);
  }

  async update(request: UpdateJob, caller: Caller): ReturnType<JobOperations['update']> {
    await this.#tenancy.admitJob(request.job, caller);
    return this.#inner.update(request, caller);
  }

  async pause(
    choice: JobChoice,
    pause: Parameters<JobOperations['pause']>[1],
    caller: Caller,
  ): ReturnType<JobOperations['pause']> {
    return this.#inner.pause(await this.#choose(choice, caller), pause, caller);
  }

  async resume(
    choice: JobChoice,
    options: Parameters<JobOperations['resume']>[1],
    caller: Caller,
  ): ReturnType<JobOperations['resume']> {
    return this.#inner.resume(await this.#choose(choice, caller), options, caller);
  }

  /** Deleting what does not exist is no error; nor is deleting what is out of sight. */
  async delete(
    choice: DeleteChoice,
    onRunning: Parameters<JobOperations['delete']>[1],
    caller: Caller,
  ): ReturnType<JobOperations['delete']> {
    if ('job' in choice && !mayEverywhere(caller)) {
      const [namespace] = await this.#tenancy.namespacesOfJobs([choice.job], caller);
      const isHidden = namespace === undefined || !caller.access.sees(namespace);
      if (isHidden) return this.#inner.delete({ selector: { within: [] } }, onRunning, caller);
    }
    return this.#inner.delete(await this.#choose(choice, caller), onRunning, caller);
  }

  async trigger(request: TriggerJob, caller: Caller): ReturnType<JobOperations['trigger']> {
    if (!mayEverywhere(caller)) await this.#tenancy.admitJob(request.job, caller);
    return this.#inner.trigger(request, caller);
  }

  async backfill(request: Backfill, caller: Caller): ReturnType<JobOperations['backfill']> {
    await this.#tenancy.admitJob(request.job, caller);
    return this.#inner.backfill(request, caller);
  }

  /** Schedules that are not saved may name calendars: of the namespace of their key. */
  async preview(
    subject: Parameters<JobOperations['preview']>[0],
    options: Parameters<JobOperations['preview']>[1],
    caller: Caller,
  ): ReturnType<JobOperations['preview']> {
    if ('job' in subject) await this.#tenancy.admitJob(subject.job, caller);
    else if (subject.key || subject.schedules.some(({ calendars = [] }) => calendars.length > 0)) {
      await this.#tenancy.admitNamespace(subject.key?.namespace ?? 'default', caller);
    }
    return this.#inner.preview(subject, options, caller);
  }

  async #choose<Choice extends JobChoice>(
    choice: Choice,
    caller: Caller,
  ): Promise<Choice | { readonly selector: Selector }> {
    if ('selector' in choice) return { selector: narrow(choice.selector, caller) };
    await this.#tenancy.admitJob(choice.job, caller);
    return choice;
  }
}
