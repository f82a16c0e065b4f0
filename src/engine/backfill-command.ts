/**
 * Runs a past range of a job's timetable.
 *
 * One transaction that holds the job's timer row, and one statement for all
 * executions, so that a backfill is there as a whole or not at all; from then
 * on they are executions like all others, and a crash of any instance loses
 * none. The timetable does not move: repeat counts are neither asked nor used,
 * and fixed delays, which have no past of their own, are left out.
 *
 * The reply to the commit is lost: the caller asks again with its request_id and
 * is answered from the ledger, by the backfill's id.
 */
import { DomainError, invalidField } from '../domain/errors.ts';
import type { Job } from '../domain/job.ts';
import { maxBuffered, OverlapRule } from '../domain/overlap.ts';
import { Exclusions } from '../domain/schedule/exclusions.ts';
import type { Fire, Timetable } from '../domain/schedule/timetable.ts';
import type { Tx } from '../store/database.ts';
import type { Notifier } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import type { BackfillRow } from '../store/trigger-store.ts';
import { auditRow } from './audit/audit-rows.ts';
import type { CalendarCache } from './calendar-cache.ts';
import { meterAll } from './intake.ts';
import type { JobCache } from './job-cache.ts';
import type { JobContinuation } from './job-continuation.ts';
import type { Backfill, Caller, JobOperations } from './operations.ts';
import { jobNotFound, nameOfRef, requestIdReused } from './refusals.ts';

export type BackfillCommandOptions = {
  readonly store: Pick<
    Store,
    | 'transaction'
    | 'jobs'
    | 'audits'
    | 'timers'
    | 'ledger'
    | 'triggers'
    | 'cancels'
    | 'requests'
    | 'feed'
    | 'intake'
  >;
  readonly jobs: JobCache;
  readonly calendars: CalendarCache;
  readonly continuation: Pick<JobContinuation, 'look'>;
  readonly notifier: Pick<Notifier, 'notify'>;
};

/** The most fire times of one backfill, those that a calendar excludes among them. */
export const maxBackfill = 10_000;

type Reply = Awaited<ReturnType<JobOperations['backfill']>>;

export class BackfillCommand {
  readonly #options: BackfillCommandOptions;

  constructor(options: BackfillCommandOptions) {
    this.#options = options;
  }

  async backfill(request: Backfill, caller: Caller): Promise<Reply> {
    const { store, notifier, continuation } = this.#options;
    const { reply, jobId, cancels } = await store.transaction(async (tx) => {
      const id = await store.jobs.lock(tx, request.job);
      const job = id === undefined ? undefined : await store.jobs.find(tx, { id });
      if (!job) throw jobNotFound(request.job);
      const earlier = await this.#earlier(tx, job, request);
      return earlier
        ? { reply: earlier, jobId: job.id, cancels: false }
        : this.#run(tx, job, request, caller);
    });
    if (reply.backfillId !== undefined && !reply.replayed) {
      for (const topic of ['pending', 'feed'] as const) notifier.notify(topic);
      if (cancels) notifier.notify('cancel');
      continuation.look([jobId]);
    }
    return reply;
  }

