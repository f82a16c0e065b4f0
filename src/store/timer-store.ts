/**
 * The timetable of all jobs and the statement that fires them.
 *
 * A tick of the leader is one transaction with a constant number of
 * statements, whatever the batch: find the term (LeaseStore.findTerm), lock the
 * due rows, fire. `lockDue` skips rows that somebody else holds: a command that
 * edits or triggers the job right now, or a second leader; they are still due
 * at the next tick. `fire` advances a row only while it still holds the fire
 * time that was read, and writes ledger rows only for what it advanced: that
 * compare-and-set is what makes a fire time happen once. A fire time that has a
 * ledger row all the same (two schedules of a job name one instant, and one of
 * them comes late) gets no second one and does not hold up the others.
 */
import type { PlannedRow } from '../domain/fire-situation.ts';
import type { Occupancy } from '../domain/overlap.ts';
import { waitsForFinish } from '../domain/schedule/progress.ts';
import type { ScheduleProgress } from '../domain/schedule/schedule.ts';
import { zoneDataVersion } from '../platform/zone-data.ts';
import { type Db, numberArray, run, type Tx } from './database.ts';
import { fireStatement } from './firing.ts';

/** The timer row of a job, locked. */
export type LockedTimer = {
  readonly jobId: number;
  readonly generation: number;
  readonly nextFireMs: number | null;
  readonly progress: readonly ScheduleProgress[];
  /** The database's clock. */
  readonly nowMs: number;
};

/** What a decision about a job needs to know besides its definition. */
export type JobSituation = {
  readonly jobId: number;
  readonly occupancy: Occupancy;
  /** When its last pause ends, which may have passed; Infinity for one without end; absent without pauses. */
  readonly pausedUntilMs?: number;
  /** False: it was deleted. */
  readonly exists: boolean;
};

/** What to write for one job that fires. */
export type Firing = {
  readonly jobId: number;
  /** The next fire time that was read, null for none; the row is left alone when it holds another. */
  readonly oldNextFireMs: number | null;
  readonly newNextFireMs: number | null;
  readonly lastFireMs: number | null;
  /** Null leaves it as it is. */
  readonly progress: readonly ScheduleProgress[] | null;
  readonly priority: number;
  readonly queueTimeoutMs: number | null;
  readonly rows: readonly PlannedRow[];
  /** The fire time whose execution takes the place of all that are open. */
  readonly replacesOpenAtMs?: number;
};

export class PgTimerStore {
  /**
   * Locks the timer rows that are due, earliest first, up to a limit, leaving
   * out those that are locked already. Uses timer_next_fire_at_idx; reads due
   * rows only, because the clock is asked once, in a subquery: a volatile
   * function beside the column would be asked for every row of the table.
   * `now` is set by tests; null takes the database's clock.
   */
  async lockDue(tx: Tx, limit: number, now: Date | null): Promise<readonly LockedTimer[]> {
    return run<LockedTimer>(
      tx,
      `/* lock_due */
       select job_id as "jobId", generation, progress,
              (extract(epoch from next_fire_at) * 1000)::float8 as "nextFireMs",
              (extract(epoch from coalesce($2::timestamptz, clock_timestamp())) * 1000)::float8 as "nowMs"
         from carillon.timer
        where next_fire_at <= (select coalesce($2::timestamptz, clock_timestamp()))
        order by next_fire_at
        limit $1
          for update skip locked`,
      [limit, now],
    );
  }

  /** Locks the timer rows of these jobs, in the order of their ids, waiting for whoever holds them. */
  async lockByIds(tx: Tx, jobIds: readonly number[], now: Date | null): Promise<readonly LockedTimer[]> {
    return run<LockedTimer>(
      tx,
      `/* lock_timers */
       select job_id as "jobId", generation, progress,
              (extract(epoch from next_fire_at) * 1000)::float8 as "nextFireMs",
              (extract(epoch from coalesce($2::timestamptz, clock_timestamp())) * 1000)::float8 as "nowMs"
         from carillon.timer where job_id = any ($1::bigint[])
        order by job_id
          for update`,
      [numberArray(jobIds), now],
    );
  }

  /**
   * Tells what else decides about jobs whose timer rows are locked. A statement
   * of its own, because it must see what was committed before the lock was got:
   * the snapshot of the locking statement may be older.
   */
  async listSituations(tx: Tx, jobIds: readonly number[]): Promise<ReadonlyMap<number, JobSituation>> {
    const rows = await run<{
      jobId: number;
      openExecutionId: number | null;
      bufferedCount: number;
      pausedUntilMs: number | null;
      exists: boolean;
    }>(
      tx,
      `/* situations */
       select i.job_id as "jobId",
              (select o.execution_id from carillon.open_execution o where o.job_id = i.job_id
                order by o.buffered_for nulls first, o.execution_id limit 1)
                as "openExecutionId",
              (select count(*) from carillon.open_execution b where b.job_id = i.job_id and b.buffered_for is not null
                  and b.backfill_id is null) as "bufferedCount",
              (select (extract(epoch from max(coalesce(p.until_at, 'infinity'))) * 1000)::float8
                 from carillon.pause p where p.job_id = i.job_id) as "pausedUntilMs",
              exists (select 1 from carillon.job j where j.id = i.job_id and j.deleted_at is null) as exists
         from unnest((select $1::bigint[])) as i (job_id)`,
      [numberArray(jobIds)],
    );
    return new Map(
      rows.map(({ jobId, openExecutionId, bufferedCount, pausedUntilMs, exists }) => [
        jobId,
        {
          jobId,
          occupancy: { openExecutionId: openExecutionId ?? undefined, bufferedCount },
          pausedUntilMs: pausedUntilMs ?? undefined,
          exists,
        },
      ]),
    );
  }

