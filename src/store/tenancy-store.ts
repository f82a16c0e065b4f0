import { type Db, numberArray, run } from './database.ts';

/**
 * In which namespace something is, whatever became of it since: neither a job nor an execution ever moves to another.
 * There is a row for each id that is asked for, also for one that names nothing, so that both answers take alike.
 */
export class PgTenancyStore {
  /** The namespaces of jobs, also of deleted ones; ids that name none are left out. */
  async ofJobs(db: Db, ids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const rows = await run<Place>(
      db,
      `/* namespaces_of_jobs */
       select a.id, j.namespace from unnest($1::bigint[]) a (id) left join carillon.job j on j.id = a.id`,
      [numberArray(ids)],
    );
    return mapOf(rows);
  }

  /** The namespaces of executions; ids that name none are left out. */
  async ofExecutions(db: Db, ids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const rows = await run<Place>(
      db,
      `/* namespaces_of_executions */
       select a.id, j.namespace from unnest($1::bigint[]) a (id)
         left join carillon.execution e on e.id = a.id left join carillon.job j on j.id = e.job_id`,
      [numberArray(ids)],
    );
    return mapOf(rows);
  }

  /** The namespace of a backfill that made executions; by execution_backfill_id_id_idx. */
  async findOfBackfill(db: Db, id: number): Promise<string | undefined> {
    const [row] = await run<Place>(
      db,
      `/* namespace_of_backfill */
       select e.id, j.namespace from carillon.execution e join carillon.job j on j.id = e.job_id
        where e.backfill_id = $1 order by e.id limit 1`,
      [id],
    );
    return row?.namespace ?? undefined;
  }
}

/** Namespaces of things as the engine sees them. */
export type TenancyStore = Pick<PgTenancyStore, keyof PgTenancyStore>;

type Place = { readonly id: number; readonly namespace: string | null };

const mapOf = (rows: readonly Place[]): ReadonlyMap<number, string> =>
  new Map(rows.flatMap(({ id, namespace }) => (namespace === null ? [] : [[id, namespace]])));
