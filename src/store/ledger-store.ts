import { type SqlBool, sql } from 'kysely';
import {
  type Execution,
  type ExecutionCause,
  type ExecutionState,
  waitingForOthers,
  waitingForSlot,
  waitingForWorker,
} from '../domain/execution.ts';
import type { JobKey } from '../domain/job.ts';
import { mergeParameters } from '../domain/parameters.ts';
import { type Db, numberArray, run } from './database.ts';
import { selectorCondition } from './job-rows.ts';
import { type OpenChoice, openCondition } from './open-choice.ts';
import { calleeId } from './report-store.ts';

export type LedgerQuery = {
  readonly jobId?: number;
  readonly namespace?: string;
  /** Absent: every namespace. */
  readonly within?: readonly string[];
  readonly group?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly states?: readonly ExecutionState[];
  readonly causes?: readonly ExecutionCause[];
  readonly backfillId?: number;
  readonly startFireAt?: Date;
  readonly endFireAt?: Date;
  readonly newestFirst: boolean;
  /** Where the page begins: behind this execution. */
  readonly afterId?: number;
  readonly limit: number;
};

/** The ledger: what became of every fire time and every trigger. */
export class PgLedgerStore {
  /** One execution with its attempts. */
  async find(db: Db, id: number): Promise<Execution | undefined> {
    const [row] = await ledgerRows(db).where('e.id', '=', id).execute();
    if (!row) return undefined;
    const ended = await db
      .selectFrom('carillon.attempt')
      .selectAll()
      .where('execution_id', '=', id)
      .orderBy('attempt')
      .execute();
    const attempts = ended.map((attempt) => ({
      attempt: attempt.attempt,
      startedAt: attempt.started_at,
      finishedAt: attempt.finished_at as Date | undefined,
      outcome: attempt.outcome as 'SUCCEEDED' | 'FAILED' | 'CANCELED' | 'RUNNING',
      reason: attempt.reason ?? undefined,
      message: attempt.message,
      instanceId: instanceText(attempt.instance_id),
      workerId: attempt.worker_id ?? undefined,
    }));
    if (row.attempt_started_at && row.instance_id !== null) {
      attempts.push({
        attempt: row.attempt,
        startedAt: row.attempt_started_at,
        finishedAt: undefined,
        outcome: 'RUNNING',
        reason: undefined,
        message: '',
        instanceId: instanceText(row.instance_id),
        workerId: row.worker_id ?? undefined,
      });
    }
    return {
      ...executionFromRow(row),
      attempts,
      parameters: mergeParameters(row.job_parameters, row.parameters),
    };
  }

  /** Executions by id, in the order of the ids, without attempts. */
  async listByIds(db: Db, ids: readonly number[]): Promise<readonly Execution[]> {
    if (ids.length === 0) return [];
    const rows = await ledgerRows(db)
      .where(sql<SqlBool>`e.id = any (${numberArray(ids)}::bigint[])`)
      .orderBy('e.id')
      .execute();
    return rows.map(executionFromRow);
  }

  /** A page of executions. By job it uses execution_job_id_id_idx, else the primary key. */
  async list(db: Db, query: LedgerQuery): Promise<readonly Execution[]> {
    let rows = ledgerRows(db)
      .orderBy('e.id', query.newestFirst ? 'desc' : 'asc')
      .limit(query.limit);
    if (query.jobId !== undefined) rows = rows.where('e.job_id', '=', query.jobId);
    if (query.afterId !== undefined) rows = rows.where('e.id', query.newestFirst ? '<' : '>', query.afterId);
    if (query.states?.length) rows = rows.where('e.state', 'in', query.states);
    if (query.causes?.length) rows = rows.where('e.cause', 'in', query.causes);
    if (query.backfillId !== undefined) rows = rows.where('e.backfill_id', '=', query.backfillId);
    if (query.startFireAt) rows = rows.where('e.fire_at', '>=', query.startFireAt);
    if (query.endFireAt) rows = rows.where('e.fire_at', '<', query.endFireAt);
    const { namespace, group, labels, within } = query;
    if ([namespace, group, labels, within].some((condition) => condition !== undefined)) {
      rows = rows.where(selectorCondition({ namespace, group, labels, within }));
    }
    return (await rows.execute()).map(executionFromRow);
  }