  async #earlier(tx: Tx, job: Job, { requestId, requestDigest }: Backfill): Promise<Reply | undefined> {
    if (requestId === '') return undefined;
    const { store } = this.#options;
    const earlier = await store.requests.find(tx, job.key.namespace, 'Backfill', requestId);
    if (!earlier) return undefined;
    if (earlier.digest !== requestDigest) throw requestIdReused(requestId);
    const backfillId = earlier.subjectId === 0 ? undefined : earlier.subjectId;
    const fireTimes = backfillId === undefined ? [] : await store.ledger.listBackfilled(tx, backfillId);
    return { executionsCreated: fireTimes.length, fireTimes, backfillId, replayed: true };
  }

  async #run(
    tx: Tx,
    job: Job,
    request: Backfill,
    caller: Caller,
  ): Promise<{ readonly reply: Reply; readonly jobId: number; readonly cancels: boolean }> {
    const { store, jobs, calendars } = this.#options;
    const { now } = await store.feed.readPosition(tx);
    const cached = (await jobs.load(tx, [{ jobId: job.id, generation: job.generation }])).get(job.id);
    if (!cached) throw jobNotFound(request.job);
    checkRange(request, now);
    const exclusions = (await calendars.load(tx, [cached])).get(job.id) ?? Exclusions.none;
    const fires = firesIn(request, cached.timetable(), exclusions);
    const situation = (await store.timers.listSituations(tx, [job.id])).get(job.id);
    const { rows, cancelsOthers } = planned(
      fires,
      request,
      new OverlapRule(situation?.occupancy ?? { bufferedCount: 0 }),
    );
    const fireTimes = rows.filter(({ state }) => state === 'PENDING').map(({ fireMs }) => new Date(fireMs));
    const reply = { executionsCreated: fireTimes.length, fireTimes, replayed: false };
    if (request.dryRun) return { reply, jobId: job.id, cancels: false };
    if (fireTimes.length > 0) await meterAll(tx, store, job.key.namespace, fireTimes.length);
    const [backfillId] = rows.length === 0 ? [undefined] : await store.triggers.drawIds(tx, 1);
    await this.#useRequestId(tx, job, request, backfillId ?? 0);
    const { id, priority, queueTimeoutMs = null, key } = job;
    const { startAt, endAt, overlap } = request;
    await store.audits.insert(tx, [
      auditRow(caller, {
        namespace: key.namespace,
        object: { type: 'job', id, name: nameOfRef({ key }) },
        after: { backfillId, startAt, endAt, overlap },
        details: { changed: fireTimes.length },
      }),
    ]);
    if (backfillId === undefined) return { reply, jobId: job.id, cancels: false };
    const message = `replaced by backfill ${backfillId}`;
    const canceled = await store.cancels.cancelReplaced(
      tx,
      cancelsOthers ? [{ jobId: job.id, message }] : [],
    );
    await store.triggers.insertBackfill(tx, { id, priority, queueTimeoutMs }, backfillId, rows);
    return {
      reply: { ...reply, backfillId },
      jobId: id,
      cancels: canceled.some(({ marked }) => marked),
    };
  }

  async #useRequestId(tx: Tx, job: Job, request: Backfill, subjectId: number): Promise<void> {
    const { requestId, requestDigest: digest } = request;
    if (requestId === '') return;
    const { namespace } = job.key;
    const [earlier] = await this.#options.store.requests.use(tx, [
      { namespace, method: 'Backfill', requestId, digest, subjectId },
    ]);
    // Calls for one job come one after the other; this one is for another job.
    if (earlier) throw requestIdReused(requestId);
  }
}

function checkRange({ startAt, endAt }: Backfill, now: Date): void {
  if (endAt <= startAt) throw invalidField('end_time', 'must be after start_time; the range is half-open');
  if (endAt > now) {
    throw invalidField('end_time', `must not lie in the future; it is ${now.toISOString()} now`);
  }
}

/** The fire times of [start, end) that no calendar excludes. */
function firesIn({ startAt, endAt }: Backfill, all: Timetable, exclusions: Exclusions): readonly Fire[] {
  const timetable = all.only(all.independentPlaces);
  const beforeMs = startAt.getTime() - 1;
  const lastMs = endAt.getTime() - 1;
  if (timetable.count(beforeMs, lastMs, maxBackfill + 1, []) > maxBackfill) {
    throw new DomainError(
      'QUOTA_EXCEEDED',
      `the range holds more than ${maxBackfill} fire times; ask for shorter ranges`,
      {
        metadata: { limit: String(maxBackfill) },
        quota: { subject: 'backfill', description: `at most ${maxBackfill} fire times` },
      },
    );
  }
  const fires: Fire[] = [];
  for (
    let fire = timetable.next(beforeMs, []);
    fire && fire.atMs <= lastMs;
    fire = timetable.next(fire.atMs, [])
  ) {
    const applied = exclusions.apply(fire);
    if (applied.kind === 'open') fires.push(applied.fire);
  }
  return fires;
}

function planned(
  fires: readonly Fire[],
  { overlap }: Backfill,
  rule: OverlapRule,
): { readonly rows: readonly BackfillRow[]; readonly cancelsOthers: boolean } {
  let cancelsOthers = false;
  const last = fires.at(-1);
  const rows = fires.map((fire): BackfillRow => {
    const row = { fireMs: fire.atMs, schedule: fire.name, buffered: false };
    const name = `the execution of ${new Date(fire.atMs).toISOString()}`;
    if (overlap === 'CANCEL_OTHER' && last && fire !== last) {
      const message = `replaced by the execution of ${new Date(last.atMs).toISOString()}`;
      return { ...row, state: 'SKIPPED', message };
    }
    // The bound on what waits is for what comes by itself; a backfill has its own.
    const decision = rule.decide(overlap, name, maxBackfill + maxBuffered);
    if (decision.kind === 'SKIP') return { ...row, state: 'SKIPPED', message: decision.message };
    if (decision.kind === 'BUFFER' && decision.cancelsOthers) cancelsOthers = true;
    return { ...row, state: 'PENDING', message: '', buffered: decision.kind === 'BUFFER' };
  });
  return { rows, cancelsOthers };
}
