import { type Db, numberArray, run, type Tx } from './database.ts';

/** What may be made in a namespace; undefined is without a limit. */
export type Limits = {
  readonly maxJobs: number | undefined;
  readonly executionsPerMinute: number | undefined;
};

/** How many executions calls are to make in a namespace. */
export type Demand = { readonly namespace: string; readonly count: number };

/** What a limited namespace takes of a demand. */
export type Grant = {
  readonly granted: number;
  readonly perMinute: number;
  /** When there is room for one more, in milliseconds. */
  readonly waitMs: number;
};

/**
 * What calls make in limited namespaces, counted. Whoever counts locks the row
 * of the namespace and kind until its transaction ends, so that those of one
 * namespace come one after the other, over all instances. A transaction that
 * fails has made nothing and booked nothing.
 */
export class PgIntakeStore {
  /** What may be made in a namespace. Where jobs are limited their count is locked; else nothing is. */
  async lockLimits(tx: Tx, namespace: string): Promise<Limits> {
    const [row] = await run<{ maxJobs: number | null; executionsPerMinute: number | null }>(
      tx,
      `/* lock_job_intake */
       with limits as (
         select max_jobs, executions_per_minute from carillon.namespace where name = $1
       ), locked as (
         insert into carillon.intake (namespace, kind) select $1, 'JOBS' from limits where max_jobs is not null
         on conflict (namespace, kind) do update set booked_until = excluded.booked_until
         returning 1
       )
       select max_jobs as "maxJobs", executions_per_minute as "executionsPerMinute"
         from limits left join locked on true`,
      [namespace],
    );
    return {
      maxJobs: row?.maxJobs ?? undefined,
      executionsPerMinute: row?.executionsPerMinute ?? undefined,
    };
  }

  /** How many executions a namespace lets be made in a minute, by one statement that locks nothing; undefined without a limit. */
  async findExecutionsPerMinute(db: Db, namespace: string): Promise<number | undefined> {
    const [row] = await run<{ perMinute: number }>(
      db,
      `/* execution_limit */
       select executions_per_minute as "perMinute" from carillon.namespace
        where name = $1 and executions_per_minute is not null`,
      [namespace],
    );
    return row?.perMinute;
  }

  /** How many jobs a namespace has, counted no further than `upTo`; by job_key_idx. */
  async countJobs(tx: Tx, namespace: string, upTo: number): Promise<number> {
    const [row] = await run<{ count: number }>(
      tx,
      `/* count_jobs_of_namespace */
       select count(*) as count from (
         select 1 from carillon.job where namespace = $1 and deleted_at is null limit $2) j`,
      [namespace, upTo],
    );
    return row!.count;
  }

  /**
   * Books executions, as many as the buckets of their namespaces hold. The
   * namespaces must be distinct; those without a limit are left out.
   */
  async bookExecutions(tx: Tx, demands: readonly Demand[]): Promise<ReadonlyMap<string, Grant>> {
    const values = [
      demands.map(({ namespace }) => namespace),
      numberArray(demands.map(({ count }) => count)),
    ];
    await run(
      tx,
      `/* open_execution_intake */
       insert into carillon.intake (namespace, kind)
       select name, 'EXECUTIONS' from carillon.namespace
        where name = any ($1::text[]) and executions_per_minute is not null
        order by name
       on conflict (namespace, kind) do nothing`,
      values.slice(0, 1),
    );
    const rows = await run<Grant & { namespace: string }>(
      tx,
      `/* book_executions */
       with asked as (
         select * from unnest($1::text[], $2::bigint[]) as a (namespace, count)
       ), locked as materialized (
         select i.namespace, a.count, n.executions_per_minute as rate, i.booked_until as booked
           from carillon.intake i
           join carillon.namespace n on n.name = i.namespace
           join asked a on a.namespace = i.namespace
          where i.kind = 'EXECUTIONS' and n.executions_per_minute is not null
          order by i.namespace
            for no key update of i
       ), clock as materialized (
         select clock_timestamp() as at
       ), measured as (
         select namespace, count, rate, at, greatest(booked, at) as booked,
                floor(extract(epoch from at + interval '1 minute' - greatest(booked, at)) * rate / 60) as room
           from locked, clock
       ), granted as (
         select namespace, rate, at, least(count, greatest(room, 0))::bigint as granted, booked from measured
       ), booked as (
         update carillon.intake i
            set booked_until = g.booked + g.granted * interval '1 minute' / g.rate
           from granted g where i.namespace = g.namespace and i.kind = 'EXECUTIONS' and g.granted > 0
         returning i.namespace, i.booked_until
       )
       select g.namespace, g.granted, g.rate as "perMinute",
              greatest(0, ceil(extract(epoch from coalesce(b.booked_until, g.booked) + interval '1 minute' / g.rate
                                                - interval '1 minute' - g.at) * 1000))::float8 as "waitMs"
         from granted g left join booked b using (namespace)`,
      values,
    );
    return new Map(rows.map(({ namespace, ...grant }) => [namespace, grant]));
  }
}

/** What calls make in limited namespaces, as the engine sees it. */
export type IntakeStore = Pick<PgIntakeStore, keyof PgIntakeStore>;
