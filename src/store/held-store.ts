import { type Db, numberArray, run, type Tx } from './database.ts';
import { feedInsert } from './feed-events.ts';

/** Fire times that a pause held back: rows that are SKIPPED with PAUSED until Resume lets them run. */
export class PgHeldStore {
  /** The rows of a job that a pause held back since an instant, newest first. */
  async listHeldBack(
    db: Db,
    jobId: number,
    since: Date,
    limit: number,
  ): Promise<readonly { readonly id: number; readonly fireAt: Date; readonly schedule: string }[]> {
    return run(
      db,
      `select id, fire_at as "fireAt", schedule from carillon.execution
        where job_id = $1 and state = 'SKIPPED' and reason = 'PAUSED' and skipped_count = 0 and created_at >= $2
        order by id desc limit $3`,
      [jobId, since, limit],
    );
  }

  /** Notes that rows which a pause held back could not run after it either, because the job was not idle. */
  async markOverlapped(tx: Tx, ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return;
    await run(
      tx,
      `update carillon.execution set reason = 'OVERLAP', message = 'held by a pause; not idle when it was released'
        where id = any ($1::bigint[]) and state = 'SKIPPED' and reason = 'PAUSED'`,
      [numberArray(ids)],
    );
  }

  /**
   * Lets rows run that a pause held back: they become PENDING with cause
   * CATCH_UP; those that are buffered wait for the others of their job to end.
   */
  async release(tx: Tx, rows: readonly { readonly id: number; readonly buffered: boolean }[]): Promise<void> {
    if (rows.length === 0) return;
    await run(
      tx,
      `with released as (
         update carillon.execution e
            set state = 'PENDING', cause = 'CATCH_UP', finished_at = null, reason = null, message = ''
           from carillon.job j, unnest($1::bigint[], $2::boolean[]) as r (id, buffered)
          where e.id = r.id and e.state = 'SKIPPED' and e.reason = 'PAUSED' and j.id = e.job_id
         returning e.id, e.job_id, e.priority, e.fire_at, j.queue_timeout_ms, r.buffered
       ), opened as (
         insert into carillon.open_execution (execution_id, job_id, priority, expires_at, buffered_for)
         select id, job_id, priority, clock_timestamp() + queue_timeout_ms * interval '1 millisecond',
                case when buffered then fire_at end
           from released
       )
       ${feedInsert('released', {
         executionId: 'id',
         jobId: 'job_id',
         event: '1::smallint',
         attempt: '0',
       })}`,
      [numberArray(rows.map((row) => row.id)), rows.map((row) => row.buffered)],
    );
  }
}

/** Held fire times as the engine sees them. */
export type HeldStore = Pick<PgHeldStore, keyof PgHeldStore>;
