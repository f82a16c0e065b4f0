/**
 * What the end of executions leaves to be done in their jobs: buffered
 * executions to let go, fixed delays to begin, runs to give back.
 *
 * `list…` reads without a lock and may be late or early by a commit; whoever
 * acts locks the timer rows of the jobs first and asks again inside the
 * transaction. What is left to be done stays visible to the lists until it is
 * done, so that nothing depends on one process remembering it.
 *
 * The lists look at jobs, never at every buffered row of one, and ask an index
 * about each: open_execution_buffered_idx, open_execution_job_id_idx,
 * timer_waits_for_finish_idx, execution_one_row_per_fire_time_idx.
 */
import { type Db, numberArray, run, type Tx } from './database.ts';

/** An execution with a fixed delay behind it that has finished. */
export type FinishedDelay = { readonly jobId: number; readonly fireMs: number; readonly finishedMs: number };

/** An execution that ended before it started and that schedules keep count of. */
export type UnusedRun = {
  readonly jobId: number;
  readonly charged: readonly string[];
  readonly endedMs: number;
};

export class PgContinuationStore {
  /** Which of these jobs have something to be done. */
  async listAmong(db: Db, jobIds: readonly number[]): Promise<readonly number[]> {
    return idsOf(
      db,
      `/* continuable_among */
       select i.job_id as "jobId" from unnest((select $1::bigint[])) as i (job_id)
        where exists (select 1 from carillon.unused_run u where u.job_id = i.job_id)
           or (${isBufferedAlone})
           or exists (select 1 from carillon.timer t cross join lateral (${awaited}) w
                       where t.job_id = i.job_id and t.waits_for_finish and ${isFinished})
        order by 1`,
      [numberArray(jobIds)],
    );
  }

  /** Jobs, behind an id and up to a limit, with buffered executions to let go or runs to give back. */
  async listBufferedOrUnused(db: Db, afterId: number, limit: number): Promise<readonly number[]> {
    return idsOf(
      db,
      `/* continuable */
       with recursive buffered (job_id) as (
         (select job_id from carillon.open_execution where buffered_for is not null and job_id > $1
           order by job_id limit 1)
         union all
         select (select o.job_id from carillon.open_execution o
                  where o.buffered_for is not null and o.job_id > b.job_id order by o.job_id limit 1)
           from buffered b where b.job_id is not null
       ), i as (
         select job_id from buffered where job_id is not null
          union
         select job_id from carillon.unused_run where job_id > $1
       )
       select i.job_id as "jobId" from i
        where exists (select 1 from carillon.unused_run u where u.job_id = i.job_id) or (${isBufferedAlone})
        order by 1 limit $2`,
      [afterId, limit],
    );
  }

  /**
   * Of the next so many jobs behind an id that wait for the finish of an
   * execution: those for which it has happened, and the last job looked at,
   * null at the end.
   */
  async listFinishedDelays(
    db: Db,
    afterId: number,
    limit: number,
  ): Promise<{ readonly jobIds: readonly number[]; readonly lastId: number | null }> {
    const rows = await run<{ jobId: number; finished: boolean }>(
      db,
      `/* continuable_delays */
       with t as materialized (
         select job_id, progress from carillon.timer where waits_for_finish and job_id > $1 order by job_id limit $2
       )
       select t.job_id as "jobId", bool_or(f.finished) as finished
         from t cross join lateral (${awaited}) w
        cross join lateral (select ${isFinished} as finished) f
        group by t.job_id order by t.job_id`,
      [afterId, limit],
    );
    return {
      jobIds: rows.filter((row) => row.finished).map((row) => row.jobId),
      lastId: rows.length < limit ? null : rows.at(-1)!.jobId,
    };
  }

