/**
 * What the end of executions leaves to be done in their jobs: buffered
 * executions to let go, fixed delays to begin, runs to give back.
 *
 * `list…` reads without a lock and may be late or early by a commit; whoever
 * acts locks the timer rows of the jobs first and asks again inside the
 * transaction. What is left to be done stays visible to the lists until it is
 * done, so that nothing depends on one process remembering it.
 */
import { type Db, numberArray, run, type Tx } from './database.ts';

/** An execution with a fixed delay behind it that has finished. */
export type FinishedDelay = { readonly jobId: number; readonly fireMs: number; readonly finishedMs: number };

/** An execution that ended before it started and whose run counts. */
export type UnusedRun = { readonly jobId: number; readonly fireMs: number; readonly schedule: string };

export class PgContinuationStore {
  /** Which of these jobs have something to be done. */
  async listAmong(db: Db, jobIds: readonly number[]): Promise<readonly number[]> {
    const rows = await run<{ jobId: number }>(
      db,
      `/* continuable_among */ ${continuable('= any ($1::bigint[])')} order by 1`,
      [numberArray(jobIds)],
    );
    return rows.map((row) => row.jobId);
  }

  /** Jobs that have something to be done, behind an id, up to a limit. Reads partial indexes of such jobs only. */
  async listAll(db: Db, afterId: number, limit: number): Promise<readonly number[]> {
    const rows = await run<{ jobId: number }>(
      db,
      `/* continuable */ ${continuable('> $1::bigint')} order by 1 limit $2`,
      [afterId, limit],
    );
    return rows.map((row) => row.jobId);
  }

  /**
   * Lets the earliest buffered execution go in each job that has no other one
   * open. Returns how many. The jobs' timer rows are locked.
   */
  async releaseBuffered(tx: Tx, jobIds: readonly number[]): Promise<number> {
    const [row] = await run<{ released: number }>(
      tx,
      `/* release_buffered */
       with first as (
         select b.execution_id
           from unnest($1::bigint[]) as i (job_id)
           cross join lateral (
             select execution_id from carillon.open_execution
              where job_id = i.job_id and buffered_for is not null
              order by buffered_for, execution_id limit 1) b
          where not exists (select 1 from carillon.open_execution o
                             where o.job_id = i.job_id and o.buffered_for is null)
       ), released as (
         update carillon.open_execution o set buffered_for = null from first f where o.execution_id = f.execution_id
         returning 1
       )
       select count(*) as released from released`,
      [numberArray(jobIds)],
    );
    return row!.released;
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
       returning job_id as "jobId", (extract(epoch from fire_at) * 1000)::float8 as "fireMs", schedule`,
      [numberArray(jobIds)],
    );
  }
}

/** Continuations as the engine sees them. */
export type ContinuationStore = Pick<PgContinuationStore, keyof PgContinuationStore>;

/** The fire times that the fixed delays of timer t wait for. */
const awaited = `select (p -> 'delay' ->> 'waitsForMs')::float8 as fire_ms from jsonb_array_elements(t.progress) p
                  where p -> 'delay' ? 'waitsForMs'`;

/** Distinct jobs, whose ids fit a condition, with something to be done. */
const continuable = (condition: string): string => `
  select job_id as "jobId" from carillon.unused_run where job_id ${condition}
   union
  select b.job_id from carillon.open_execution b
   where b.buffered_for is not null and b.job_id ${condition}
     and not exists (select 1 from carillon.open_execution o where o.job_id = b.job_id and o.buffered_for is null)
   union
  select t.job_id from carillon.timer t cross join lateral (${awaited}) w
   where t.waits_for_finish and t.job_id ${condition}
     and not exists (select 1 from carillon.execution e
                      where e.job_id = t.job_id and e.fire_at = to_timestamp(w.fire_ms / 1000.0)
                        and e.cause in ('SCHEDULE', 'CATCH_UP') and e.state in ('PENDING', 'RUNNING'))`;
