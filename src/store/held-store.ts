import { type Db, numberArray, run, type Tx } from './database.ts';
import { feedInsert } from './feed-events.ts';
import { laneOf } from './lanes.ts';

/** A fire time that a pause held back. */
export type HeldRow = {
  readonly id: number;
  readonly jobId: number;
  readonly fireAt: Date;
  readonly schedule: string;
};

/** Fire times that a pause held back: rows that are SKIPPED with PAUSED until Resume lets them run. */
export class PgHeldStore {
  /**
   * The rows of jobs that pauses held back, each job's since an instant, newest
   * first, so many of each. Uses execution_held_idx.
   */
  async listHeldBack(
    db: Db,
    jobs: readonly { readonly jobId: number; readonly heldSince: Date }[],
    limit: number,
  ): Promise<readonly HeldRow[]> {
    return run(
      db,
      `select h.* from unnest($1::bigint[], $2::timestamptz[]) as j (job_id, held_since)
        cross join lateral (
          select id, job_id as "jobId", fire_at as "fireAt", schedule from carillon.execution
           where job_id = j.job_id and state = 'SKIPPED' and reason = 'PAUSED' and skipped_count = 0
             and created_at >= j.held_since
           order by id desc limit $3) h
        order by h."jobId", h.id desc`,
      [numberArray(jobs.map((job) => job.jobId)), jobs.map((job) => job.heldSince), limit],
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
  async release(
    tx: Tx,
    rows: readonly {
      readonly id: number;
      readonly buffered: boolean;
      /** The schedules that keep count of it (Timetable.chargedFor). */
      readonly charged: readonly string[];
    }[],
  ): Promise<void> {
    if (rows.length === 0) return;
    await run(
      tx,
      `with released as (
         update carillon.execution e
            set state = 'PENDING', cause = 'CATCH_UP', finished_at = null, reason = null, message = ''
           from carillon.job j, unnest($1::bigint[], $2::boolean[], $3::text[]) as r (id, buffered, charged)
          where e.id = r.id and e.state = 'SKIPPED' and e.reason = 'PAUSED' and j.id = e.job_id
         returning e.id, e.job_id, e.priority, e.fire_at, j.queue_timeout_ms, j.queue_id, j.placement, r.buffered,
                   r.charged, ${laneOf('j')} as lane
       ), opened as (
         insert into carillon.open_execution (execution_id, job_id, priority, expires_at, buffered_for, charged,
                                              queue_id, placement, lane)
         select id, job_id, priority, clock_timestamp() + queue_timeout_ms * interval '1 millisecond',
                case when buffered then fire_at end,
                case when charged is not null then array(select jsonb_array_elements_text(charged::jsonb)) end,
                queue_id, placement, lane
           from released
       )
       ${feedInsert('released', {
         executionId: 'id',
         jobId: 'job_id',
         event: '1::smallint',
         attempt: '0',
       })}`,
      [
        numberArray(rows.map((row) => row.id)),
        rows.map((row) => row.buffered),
        rows.map(({ charged }) => (charged.length === 0 ? null : JSON.stringify(charged))),
      ],
    );
  }
}

/** Held fire times as the engine sees them. */
export type HeldStore = Pick<PgHeldStore, keyof PgHeldStore>;
