/**
 * Operations in memory, without rules of time or state: what the servers and
 * clients need to talk to something. Names of jobs make it misbehave:
 *
 * - `refuse REASON` is refused with that reason and every detail;
 * - `crash` throws an error that nobody outside may see;
 * - `slow` never answers.
 *
 * Names of calendars, secrets, namespaces and queues and tokens of attempts do so, too.
 */
import { DomainError, type ErrorReason } from '../../src/domain/errors.ts';
import type { Execution, LogEntry } from '../../src/domain/execution.ts';
import type { Job, JobKey, JobRef, Selector } from '../../src/domain/job.ts';
import type { Namespace, Queue } from '../../src/domain/namespace.ts';
import type { StoredCalendar } from '../../src/domain/schedule/calendar.ts';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import type { Secret } from '../../src/domain/secret.ts';
import type { Token } from '../../src/domain/token.ts';
import type {
  AttemptOperations,
  AuditEvent,
  AuditOperations,
  CalendarOperations,
  ExecutionOperations,
  JobChoice,
  JobDraft,
  JobOperations,
  NamespaceOperations,
  Operations,
  ScheduleDraft,
  SecretOperations,
  StreamMessage,
  TokenOperations,
  WorkerOperations,
} from '../../src/engine/operations.ts';

/** The moment at which everything in the fake happens. */
export const fakeNow = new Date('2026-03-01T12:00:00.125Z');

/** What `crash` says; must never reach a caller. */
export const secretText = 'password=hunter2 at db.internal';

/** The error of `refuse REASON`, with every detail that an error can have. */
export function refusal(reason: ErrorReason): DomainError {
  return new DomainError(reason, `refused with ${reason}`, {
    metadata: { asked: reason },
    violations: [{ field: 'job.key.name', description: 'asks for a refusal' }],
    resource: { type: 'job', name: 'default/default/refuse' },
    precondition: { type: 'STATE', subject: 'job', description: 'is in the way' },
    quota: { subject: 'namespace default', description: 'no more' },
    retryAfterMs: 1_500,
  });
}

/** In-memory Operations with what was asked of them. */
export class FakeOperations implements Operations {
  /** Every operation that was called, with its arguments. */
  readonly asked: { readonly operation: string; readonly args: readonly unknown[] }[] = [];
  readonly stored = new Map<number, Job>();
  readonly ledger = new Map<number, Execution>();
  readonly storedCalendars = new Map<string, StoredCalendar>();
  readonly storedSecrets = new Map<string, Secret>();
  readonly storedNamespaces = new Map<string, Namespace>();
  readonly storedTokens = new Map<number, Token>();
  readonly storedQueues = new Map<string, Queue>();
  readonly logs: LogEntry[] = [];
  readonly storedEvents: AuditEvent[] = [];
  /** What a stream replays before it follows. */
  streamMessages: readonly StreamMessage[] = [];
  /** What a stream ends with behind its messages; undefined follows until it is let go. */
  streamEnd: Error | 'done' | undefined;
  /** How many streams are open, and how many messages they have given out. */
  openStreams = 0;
  streamedMessages = 0;
  /** Why the instance is not ready. */
  notReady: Error | undefined;
  readonly #replies = new Map<string, { digest: string; execution: Execution }>();
  readonly #backfills = new Map<
    string,
    { digest: string; reply: Awaited<ReturnType<JobOperations['backfill']>> }
  >();
  #nextId = 1;

  ready(): Promise<void> {
    return this.notReady === undefined ? Promise.resolve() : Promise.reject(this.notReady);
  }

  readonly workers: WorkerOperations = {
    connect: async (hello, stream) => {
      await this.#note('connect', [hello], hello.workerId);
      stream.send({
        kind: 'welcome',
        heartbeatIntervalMs: 5_000,
        reconnectGraceMs: 10_000,
        instance: 'fake',
        rejected: [],
      });
      return { receive: () => undefined, close: () => undefined };
    },
    list: async (filter, page) => {
      await this.#note('listWorkers', [filter, page], filter.queue ?? '');
      return { workers: [], nextPageToken: '' };
    },
  };

