import { randomUUID } from 'node:crypto';
import type { Execution } from '../domain/execution.ts';
import type { Job, JobKey, JobRef } from '../domain/job.ts';
import { lintSchedules } from '../domain/schedule/lint.ts';
import { compileTimetable } from '../domain/schedule/timetable.ts';
import type { Store } from '../store/store.ts';
import { anchorSchedules, checkSchedules } from './definition-check.ts';
import type { JobCommands } from './job-commands.ts';
import type {
  AddJob,
  Caller,
  JobChoice,
  JobFilter,
  JobOperations,
  JobOrder,
  Page,
  PreviewFireTime,
  ScheduleDraft,
  TriggerJob,
  UpdateJob,
} from './operations.ts';
import { pageSize, pageTokenFrom, positionFromPageToken } from './page-token.ts';
import { jobNotFound } from './refusals.ts';
import type { TriggerCommand } from './trigger-command.ts';

export type JobServiceOptions = {
  readonly store: Pick<Store, 'db' | 'feed' | 'jobs' | 'ledger'>;
  readonly commands: JobCommands;
  readonly triggers: TriggerCommand;
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
    return {
      ...added,
      warnings: lintSchedules(added.job.schedules, added.job.createdAt.getTime(), added.job.id),
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

  update(request: UpdateJob): Promise<Job> {
    return this.#options.commands.update(request);
  }

  pause(
    choice: JobChoice,
    pause: { readonly reason: string; readonly untilAt?: Date },
    caller: Caller,
  ): ReturnType<JobOperations['pause']> {
    return this.#options.commands.pause(choice, pause, caller);
  }

  resume(
    choice: JobChoice,
    options: Parameters<JobOperations['resume']>[1],
  ): ReturnType<JobOperations['resume']> {
    return this.#options.commands.resume(choice, options);
  }

  delete(
    choice: JobChoice,
    onRunning: Parameters<JobOperations['delete']>[1],
  ): ReturnType<JobOperations['delete']> {
    return this.#options.commands.delete(choice, onRunning);
  }

  trigger(request: TriggerJob): ReturnType<JobOperations['trigger']> {
    return this.#options.triggers.trigger(request);
  }

  async preview(
    what: { readonly job: JobRef } | { readonly schedules: readonly ScheduleDraft[]; readonly key?: JobKey },
    options: { readonly from?: Date; readonly count: number },
  ): Promise<{ fireTimes: readonly PreviewFireTime[]; warnings: readonly string[] }> {
    const { store } = this.#options;
    const { now } = await store.feed.readPosition(store.db);
    const fromMs = (options.from ?? now).getTime();
    const stored = 'job' in what ? await store.jobs.find(store.db, what.job) : undefined;
    if ('job' in what && !stored) throw jobNotFound(what.job);
    const schedules = 'job' in what ? (stored?.schedules ?? []) : anchorSchedules(what.schedules, [], fromMs);
    const seed = stored?.id ?? seedOfKey('key' in what ? what.key : undefined);
    const timetable = stored
      ? compileTimetable(schedules, seed)
      : checkSchedules(schedules, '', fromMs, seed);
    const fireTimes: PreviewFireTime[] = [];
    const pausedUntilMs = pauseEndMs(stored);
    const runsMade = schedules.map(() => 0);
    let fire = timetable.next(fromMs, runsMade);
    // A preview shows what was and will be; runs that were made already do not shorten it.
    for (; fire && fireTimes.length < options.count; fire = timetable.next(fire.atMs, runsMade)) {
      const { note, ...shown } = timetable.describe(fire);
      const held = fire.atMs > now.getTime() && fire.atMs < pausedUntilMs ? 'held by a pause' : '';
      fireTimes.push({
        ...shown,
        fireAt: new Date(fire.atMs),
        schedule: fire.name,
        note: [note, held].filter(Boolean).join('; '),
      });
      for (const i of fire.schedules) runsMade[i]!++;
    }
    return { fireTimes, warnings: lintSchedules(schedules, fromMs, seed) };
  }
}

const pauseEndMs = (job: Job | undefined): number =>
  Math.max(
    Number.NEGATIVE_INFINITY,
    ...(job?.pauses ?? []).map((pause) => pause.untilAt?.getTime() ?? Number.POSITIVE_INFINITY),
  );

/** What `H` is spread by while a job has no id yet. */
function seedOfKey(key: JobKey | undefined): number {
  let seed = 0;
  for (const character of key ? `${key.namespace}/${key.group}/${key.name}` : '') {
    seed = (Math.imul(seed, 31) + character.codePointAt(0)!) >>> 0;
  }
  return seed;
}
