import { type Expression, type SqlBool, sql } from 'kysely';
import type { Execution, ExecutionCause, ExecutionReason, ExecutionState } from '../domain/execution.ts';
import type { JobKey, JobRef, Parameters, Selector } from '../domain/job.ts';
import { mergeParameters } from '../domain/parameters.ts';
import { type Db, numberArray, run, type Tx } from './database.ts';
import { feedEventOf, feedInsert } from './feed-events.ts';
import { selectorCondition } from './job-store.ts';

/** An execution that somebody asked for. */
export type TriggeredRow = {
  readonly id: number;
  readonly jobId: number;
  readonly cause: ExecutionCause;
  readonly state: 'PENDING' | 'SKIPPED';
  readonly reason?: ExecutionReason;
  readonly message: string;
  readonly priority: number;
  readonly queueTimeoutMs: number | null;
  readonly parameters: Parameters | null;
};

/** A job that a reference names, and what Trigger needs to know of it. */
export type ResolvedJob = {
  readonly id: number;
  readonly namespace: string;
  readonly generation: number;
  readonly firesAgain: boolean;
  readonly paused: boolean;
};

export type LedgerQuery = {
  readonly jobId?: number;
  readonly namespace?: string;
  readonly group?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly states?: readonly ExecutionState[];
  readonly causes?: readonly ExecutionCause[];
  readonly startFireAt?: Date;
  readonly endFireAt?: Date;
  readonly newestFirst: boolean;
  /** Where the page begins: behind this execution. */
  readonly afterId?: number;
  readonly limit: number;
};

/** The ledger: what became of every fire time and every trigger. */
export class PgLedgerStore {
  /** Draws ids, in order. */
  async drawIds(db: Db, count: number): Promise<readonly number[]> {
    const rows = await run<{ id: number }>(
      db,
      '/* draw_ids */ select carillon.next_id() as id from generate_series(1, $1)',
      [count],
    );
    return rows.map((row) => row.id);
  }

  /** Finds the jobs that references name; undefined in the place of one that does not exist. */
  async resolveJobs(db: Db, refs: readonly JobRef[]): Promise<readonly (ResolvedJob | undefined)[]> {
    return resolve<ResolvedJob>(db, refs, `/* resolve_jobs */ ${resolveStatement}`);
  }

  /** Finds jobs and draws an id for an execution of each in the same statement, in the order of the references. */
  async resolveAndDraw(
    db: Db,
    refs: readonly JobRef[],
  ): Promise<readonly ((ResolvedJob & { readonly executionId: number }) | undefined)[]> {
    return resolve(
      db,
      refs,
      `/* resolve_and_draw */
       select r.*, carillon.next_id() as "executionId" from (${resolveStatement} order by f.place) r`,
    );
  }

