import { type Db, numberArray, run } from './database.ts';

/**
 * In which namespace something is, whatever became of it since: neither a job nor an execution ever moves to another.
 * For each id that is asked for, the row at it or next below it is read, so that an id which names nothing takes as long
 * as one that does.
 */
export class PgTenancyStore {
  /** The namespaces of jobs, also of deleted ones; ids that name none are left out. */
  async ofJobs(db: Db, ids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const rows = await run<Place>(
      db,
      `/* namespaces_of_jobs */
       select a.id, j.id as found, j.namespace from unnest((select $1::bigint[])) a (id)
        cross join lateral (select j.id, j.namespace from carillon.job j where j.id <= a.id order by j.id desc limit 1) j`,
      [numberArray(ids)],
    );
    return mapOf(rows);
  }

  /** The namespaces of executions; ids that name none are left out. */
  async ofExecutions(db: Db, ids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const rows = await run<Place>(
      db,
      `/* namespaces_of_executions */
       select a.id, e.id as found, j.namespace from unnest((select $1::bigint[])) a (id)
        cross join lateral (
          select e.id, e.job_id from carillon.execution e where e.id <= a.id order by e.id desc limit 1) e
         join carillon.job j on j.id = e.job_id`,
      [numberArray(ids)],
    );
    return mapOf(rows);
  }

  /** The namespace of a backfill that made executions; by execution_backfill_id_id_idx. */
  async findOfBackfill(db: Db, id: number): Promise<string | undefined> {
    const [row] = await run<{ readonly namespace: string }>(
      db,
      `/* namespace_of_backfill */
       select j.namespace from carillon.execution e join carillon.job j on j.id = e.job_id
        where e.backfill_id = $1 order by e.id limit 1`,
      [id],
    );
    return row?.namespace;
  }
}

/** Namespaces of things as the engine sees them. */
export type TenancyStore = Pick<PgTenancyStore, keyof PgTenancyStore>;

type Place = { readonly id: number; readonly found: number; readonly namespace: string };

const mapOf = (rows: readonly Place[]): ReadonlyMap<number, string> =>
  new Map(rows.flatMap(({ id, found, namespace }) => (found === id ? [[id, namespace]] : [])));