  readonly attempts: AttemptOperations = {
    appendLogs: async (report) => {
      await this.#note('appendLogs', [report], report.token);
      const repeated = Math.min(1, report.offset ?? 1);
      const stored = report.lines.length;
      return { stored, repeated, dropped: 2, nextOffset: 7, isCancelRequested: true };
    },
    heartbeat: async (token) => {
      await this.#note('heartbeat', [token], token);
      return { isCancelRequested: true, reportBy: fakeNow };
    },
    complete: async (report) => {
      await this.#note('complete', [report], report.token);
      return { alreadyEnded: report.state === 'CANCELED' };
    },
  };

  readonly jobs: JobOperations = {
    add: async (request, caller) => {
      await this.#note('add', [request, caller], request.key.name);
      const old = this.#find({ key: request.key });
      if (old !== undefined && !request.replace) throw refusal('JOB_ALREADY_EXISTS');
      const job = this.#store(
        old?.id ?? this.#nextId++,
        request.key,
        request.draft,
        (old?.revision ?? 0) + 1,
      );
      return { job, created: old === undefined, warnings: ['looks odd'] };
    },
    get: async (ref) => {
      await this.#note('get', [ref], nameOf(ref));
      return { job: this.#get(ref), lastExecution: [...this.ledger.values()].at(-1) };
    },
    list: async (filter, page, order) => {
      await this.#note('list', [filter, page, order], filter.namePrefix);
      const jobs = [...this.stored.values()].slice(0, page.size);
      return {
        jobs,
        nextPageToken: jobs.length < this.stored.size ? 'more' : '',
        totalSize: this.stored.size,
      };
    },
    update: async (request, caller) => {
      await this.#note('update', [request, caller], nameOf(request.job));
      const job = this.#get(request.job);
      if (request.etag !== '' && request.etag !== String(job.revision)) throw refusal('ETAG_MISMATCH');
      const { clearQueueTimeout, ...changes } = request.changes;
      const draft: JobDraft = {
        ...job,
        ...changes,
        ...(clearQueueTimeout ? { queueTimeoutMs: undefined } : {}),
      };
      return this.#store(job.id, job.key, draft, job.revision + 1);
    },
    pause: async (choice, pause, caller) => {
      await this.#note('pause', [choice, pause, caller], nameOf(choice));
      const jobs = this.#choose(choice);
      const set = {
        id: 'p1',
        actor: caller.actor,
        reason: pause.reason,
        createdAt: fakeNow,
        untilAt: pause.untilAt,
      };
      for (const job of jobs) this.stored.set(job.id, { ...job, state: 'PAUSED', pauses: [set] });
      return { jobs: this.#choose(choice), changed: jobs.length, pauseId: 'p1' };
    },
    resume: async (choice, options, caller) => {
      await this.#note('resume', [choice, options, caller], nameOf(choice));
      const jobs = this.#choose(choice);
      for (const job of jobs) this.stored.set(job.id, { ...job, state: 'ACTIVE', pauses: [] });
      return { jobs: this.#choose(choice), changed: jobs.length, heldBackFireTimes: [fakeNow] };
    },
    delete: async (choice, onRunning, caller) => {
      await this.#note('delete', [choice, onRunning, caller], nameOf(choice));
      const jobs = 'job' in choice && this.#find(choice.job) === undefined ? [] : this.#choose(choice);
      for (const job of jobs) this.stored.delete(job.id);
      return { deleted: jobs.length, existed: jobs.length > 0 };
    },
    trigger: async (request, caller) => {
      await this.#note('trigger', [request, caller], nameOf(request.job));
      const job = this.#get(request.job);
      const reply = this.#replies.get(request.requestId);
      if (request.requestId !== '' && reply !== undefined) {
        if (reply.digest !== request.requestDigest) throw refusal('REQUEST_ID_REUSED');
        return { execution: reply.execution, replayed: true };
      }
      const execution = fakeExecution(this.#nextId++, job, request.cause);
      this.ledger.set(execution.id, { ...execution, parameters: request.parameters });
      this.#replies.set(request.requestId, { digest: request.requestDigest, execution });
      return { execution: { ...execution, parameters: request.parameters }, replayed: false };
    },
    backfill: async (request, caller) => {
      await this.#note('backfill', [request, caller], nameOf(request.job));
      const job = this.#get(request.job);
      const first = this.#backfills.get(request.requestId);
      if (request.requestId !== '' && first !== undefined) {
        if (first.digest !== request.requestDigest) throw refusal('REQUEST_ID_REUSED');
        return { ...first.reply, replayed: true };
      }
      const fireTimes = everyHour(request.startAt, request.endAt);
      const made = { executionsCreated: fireTimes.length, fireTimes, replayed: false };
      if (request.dryRun || fireTimes.length === 0) return made;
      const backfillId = this.#nextId++;
      for (const fireAt of fireTimes) {
        const execution = fakeExecution(this.#nextId++, job, 'BACKFILL');
        this.ledger.set(execution.id, { ...execution, fireAt, backfillId });
      }
      const reply = { ...made, backfillId };
      this.#backfills.set(request.requestId, { digest: request.requestDigest, reply });
      return reply;
    },
    preview: async (what, options) => {
      await this.#note('preview', [what, options], 'job' in what ? nameOf(what.job) : undefined);
      const fireTimes = Array.from({ length: options.count }, (_, i) => ({
        fireAt: new Date((options.from ?? fakeNow).getTime() + (i + 1) * 60_000),
        localTime: '2026-03-01T13:00:00+01:00',
        timeZone: 'Europe/Berlin',
        schedule: '0',
        note: '',
      }));
      return { fireTimes, warnings: [] };
    },
  };

  readonly calendars: CalendarOperations = {
    put: async (calendar, caller) => {
      await this.#note('calendars.put', [calendar, caller], calendar.name);
      const created = !this.storedCalendars.has(calendar.name);
      const stored = { ...calendar, createdAt: fakeNow, updatedAt: fakeNow, jobCount: 0 };
      this.storedCalendars.set(calendar.name, stored);
      return { calendar: stored, created };
    },
    get: async (namespace, name) => {
      await this.#note('calendars.get', [namespace, name], name);
      const calendar = this.storedCalendars.get(name);
      if (calendar === undefined) throw refusal('CALENDAR_NOT_FOUND');
      return calendar;
    },
    list: async (namespace, page) => {
      await this.#note('calendars.list', [namespace, page]);
      const calendars = [...this.storedCalendars.values()].slice(0, page.size);
      return { calendars, nextPageToken: calendars.length < this.storedCalendars.size ? 'more' : '' };
    },
    delete: async (namespace, name, caller) => {
      await this.#note('calendars.delete', [namespace, name, caller], name);
      return { existed: this.storedCalendars.delete(name) };
    },
  };

  readonly secrets: SecretOperations = {
    put: async (request, caller) => {
      await this.#note('secrets.put', [request, caller], request.name);
      const { namespace, name, value } = request;
      const created = !this.storedSecrets.has(name);
      const secret: Secret = {
        namespace,
        name,
        kind: request.kind ?? 'SIGNING',
        createdAt: fakeNow,
        updatedAt: fakeNow,
      };
      this.storedSecrets.set(name, secret);
      return { secret, created, value: value === undefined ? 'whsec_generated' : undefined };
    },
    list: async (namespace, page) => {
      await this.#note('secrets.list', [namespace, page]);
      const secrets = [...this.storedSecrets.values()].slice(0, page.size);
      return { secrets, nextPageToken: secrets.length < this.storedSecrets.size ? 'more' : '' };
    },
    delete: async (namespace, name, caller) => {
      await this.#note('secrets.delete', [namespace, name, caller], name);
      return { existed: this.storedSecrets.delete(name) };
    },
  };

  readonly namespaces: NamespaceOperations = {
    create: async (draft, caller) => {
      await this.#note('namespaces.create', [draft, caller], draft.name);
      const namespace = { ...draft, createdAt: fakeNow, updatedAt: fakeNow };
      this.storedNamespaces.set(draft.name, namespace);
      return namespace;
    },
    list: async (_filter, page) => {
      await this.#note('namespaces.list', [page]);
      const namespaces = [...this.storedNamespaces.values()].slice(0, page.size);
      return { namespaces, nextPageToken: namespaces.length < this.storedNamespaces.size ? 'more' : '' };
    },
    update: async (name, changes, caller) => {
      await this.#note('namespaces.update', [name, changes, caller], name);
      const before = this.storedNamespaces.get(name);
      if (before === undefined) throw refusal('NAMESPACE_NOT_FOUND');
      const namespace = { ...before, ...changes };
      this.storedNamespaces.set(name, namespace);
      return namespace;
    },
    putQueue: async (draft, caller) => {
      await this.#note('queues.put', [draft, caller], draft.name);
      const queue = { ...draft, createdAt: fakeNow, updatedAt: fakeNow };
      this.storedQueues.set(draft.name, queue);
      return queue;
    },
    listQueues: async (namespace, page) => {
      await this.#note('queues.list', [namespace, page]);
      const queues = [...this.storedQueues.values()].slice(0, page.size);
      return { queues, nextPageToken: queues.length < this.storedQueues.size ? 'more' : '' };
    },
  };

  readonly tokens: TokenOperations = {
    create: async (draft, caller) => {
      await this.#note('tokens.create', [draft, caller], draft.name);
      const id = this.#nextId++;
      const token = { ...draft, id, prefix: 'carillon_abcd', creator: caller.actor, createdAt: fakeNow };
      this.storedTokens.set(id, token);
      return { token, text: draft.certificateName === undefined ? 'carillon_text' : undefined };
    },
    list: async (options, page) => {
      await this.#note('tokens.list', [options, page]);
      const tokens = [...this.storedTokens.values()].slice(0, page.size);
      return { tokens, nextPageToken: tokens.length < this.storedTokens.size ? 'more' : '' };
    },
    revoke: async (tokenId, caller) => {
      await this.#note('tokens.revoke', [tokenId, caller]);
      const token = this.storedTokens.get(tokenId);
      if (token === undefined) throw refusal('TOKEN_NOT_FOUND');
      const revoked = { ...token, revokedAt: fakeNow };
      this.storedTokens.set(tokenId, revoked);
      return revoked;
    },
  };

  readonly audit: AuditOperations = {
    list: async (filter, page, caller) => {
      await this.#note('audit.list', [filter, page, caller], filter.objectName);
      const events = this.storedEvents.slice(0, page.size);
      return { events, nextPageToken: events.length < this.storedEvents.length ? 'more' : '' };
    },
  };

  readonly executions: ExecutionOperations = {
    get: async (id) => {
      await this.#note('executions.get', [id]);
      const execution = this.ledger.get(id);
      if (execution === undefined) throw refusal('EXECUTION_NOT_FOUND');
      return { ...execution, attempts: [fakeAttempt] };
    },
    list: async (filter, page, order) => {
      await this.#note('executions.list', [filter, page, order]);
      const rows = [...this.ledger.values()].filter(
        (row) => filter.backfillId === undefined || row.backfillId === filter.backfillId,
      );
      return { executions: rows.slice(0, page.size), nextPageToken: '' };
    },
    cancel: async (choice, reason, caller) => {
      await this.#note('cancel', [choice, reason, caller]);
      const rows = [...this.ledger.values()].filter(
        (row) => !('backfillId' in choice) || row.backfillId === choice.backfillId,
      );
      const ids = 'executionIds' in choice ? choice.executionIds : rows.map((row) => row.id);
      return {
        canceled: ids.filter((id) => this.ledger.has(id)),
        notFound: ids.filter((id) => !this.ledger.has(id)),
        alreadyFinished: [],
        jobsNotFound: 'jobs' in choice ? choice.jobs : [],
      };
    },
    listLogs: async (request, page) => {
      await this.#note('listLogs', [request, page]);
      return { entries: this.logs.slice(0, page.size), nextPageToken: '' };
    },
    stream: (request, signal) => this.#stream(request, signal),
  };

  async *#stream(request: unknown, signal: AbortSignal): AsyncGenerator<StreamMessage> {
    await this.#note('stream', [request]);
    this.openStreams++;
    try {
      for (const message of this.streamMessages) {
        if (signal.aborted) return;
        this.streamedMessages++;
        yield message;
      }
      if (this.streamEnd instanceof Error) throw this.streamEnd;
      if (this.streamEnd === 'done') return;
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    } finally {
      this.openStreams--;
    }
  }

  async #note(operation: string, args: readonly unknown[], name = ''): Promise<void> {
    this.asked.push({ operation, args });
    if (name.startsWith('refuse ')) throw refusal(name.slice('refuse '.length) as ErrorReason);
    if (name === 'crash') throw new TypeError(secretText);
    if (name === 'slow') await new Promise(() => undefined);
  }

  #find(ref: JobRef): Job | undefined {
    if ('id' in ref) return this.stored.get(ref.id);
    return [...this.stored.values()].find((job) => textOf(job.key) === textOf(ref.key));
  }

  #get(ref: JobRef): Job {
    const job = this.#find(ref);
    if (job === undefined) throw refusal('JOB_NOT_FOUND');
    return job;
  }