  /**
   * Lets the earliest buffered execution go in each job that has no other one
   * open. Returns how many. The jobs' timer rows are locked.
   */
  async releaseBuffered(tx: Tx, jobIds: readonly number[]): Promise<number> {
    const [row] = await run<{ released: number }>(
      tx,
      `/* release_buffered */
       with first as materialized (
         select o.execution_id from carillon.open_execution o
          where o.execution_id in (
            select b.execution_id from unnest($1::bigint[]) as i (job_id)
             cross join lateral (
               select execution_id from carillon.open_execution
                where job_id = i.job_id and buffered_for is not null
                order by buffered_for, execution_id limit 1) b
             where not exists (select 1 from carillon.open_execution u
                                where u.job_id = i.job_id and u.buffered_for is null))
          order by o.execution_id for update
       ), released as (
         update carillon.open_execution o set buffered_for = null from first f where o.execution_id = f.execution_id
         returning 1
       )
       select count(*) as released from released`,
      [numberArray(jobIds)],
    );
    return row!.released;
  }

  /** Lets all buffered executions of a job go; its timer row is locked. */
  async releaseAll(tx: Tx, jobId: number): Promise<void> {
    await run(
      tx,
      'update carillon.open_execution set buffered_for = null where job_id = $1 and buffered_for is not null',
      [jobId],
    );
  }

  /** The finishes that fixed delays of these jobs wait for and that have happened; an execution that is gone finished now. */
  async listFinished(tx: Tx, jobIds: readonly number[]): Promise<readonly FinishedDelay[]> {
    return run<FinishedDelay>(
      tx,
      `/* finished_delays */
       select t.job_id as "jobId", w.fire_ms as "fireMs",
              (extract(epoch from coalesce(e.finished_at, clock_timestamp())) * 1000)::float8 as "finishedMs"
         from carillon.timer t
        cross join lateral (${awaited}) w
         left join carillon.execution e
           on e.job_id = t.job_id and e.fire_at = to_timestamp(w.fire_ms / 1000.0) and e.cause in ('SCHEDULE', 'CATCH_UP')
        where t.job_id = any ($1::bigint[]) and t.waits_for_finish
          and (e.id is null or e.state not in ('PENDING', 'RUNNING'))`,
      [numberArray(jobIds)],
    );
  }

  /** Takes the unused runs of these jobs away, to be given back in the same transaction. */
  async takeUnusedRuns(tx: Tx, jobIds: readonly number[]): Promise<readonly UnusedRun[]> {
    return run<UnusedRun>(
      tx,
      `/* take_unused_runs */
       delete from carillon.unused_run where job_id = any ($1::bigint[])
       returning job_id as "jobId", charged, (extract(epoch from ended_at) * 1000)::float8 as "endedMs"`,
      [numberArray(jobIds)],
    );
  }
}

/** Continuations as the engine sees them. */
export type ContinuationStore = Pick<PgContinuationStore, keyof PgContinuationStore>;

/** The fire times that the fixed delays of timer t wait for. */
const awaited = `select (p -> 'delay' ->> 'waitsForMs')::float8 as fire_ms from jsonb_array_elements(t.progress) p
                  where p -> 'delay' ? 'waitsForMs'`;

/** Whether the execution of timer t and fire time w is over, or is not there. */
const isFinished = `not exists (
  select 1 from carillon.execution e
   where e.job_id = t.job_id and e.fire_at = to_timestamp(w.fire_ms / 1000.0) and e.cause in ('SCHEDULE', 'CATCH_UP')
     and e.state in ('PENDING', 'RUNNING'))`;

/** Whether job i has buffered executions, and nothing else open. */
const isBufferedAlone = `
  exists (select 1 from carillon.open_execution b where b.job_id = i.job_id and b.buffered_for is not null)
  and not exists (select 1 from carillon.open_execution u where u.job_id = i.job_id and u.buffered_for is null)`;

async function idsOf(db: Db, statement: string, parameters: readonly unknown[]): Promise<readonly number[]> {
  const rows = await run<{ jobId: number }>(db, statement, parameters);
  return rows.map((row) => row.jobId);
}