  /**
   * Advances the rows by compare-and-set and writes the ledger rows of those
   * that were advanced, in one statement. Jobs must be distinct. Returns how
   * many jobs were advanced and how many executions wait to run now.
   */
  async fire(
    tx: Tx,
    firings: readonly Firing[],
    term: number,
  ): Promise<{ advanced: number; pending: number }> {
    const rows = firings.flatMap((firing) => firing.rows.map((row) => ({ firing, row })));
    const [result] = await run<{ advanced: number; pending: number }>(tx, fireStatement, [
      numberArray(firings.map((f) => f.jobId)),
      numberArray(firings.map((f) => f.oldNextFireMs)),
      numberArray(firings.map((f) => f.newNextFireMs)),
      numberArray(firings.map((f) => f.lastFireMs)),
      firings.map((f) => f.progress && JSON.stringify(f.progress)),
      firings.map((f) => f.progress && waitsForFinish(f.progress)),
      numberArray(rows.map(({ firing }) => firing.jobId)),
      numberArray(rows.map(({ row }) => row.fireMs)),
      numberArray(rows.map(({ row }) => row.skippedCount)),
      numberArray(rows.map(({ firing }) => firing.priority)),
      numberArray(rows.map(({ firing }) => firing.queueTimeoutMs)),
      rows.map(({ row }) => row.cause),
      rows.map(({ row }) => row.state),
      rows.map(({ row }) => row.reason ?? null),
      rows.map(({ row }) => row.schedule),
      rows.map(({ row }) => row.message),
      rows.map(({ row }) => row.buffered),
      term,
      zoneDataVersion,
      rows.map(({ row }) => (row.charged.length === 0 ? null : JSON.stringify(row.charged))),
    ]);
    return result!;
  }

  /**
   * Jobs whose next fire time other zone data computed, behind an id, up to a
   * limit. Reads all timer rows once in a walk: it is done once in a term.
   */
  async listOtherZoneData(
    db: Db,
    version: string,
    afterId: number,
    limit: number,
  ): Promise<readonly number[]> {
    const rows = await run<{ jobId: number }>(
      db,
      `select job_id as "jobId" from carillon.timer
        where job_id > $2 and next_fire_at is not null and zone_data <> $1 order by job_id limit $3`,
      [version, afterId, limit],
    );
    return rows.map((row) => row.jobId);
  }

  /** The fire times of jobs, strictly behind an instant, that have a ledger row. */
  async listTaken(
    tx: Tx,
    spans: readonly { readonly jobId: number; readonly afterMs: number }[],
  ): Promise<ReadonlyMap<number, ReadonlySet<number>>> {
    const rows = await run<{ jobId: number; fireMs: number }>(
      tx,
      `/* taken_fire_times */
       select s.job_id as "jobId", (extract(epoch from e.fire_at) * 1000)::float8 as "fireMs"
         from unnest($1::bigint[], $2::bigint[]) as s (job_id, after_ms)
         join carillon.execution e on e.job_id = s.job_id and e.cause in ('SCHEDULE', 'CATCH_UP')
          and e.fire_at > to_timestamp(s.after_ms / 1000.0)`,
      [numberArray(spans.map((span) => span.jobId)), numberArray(spans.map((span) => span.afterMs))],
    );
    const byJob = Map.groupBy(rows, (row) => row.jobId);
    return new Map([...byJob].map(([jobId, own]) => [jobId, new Set(own.map((row) => row.fireMs))]));
  }

  /** How far the schedules of a job have come. */
  async findProgress(db: Db, jobId: number): Promise<readonly ScheduleProgress[]> {
    const [row] = await run<Pick<LockedTimer, 'progress'>>(
      db,
      'select progress from carillon.timer where job_id = $1',
      [jobId],
    );
    return row?.progress ?? [];
  }

  /** How many other jobs fire next within [from, until), counted up to a limit. Uses timer_next_fire_at_idx. */
  async countNextWithin(
    db: Db,
    from: Date,
    until: Date,
    exceptJobId: number,
    limit: number,
  ): Promise<number> {
    const [row] = await run<{ count: number }>(
      db,
      `select count(*) from (select 1 from carillon.timer
                              where next_fire_at >= $1 and next_fire_at < $2 and job_id <> $3 limit $4) t`,
      [from, until, exceptJobId, limit],
    );
    return row!.count;
  }

  /** How long until the earliest fire time by the database's clock, in milliseconds; null when nothing will fire. */
  async findWaitMs(db: Db): Promise<number | null> {
    const [row] = await run<{ waitMs: number | null }>(
      db,
      `/* next_fire */
       select (extract(epoch from min(next_fire_at) - clock_timestamp()) * 1000)::float8 as "waitMs"
         from carillon.timer where next_fire_at is not null`,
    );
    return row?.waitMs ?? null;
  }
}

/** Timers as the engine sees them. */
export type TimerStore = Pick<PgTimerStore, keyof PgTimerStore>;