  #choose(choice: JobChoice): Job[] {
    if ('job' in choice) return [this.#get(choice.job)];
    const fits = (job: Job, { namespace, group, namePrefix = '' }: Selector): boolean =>
      (namespace ?? job.key.namespace) === job.key.namespace &&
      (group ?? job.key.group) === job.key.group &&
      job.key.name.startsWith(namePrefix);
    return [...this.stored.values()].filter((job) => fits(job, choice.selector));
  }

  #store(id: number, key: JobKey, draft: JobDraft, revision: number): Job {
    const job: Job = {
      ...draft,
      schedules: draft.schedules.map(storedSchedule),
      id,
      key,
      state: 'ACTIVE',
      pauses: [],
      nextFireAt: fakeNow,
      bufferedCount: 0,
      createdAt: fakeNow,
      updatedAt: fakeNow,
      generation: revision,
      revision,
    };
    this.stored.set(id, job);
    return job;
  }
}

/** The fire times of the fake's timetable: the full hours, 1,000 at most. */
function everyHour(startAt: Date, endAt: Date): Date[] {
  const hours: Date[] = [];
  const hourMs = 3_600_000;
  const first = Math.ceil(startAt.getTime() / hourMs) * hourMs;
  for (let at = first; at < endAt.getTime() && hours.length < 1_000; at += hourMs) hours.push(new Date(at));
  return hours;
}

function storedSchedule(draft: ScheduleDraft): Schedule {
  const { spec } = draft;
  if (spec.kind !== 'interval') return { ...draft, spec };
  return { ...draft, spec: { ...spec, anchorMs: spec.anchorMs ?? fakeNow.getTime() } };
}

const fakeAttempt = {
  attempt: 1,
  startedAt: fakeNow,
  outcome: 'RUNNING',
  message: '',
  instanceId: 'i1',
} as const;

/** An execution that waits. */
export function fakeExecution(
  id: number,
  job: Pick<Job, 'id' | 'key'>,
  cause: Execution['cause'],
): Execution {
  return {
    id,
    jobId: job.id,
    jobKey: job.key,
    schedule: '',
    cause,
    fireAt: fakeNow,
    createdAt: fakeNow,
    state: 'PENDING',
    message: '',
    attempt: 0,
    priority: 0,
    term: 0,
    waitingFor: '',
    skippedCount: 0,
  };
}

function nameOf(ref: JobRef | JobChoice): string | undefined {
  if ('key' in ref) return ref.key.name;
  return 'job' in ref ? nameOf(ref.job) : undefined;
}

function textOf(key: JobKey): string {
  return JSON.stringify([key.namespace, key.group, key.name]);
}