  /** Writes executions that were asked for, and opens those that are to run. Returns when they were made. */
  async insertTriggered(tx: Db, rows: readonly TriggeredRow[]): Promise<Date> {
    const [row] = await run<{ at: Date }>(tx, insertTriggeredStatement, [
      numberArray(rows.map((r) => r.id)),
      numberArray(rows.map((r) => r.jobId)),
      rows.map((r) => r.cause),
      rows.map((r) => r.state),
      rows.map((r) => r.reason ?? null),
      rows.map((r) => r.message),
      numberArray(rows.map((r) => r.priority)),
      numberArray(rows.map((r) => r.queueTimeoutMs)),
      rows.map((r) => (r.parameters === null ? null : JSON.stringify(r.parameters))),
    ]);
    return row!.at;
  }

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
      instanceId: String(attempt.instance_id),
    }));
    if (row.attempt_started_at && row.instance_id !== null) {
      attempts.push({
        attempt: row.attempt,
        startedAt: row.attempt_started_at,
        finishedAt: undefined,
        outcome: 'RUNNING',
        reason: undefined,
        message: '',
        instanceId: String(row.instance_id),
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
    if (query.startFireAt) rows = rows.where('e.fire_at', '>=', query.startFireAt);
    if (query.endFireAt) rows = rows.where('e.fire_at', '<', query.endFireAt);
    const { namespace, group, labels } = query;
    if (namespace !== undefined || group !== undefined || labels !== undefined) {
      rows = rows.where(selectorCondition({ namespace, group, labels }));
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

  /**
   * Cancels open executions: those that nobody holds end at once, the others
   * are marked and end when their attempt does. Locks rows in the order of
   * their ids. Returns what it touched and what it marked.
   */
  async cancel(
    tx: Tx,
    choice: { readonly executionIds: readonly number[] } | OpenChoice,
    message: string,
    options: { readonly onlyWaiting?: boolean } = {},
  ): Promise<{ readonly canceled: readonly number[]; readonly marked: readonly number[] }> {
    const condition =
      'executionIds' in choice
        ? sql<SqlBool>`o.execution_id = any (${numberArray(choice.executionIds)}::bigint[])`
        : openCondition(choice);
    const { rows } = await sql<{ id: number; marked: boolean }>`
      with open as materialized (
        select o.execution_id, o.instance_id
          from carillon.open_execution o
         where ${condition} ${options.onlyWaiting ? sql`and o.instance_id is null and o.attempt = 0` : sql``}
         order by o.execution_id
           for update
      ), gone as (
        delete from carillon.open_execution o using open p
         where o.execution_id = p.execution_id and p.instance_id is null
        returning o.execution_id
      ), marked as (
        update carillon.open_execution o
           set cancel_requested_at = coalesce(o.cancel_requested_at, clock_timestamp()), cancel_message = ${message}
          from open p where o.execution_id = p.execution_id and p.instance_id is not null
        returning o.execution_id
      ), ledger as (
        update carillon.execution e
           set state = 'CANCELED', finished_at = clock_timestamp(), reason = 'CANCEL_REQUESTED', message = ${message}
          from gone g where e.id = g.execution_id
        returning e.id, e.job_id, e.attempt
      ), fed as (${sql.raw(
        feedInsert('ledger', {
          executionId: 'id',
          jobId: 'job_id',
          event: '5::smallint',
          attempt: 'attempt',
        }),
      )})
      select id, false as marked from ledger union all select execution_id, true from marked order by 1`.execute(
      tx,
    );
    return {
      canceled: rows.map((row) => row.id),
      marked: rows.filter((row) => row.marked).map((row) => row.id),
    };
  }

  /** Which of these ids name an execution. */
  async listKnownIds(db: Db, ids: readonly number[]): Promise<ReadonlySet<number>> {
    const rows = await run<{ id: number }>(
      db,
      'select id from carillon.execution where id = any ($1::bigint[])',
      [numberArray(ids)],
    );
    return new Set(rows.map((row) => row.id));
  }

  /** The rows of a job that a pause held back since an instant, newest first. */
  async listHeldBack(
    db: Db,
    jobId: number,
    since: Date,
    limit: number,
  ): Promise<readonly { readonly id: number; readonly fireAt: Date }[]> {
    return run(
      db,
      `select id, fire_at as "fireAt" from carillon.execution
        where job_id = $1 and state = 'SKIPPED' and reason = 'PAUSED' and skipped_count = 0 and created_at >= $2
        order by id desc limit $3`,
      [jobId, since, limit],
    );
  }

  /** Notes that rows which a pause held back could not run after it either, because the job was not idle. */
  async markOverlapped(tx: Tx, ids: readonly number[]): Promise<void> {
    await run(
      tx,
      `update carillon.execution set reason = 'OVERLAP', message = 'held by a pause; not idle when it was released'
        where id = any ($1::bigint[]) and state = 'SKIPPED' and reason = 'PAUSED'`,
      [numberArray(ids)],
    );
  }

  /** Lets rows run that a pause held back: they become PENDING with cause CATCH_UP. */
  async release(tx: Tx, ids: readonly number[]): Promise<void> {
    await run(
      tx,
      `with released as (
         update carillon.execution e
            set state = 'PENDING', cause = 'CATCH_UP', finished_at = null, reason = null, message = ''
           from carillon.job j
          where e.id = any ($1::bigint[]) and e.state = 'SKIPPED' and e.reason = 'PAUSED' and j.id = e.job_id
         returning e.id, e.job_id, e.priority, j.queue_timeout_ms
       ), opened as (
         insert into carillon.open_execution (execution_id, job_id, priority, expires_at)
         select id, job_id, priority, clock_timestamp() + queue_timeout_ms * interval '1 millisecond' from released
       )
       ${feedInsert('released', {
         executionId: 'id',
         jobId: 'job_id',
         event: '1::smallint',
         attempt: '0',
       })}`,
      [numberArray(ids)],
    );
  }
}

/** The ledger as the engine sees it. */
export type LedgerStore = Pick<PgLedgerStore, keyof PgLedgerStore>;

/** Jobs whose open executions are meant. */
export type OpenChoice = { readonly jobIds: readonly number[] } | { readonly selector: Selector };

function openCondition(choice: OpenChoice): Expression<SqlBool> {
  if ('jobIds' in choice) return sql<SqlBool>`o.job_id = any (${numberArray(choice.jobIds)}::bigint[])`;
  return sql<SqlBool>`o.job_id in (select j.id from carillon.job j where ${selectorCondition(choice.selector)})`;
}

function ledgerRows(db: Db) {
  return db
    .selectFrom('carillon.execution as e')
    .innerJoin('carillon.job as j', 'j.id', 'e.job_id')
    .leftJoin('carillon.open_execution as o', 'o.execution_id', 'e.id')
    .selectAll('e')
    .select([
      'j.namespace',
      'j.group_name',
      'j.name',
      'j.parameters as job_parameters',
      'o.due_at',
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
  };
}

function waitingFor(row: LedgerRow): string {
  if (row.due_at) return `attempt ${row.attempt + 1} is due at ${row.due_at.toISOString()}`;
  return 'an instance with a free slot';
}

async function resolve<Job extends ResolvedJob>(
  db: Db,
  refs: readonly JobRef[],
  statement: string,
): Promise<readonly (Job | undefined)[]> {
  const rows = await run<Job & { place: number }>(db, statement, [
    numberArray(refs.map((ref) => ('id' in ref ? ref.id : null))),
    refs.map((ref) => ('key' in ref ? ref.key.namespace : null)),
    refs.map((ref) => ('key' in ref ? ref.key.group : null)),
    refs.map((ref) => ('key' in ref ? ref.key.name : null)),
  ]);
  const found: (Job | undefined)[] = refs.map(() => undefined);
  for (const row of rows) found[row.place - 1] = row;
  return found;
}

const resolveStatement = `
  with asked as (
    select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
      with ordinality as a (id, namespace, group_name, name, place)
  ), found as (
    select a.place, j.id, j.namespace from asked a join carillon.job j on j.id = a.id
     where a.id is not null and j.deleted_at is null
    union all
    select a.place, j.id, j.namespace from asked a
      join carillon.job j on j.namespace = a.namespace and j.group_name = a.group_name and j.name = a.name
     where a.id is null and j.deleted_at is null
  )
  select f.place, f.id, f.namespace, t.generation, t.next_fire_at is not null as "firesAgain",
         exists (select 1 from carillon.pause p where p.job_id = f.id
                    and (p.until_at is null or p.until_at > clock_timestamp())) as paused
    from found f join carillon.timer t on t.job_id = f.id`;

const insertTriggeredStatement = `/* insert_triggered */
  with made as materialized (
    select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[],
                         $8::bigint[], $9::text[])
      as m (id, job_id, cause, state, reason, message, priority, queue_timeout_ms, parameters)
  ), clock as materialized (
    select date_trunc('milliseconds', clock_timestamp()) as at
  ), ledger as (
    insert into carillon.execution (id, job_id, fire_at, created_at, finished_at, term, priority, cause, state, reason,
                                    schedule, message, parameters)
    select id, job_id, at, at, case when state = 'SKIPPED' then at end, 0, priority, cause, state, reason, '',
           message, parameters::jsonb
      from made, clock
  ), opened as (
    insert into carillon.open_execution (execution_id, job_id, priority, expires_at)
    select id, job_id, priority, at + queue_timeout_ms * interval '1 millisecond' from made, clock where state = 'PENDING'
  ), fed as (${feedInsert('made', {
    executionId: 'id',
    jobId: 'job_id',
    event: feedEventOf('state'),
    attempt: '0',
  })}
  )
  select at from clock`;
