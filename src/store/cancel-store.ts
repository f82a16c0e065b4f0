import { type RawBuilder, type SqlBool, sql } from 'kysely';
import { type Db, numberArray, type Tx } from './database.ts';
import { feedInsert } from './feed-events.ts';
import { type OpenChoice, openCondition } from './open-choice.ts';
import { unusedRunInsert } from './unused-runs.ts';

/** Which open executions to cancel. */
export type CancelChoice =
  | { readonly executionIds: readonly number[] }
  | { readonly backfillId: number }
  | OpenChoice;

/** An execution that a cancel touched. */
export type Canceled = {
  readonly id: number;
  readonly jobId: number;
  /** It is held, by an instance or its callee, and ends when its attempt does; false: it has ended. */
  readonly marked: boolean;
};

/**
 * Cancels open executions: those that nobody holds end at once, the others are
 * marked and end when their attempt does. Rows are locked in the order of their
 * ids. What has ended before it started gives its run back (unused_run).
 */
export class PgCancelStore {
  /** Cancels because somebody asked for it. */
  async cancel(
    tx: Tx,
    choice: CancelChoice,
    message: string,
    options: { readonly onlyWaiting?: boolean } = {},
  ): Promise<readonly Canceled[]> {
    const waiting = options.onlyWaiting ? sql`and o.instance_id is null and o.attempt = 0` : sql``;
    return cancelOpen(
      tx,
      sql`select o.execution_id, o.instance_id, ${message}::text as message from carillon.open_execution o
           where ${conditionOf(choice)} ${waiting} order by o.execution_id for update`,
      'CANCEL_REQUESTED',
    );
  }

  /** Cancels everything that is open of jobs, because another execution of each takes its place. */
  async cancelReplaced(
    db: Db,
    jobs: readonly { readonly jobId: number; readonly message: string }[],
  ): Promise<readonly Canceled[]> {
    if (jobs.length === 0) return [];
    return cancelOpen(
      db,
      sql`select o.execution_id, o.instance_id, c.message
            from carillon.open_execution o
            join unnest(${numberArray(jobs.map((job) => job.jobId))}::bigint[],
                        ${jobs.map((job) => job.message)}::text[]) as c (job_id, message) on c.job_id = o.job_id
           where o.cancel_requested_at is null
           order by o.execution_id for update of o`,
      'OVERLAP',
    );
  }
}

/** Cancels as the engine sees them. */
export type CancelStore = Pick<PgCancelStore, keyof PgCancelStore>;

function conditionOf(choice: CancelChoice): RawBuilder<SqlBool> {
  if ('executionIds' in choice) {
    return sql<SqlBool>`o.execution_id = any (${numberArray(choice.executionIds)}::bigint[])`;
  }
  if ('backfillId' in choice) return sql<SqlBool>`o.backfill_id = ${choice.backfillId}`;
  return sql<SqlBool>`${openCondition(choice)}`;
}

async function cancelOpen(
  db: Db,
  open: RawBuilder<unknown>,
  reason: 'CANCEL_REQUESTED' | 'OVERLAP',
): Promise<readonly Canceled[]> {
  const { rows } = await sql<Canceled>`
    with open as materialized (${open}), gone as (
      delete from carillon.open_execution o using open p
       where o.execution_id = p.execution_id and p.instance_id is null
      returning o.execution_id, o.job_id, o.attempt, o.charged, p.message
    ), marked as (
      update carillon.open_execution o
         set cancel_requested_at = coalesce(o.cancel_requested_at, clock_timestamp()), cancel_message = p.message,
             cancel_reason = ${reason}
        from open p where o.execution_id = p.execution_id and p.instance_id is not null
      returning o.execution_id, o.job_id
    ), ledger as (
      update carillon.execution e
         set state = 'CANCELED', finished_at = clock_timestamp(), reason = ${reason}, message = g.message
        from gone g where e.id = g.execution_id
      returning e.id, e.job_id, e.attempt
    ), unused as (${sql.raw(unusedRunInsert('gone'))}
    ), fed as (${sql.raw(
      feedInsert('ledger', { executionId: 'id', jobId: 'job_id', event: '5::smallint', attempt: 'attempt' }),
    )})
    select id, job_id as "jobId", false as marked from ledger
    union all select execution_id, job_id, true from marked order by 1`.execute(db);
  return rows;
}
