import { type Db, numberArray, run, type Tx } from './database.ts';

/** Pauses: what holds jobs, stacked. Functions that take a Tx expect the jobs' timer rows to be locked. */
export class PgPauseStore {
  /** Sets a pause on each of the jobs. */
  async insert(
    tx: Tx,
    jobIds: readonly number[],
    pause: { readonly id: string; readonly actor: string; readonly reason: string; readonly untilAt?: Date },
  ): Promise<void> {
    await run(
      tx,
      `insert into carillon.pause (id, job_id, actor, reason, created_at, until_at, held_since)
       select $2 || '.' || job_id, job_id, $3, $4, clock_timestamp(), $5,
              coalesce((select min(p.held_since) from carillon.pause p
                         where p.job_id = t.job_id and (p.until_at is null or p.until_at > clock_timestamp())),
                       clock_timestamp())
         from unnest($1::bigint[]) as t (job_id)`,
      [numberArray(jobIds), pause.id, pause.actor, pause.reason, pause.untilAt ?? null],
    );
    await touch(tx, jobIds);
  }

  /**
   * Takes pauses away, one by its id or, with an empty id, all. Returns the
   * jobs that lost a pause which still stood, each with the instant since which
   * it has been paused without a break.
   */
  async lift(
    tx: Tx,
    jobIds: readonly number[],
    pauseId: string,
  ): Promise<readonly { readonly jobId: number; readonly heldSince: Date }[]> {
    const rows = await run<{ jobId: number; heldSince: Date }>(
      tx,
      `with gone as (
         delete from carillon.pause
          where job_id = any ($1::bigint[]) and ($2 = '' or split_part(id, '.', 1) = split_part($2, '.', 1))
         returning job_id, held_since, until_at
       )
       select job_id as "jobId", min(held_since) as "heldSince" from gone
        where until_at is null or until_at > clock_timestamp()
        group by job_id order by job_id`,
      [numberArray(jobIds), pauseId],
    );
    await touch(
      tx,
      rows.map((row) => row.jobId),
    );
    return rows;
  }

  /** Takes away the pauses that lifted by themselves before an instant; for tidiness only. */
  async clean(db: Db): Promise<void> {
    await run(
      db,
      `delete from carillon.pause p where p.until_at < clock_timestamp() - interval '1 day'
          and not exists (select 1 from carillon.timer t where t.job_id = p.job_id and t.next_fire_at < p.until_at)`,
    );
  }
}

/** Pauses as the engine sees them. */
export type PauseStore = Pick<PgPauseStore, keyof PgPauseStore>;

/** The pauses of a job are part of its revision. */
async function touch(tx: Tx, jobIds: readonly number[]): Promise<void> {
  await run(
    tx,
    `update carillon.job set revision = revision + 1, updated_at = clock_timestamp() where id = any ($1::bigint[])`,
    [numberArray(jobIds)],
  );
}
