import { randomUUID } from 'node:crypto';
import type { Execution } from '../domain/execution.ts';
import type { Job, JobKey, JobRef } from '../domain/job.ts';
import { compileTimetable } from '../domain/schedule/timetable.ts';
import type { Store } from '../store/store.ts';
import type { BackfillCommand } from './backfill-command.ts';
import type { CalendarCache } from './calendar-cache.ts';
import type { JobCommands } from './job-commands.ts';
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
} from './operations.ts';
import { pageSize, pageTokenFrom, positionFromPageToken } from './page-token.ts';
import type { PauseCommands } from './pause-commands.ts';
import { type PreviewSubject, previewFireTimes } from './preview.ts';
import { jobNotFound } from './refusals.ts';
import { adviceOn, adviceOnLimit } from './schedule-advice.ts';
import type { TriggerCommand } from './trigger-command.ts';

export type JobServiceOptions = {
  readonly store: Pick<Store, 'db' | 'feed' | 'jobs' | 'ledger' | 'timers'>;
  readonly calendars: CalendarCache;
  readonly commands: JobCommands;
  readonly pauses: PauseCommands;
  readonly triggers: TriggerCommand;
  readonly backfills: BackfillCommand;
};

type JobPosition = { readonly id: number; readonly key: JobKey };

const isJobPosition = (value: unknown): value is JobPosition =>
  typeof value === 'object' &&
  value !== null &&
  'id' in value &&
  'key' in value &&
  Number.isSafeInteger(value.id);

/** Makes the id of a pause: short, without the dot that parts of a stored one are joined by. */
export const newPauseId = (): string => `p_${randomUUID().replaceAll('-', '').slice(0, 20)}`;

/** What the outside may ask of jobs: the commands, and the reads that need no lock. */
export class JobDesk implements JobOperations {
  readonly #options: JobServiceOptions;

  constructor(options: JobServiceOptions) {
    this.#options = options;
  }

  async add(
    request: AddJob,
    caller: Caller,
  ): Promise<{ job: Job; created: boolean; warnings: readonly string[] }> {
    const added = await this.#options.commands.add(request, caller);
    const isStored = !(added.created && request.validateOnly);
    const { id: jobId, schedules, updatedAt } = added.job;
    const advice = await adviceOn(
      this.#options.store.db,
      this.#options.store,
      schedules,
      compileTimetable(schedules, jobId),
      { fromMs: updatedAt.getTime(), jobId, spreadSeed: jobId },
    );
    return {
      created: added.created,
      // The id was drawn for this once, and nobody has it.
      job: isStored ? added.job : { ...added.job, id: 0 },
      warnings: [...adviceOnLimit(added.job), ...advice],
    };
  }

  async get(ref: JobRef): Promise<{ job: Job; lastExecution?: Execution }> {
    const { store } = this.#options;
    const job = await store.jobs.find(store.db, ref);
    if (!job) throw jobNotFound(ref);
    return { job, lastExecution: await store.ledger.findLast(store.db, job.id) };
  }

  async list(
    filter: JobFilter,
    page: Page,
    order: JobOrder,
  ): Promise<{ jobs: readonly Job[]; nextPageToken: string; totalSize: number }> {
    const { store } = this.#options;
    const list = ['jobs', filter, order];
    const after = positionFromPageToken(list, page.token, isJobPosition);
    const size = pageSize(page.size);
    const [jobs, totalSize] = await Promise.all([
      store.jobs.list(store.db, { ...filter, order, after, limit: size + 1 }),
      store.jobs.count(store.db, filter),
    ]);
    const shown = jobs.slice(0, size);
    const last = shown.at(-1);
    const nextPageToken =
      jobs.length > size && last ? pageTokenFrom(list, { id: last.id, key: last.key }) : '';
    return { jobs: shown, nextPageToken, totalSize };
  }

  update(request: UpdateJob, caller: Caller): Promise<Job> {
    return this.#options.commands.update(request, caller);
  }

  pause(
    choice: JobChoice,
    pause: { readonly reason: string; readonly untilAt?: Date },
    caller: Caller,
  ): ReturnType<JobOperations['pause']> {
    return this.#options.pauses.pause(choice, pause, caller);
  }

  resume(
    choice: JobChoice,
    options: Parameters<JobOperations['resume']>[1],
    caller: Caller,
  ): ReturnType<JobOperations['resume']> {
    return this.#options.pauses.resume(choice, options, caller);
  }

  delete(
    choice: DeleteChoice,
    onRunning: Parameters<JobOperations['delete']>[1],
    caller: Caller,
  ): ReturnType<JobOperations['delete']> {
    return this.#options.commands.delete(choice, onRunning, caller);
  }

  trigger(request: TriggerJob, caller: Caller): ReturnType<JobOperations['trigger']> {
    return this.#options.triggers.trigger(request, caller);
  }

  backfill(request: Backfill, caller: Caller): ReturnType<JobOperations['backfill']> {
    return this.#options.backfills.backfill(request, caller);
  }

  preview(
    subject: PreviewSubject,
    options: { readonly from?: Date; readonly count: number },
  ): ReturnType<JobOperations['preview']> {
    return previewFireTimes(this.#options, subject, options);
  }
}