  /** The open executions of chosen jobs, oldest first. */
  async listOpen(db: Db, jobs: OpenChoice, limit: number): Promise<readonly Execution[]> {
    const rows = await ledgerRows(db)
      .where('o.execution_id', 'is not', null)
      .where(openCondition(jobs))
      .orderBy('e.id')
      .limit(limit)
      .execute();
    return rows.map(executionFromRow);
  }

  /** The newest executions of chosen jobs, oldest of them first. */
  async listNewest(db: Db, jobs: OpenChoice, limit: number): Promise<readonly Execution[]> {
    const condition =
      'jobIds' in jobs
        ? sql<SqlBool>`e.job_id = any (${numberArray(jobs.jobIds)}::bigint[])`
        : selectorCondition(jobs.selector);
    const rows = await ledgerRows(db).where(condition).orderBy('e.id', 'desc').limit(limit).execute();
    return rows.toReversed().map(executionFromRow);
  }

  /** The newest execution of a job. */
  async findLast(db: Db, jobId: number): Promise<Execution | undefined> {
    const [row] = await ledgerRows(db)
      .where('e.job_id', '=', jobId)
      .orderBy('e.id', 'desc')
      .limit(1)
      .execute();
    return row && executionFromRow(row);
  }

  /** The fire times of the executions that a backfill made, in order; those that were skipped are not among them. */
  async listBackfilled(db: Db, backfillId: number): Promise<readonly Date[]> {
    const rows = await run<{ fireAt: Date }>(
      db,
      `select fire_at as "fireAt" from carillon.execution where backfill_id = $1 and state <> 'SKIPPED' order by id`,
      [backfillId],
    );
    return rows.map((row) => row.fireAt);
  }

  /** Which of these ids name an execution, each with the id of its job. */
  async listKnownIds(db: Db, ids: readonly number[]): Promise<ReadonlyMap<number, number>> {
    if (ids.length === 0) return new Map();
    const rows = await run<{ id: number; jobId: number }>(
      db,
      'select id, job_id as "jobId" from carillon.execution where id = any ($1::bigint[])',
      [numberArray(ids)],
    );
    return new Map(rows.map(({ id, jobId }) => [id, jobId]));
  }
}

/** The ledger as the engine sees it. */
export type LedgerStore = Pick<PgLedgerStore, keyof PgLedgerStore>;

/** The instance that has an attempt; nothing where its callee does. */
const instanceText = (id: number): string => (id === calleeId ? '' : String(id));

function ledgerRows(db: Db) {
  return db
    .selectFrom('carillon.execution as e')
    .innerJoin('carillon.job as j', 'j.id', 'e.job_id')
    .leftJoin('carillon.open_execution as o', 'o.execution_id', 'e.id')
    .leftJoin('carillon.queue as q', 'q.id', 'o.queue_id')
    .selectAll('e')
    .select([
      'j.namespace',
      'j.group_name',
      'j.name',
      'j.parameters as job_parameters',
      'o.due_at',
      'o.buffered_for',
      'o.placement',
      'q.name as queue',
      'o.instance_id',
      'o.attempt_started_at',
      'o.cancel_requested_at',
    ]);
}

type LedgerRow = Awaited<ReturnType<ReturnType<typeof ledgerRows>['execute']>>[number];

function executionFromRow(row: LedgerRow): Execution {
  const key: JobKey = { namespace: row.namespace, group: row.group_name, name: row.name };
  return {
    id: row.id,
    jobId: row.job_id,
    jobKey: key,
    schedule: row.schedule,
    cause: row.cause,
    fireAt: row.fire_at,
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    state: row.state,
    reason: row.reason ?? undefined,
    message: row.message,
    attempt: row.attempt,
    result: row.result ?? undefined,
    priority: row.priority,
    term: row.term,
    waitingFor: row.state === 'PENDING' ? waitingFor(row) : '',
    skippedCount: row.skipped_count,
    backfillId: row.backfill_id ?? undefined,
    workerId: row.worker_id ?? undefined,
    waitsIn:
      row.state === 'PENDING' && row.queue !== null
        ? { queue: row.queue, placement: row.placement ?? undefined }
        : undefined,
  };
}

function waitingFor(row: LedgerRow): string {
  if (row.buffered_for) return waitingForOthers;
  if (row.due_at) return `attempt ${row.attempt + 1} is due at ${row.due_at.toISOString()}`;
  return row.queue === null ? waitingForSlot : waitingForWorker(row.queue);
}
