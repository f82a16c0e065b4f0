import { type Expression, type SqlBool, sql } from 'kysely';
import type { Job, JobDefinition, JobKey, JobRef, JobState, Selector } from '../domain/job.ts';
import { waitsForFinish } from '../domain/schedule/progress.ts';
import type { ScheduleProgress } from '../domain/schedule/schedule.ts';
import { zoneDataVersion } from '../platform/zone-data.ts';
import { type Db, numberArray, run, type Tx } from './database.ts';
import { listDefinitions, listLabels } from './definitions.ts';
import {
  columnsFromDefinition,
  jobFromRow,
  jobRefCondition,
  jobRows,
  selectorCondition,
  stateCondition,
} from './job-rows.ts';
import { laneOf } from './lanes.ts';

/** When a job fires, as its timer row holds it. */
export type Timing = { readonly nextFireMs: number | null; readonly progress: readonly ScheduleProgress[] };

export type JobQuery = Selector & {
  readonly states?: readonly JobState[];
  readonly order: 'key' | 'key desc' | 'create_time' | 'create_time desc';
  /** Where the page begins: behind this job. */
  readonly after?: { readonly id: number; readonly key: JobKey };
  readonly limit: number;
};

/**
 * Jobs: definitions, their timers and pauses.
 *
 * Whoever changes a job first locks its timer row (`lock…`), which makes all
 * decisions about one job come one after the other; selectors lock in the order
 * of ids. Functions that take a Tx expect that lock to be held.
 */
export class PgJobStore {
  /** Inserts a job with its timer; undefined when the key is taken by a job that exists. */
  async insert(
    tx: Tx,
    id: number,
    key: JobKey,
    definition: JobDefinition,
    timing: Timing,
    queueId: number | null = null,
  ): Promise<number | undefined> {
    const row = await tx
      .insertInto('carillon.job')
      .values({
        id,
        namespace: key.namespace,
        group_name: key.group,
        name: key.name,
        ...columnsFromDefinition(definition),
        ...columnsFromQueue(definition, queueId),
      })
      .onConflict((conflict) =>
        conflict.columns(['namespace', 'group_name', 'name']).where('deleted_at', 'is', null).doNothing(),
      )
      .returning('id')
      .executeTakeFirst();
    if (!row) return undefined;
    await tx
      .insertInto('carillon.timer')
      .values({
        job_id: row.id,
        generation: 1,
        ...columnsFromTiming(timing),
      })
      .execute();
    return row.id;
  }

  /** Locks a job and returns its id; undefined when there is none. */
  async lock(tx: Tx, ref: JobRef): Promise<number | undefined> {
    const ids = await this.lockMany(tx, jobRefCondition(ref));
    return ids[0];
  }

  /** Locks the jobs that a selector chooses, in the order of their ids. */
  async lockSelected(tx: Tx, selector: Selector): Promise<readonly number[]> {
    return this.lockMany(tx, selectorCondition(selector));
  }

  private async lockMany(tx: Tx, condition: Expression<SqlBool>): Promise<readonly number[]> {
    const { rows } = await sql<{ id: number }>`
      select t.job_id as id from carillon.timer t
       where t.job_id in (select j.id from carillon.job j where j.deleted_at is null and ${condition})
       order by t.job_id for update`.execute(tx);
    if (rows.length === 0) return [];
    // While this waited for a lock, its holder may have deleted the job.
    const alive = await run<{ id: number }>(
      tx,
      'select id from carillon.job where id = any ($1::bigint[]) and deleted_at is null order by id',
      [numberArray(rows.map((row) => row.id))],
    );
    return alive.map((row) => row.id);
  }

  async find(db: Db, ref: JobRef): Promise<Job | undefined> {
    const rows = await jobRows(db).where(jobRefCondition(ref)).where('j.deleted_at', 'is', null).execute();
    return rows[0] && jobFromRow(rows[0]);
  }

  /** The jobs with these ids that exist, in the order of the ids. */
  async listByIds(db: Db, ids: readonly number[]): Promise<readonly Job[]> {
    if (ids.length === 0) return [];
    const rows = await jobRows(db)
      .where(sql<SqlBool>`j.id = any (${numberArray(ids)}::bigint[])`)
      .where('j.deleted_at', 'is', null)
      .orderBy('j.id')
      .execute();
    return rows.map(jobFromRow);
  }

  /** The namespaces of jobs, two at most, and the keys of the first `count` by id in words; also of deleted ones. */
  async summarize(
    db: Db,
    ids: readonly number[],
    count: number,
  ): Promise<{ readonly namespaces: readonly string[]; readonly names: readonly string[] }> {
    if (ids.length === 0) return { namespaces: [], names: [] };
    const [row] = await run<{ namespaces: string[]; names: string[] }>(
      db,
      `/* summarize_jobs */
       with chosen as materialized (
         select id, namespace, group_name, name from carillon.job where id = any ($1::bigint[])
       )
       select array(select distinct namespace from chosen limit 2) as namespaces,
              array(select namespace || '/' || group_name || '/' || name from chosen order by id limit $2) as names`,
      [numberArray(ids), count],
    );
    return row!;
  }

  async list(db: Db, query: JobQuery): Promise<readonly Job[]> {
    const descending = query.order.endsWith(' desc');
    const direction = descending ? 'desc' : 'asc';
    let rows = jobRows(db).where('j.deleted_at', 'is', null).where(filterCondition(query)).limit(query.limit);
    const { after } = query;
    if (query.order.startsWith('key')) {
      rows = rows
        .orderBy('j.namespace', direction)
        .orderBy('j.group_name', direction)
        .orderBy('j.name', direction);
      if (after) {
        const { namespace, group, name } = after.key;
        rows = rows.where(
          sql<SqlBool>`(j.namespace, j.group_name, j.name) ${sql.raw(descending ? '<' : '>')} (${namespace}, ${group}, ${name})`,
        );
      }
    } else {
      rows = rows.orderBy('j.id', direction);
      if (after) rows = rows.where('j.id', descending ? '<' : '>', after.id);
    }
    return (await rows.execute()).map(jobFromRow);
  }

  async count(db: Db, query: Pick<JobQuery, keyof Selector | 'states'>): Promise<number> {
    const row = await db
      .selectFrom('carillon.job as j')
      .innerJoin('carillon.timer as t', 't.job_id', 'j.id')
      .select(sql<number>`count(*)`.as('count'))
      .where('j.deleted_at', 'is', null)
      .where(filterCondition(query))
      .executeTakeFirstOrThrow();
    return row.count;
  }

  readonly listDefinitions = listDefinitions;

  readonly listLabels = listLabels;

  /** Saves a new definition; `timing` as well when the edit touches it. */
  async saveDefinition(
    tx: Tx,
    id: number,
    definition: JobDefinition,
    timing: Timing | undefined,
    queueId: number | null = null,
  ): Promise<void> {
    const { generation } = await tx
      .updateTable('carillon.job')
      .set({
        ...columnsFromDefinition(definition),
        ...columnsFromQueue(definition, queueId),
        generation: sql`generation + 1`,
        revision: sql`revision + 1`,
        updated_at: sql`clock_timestamp()`,
      })
      .where('id', '=', id)
      .returning('generation')
      .executeTakeFirstOrThrow();
    await tx
      .updateTable('carillon.timer')
      .set({
        generation,
        ...(timing && columnsFromTiming(timing)),
      })
      .where('job_id', '=', id)
      .execute();
  }

  /**
   * Has the open executions of a job stand where its new definition says: those
   * that nobody holds wait in its queue, and all of them are in its lane.
   */
  async moveOpen(tx: Tx, id: number): Promise<void> {
    await run(
      tx,
      `with own as materialized (
         select o.execution_id from carillon.open_execution o where o.job_id = $1 order by o.execution_id for update
       )
       update carillon.open_execution o
          set lane = ${laneOf('j')},
              queue_id = case when o.instance_id is null then j.queue_id else o.queue_id end,
              placement = case when o.instance_id is null then j.placement else o.placement end
         from own, carillon.job j where o.execution_id = own.execution_id and j.id = $1`,
      [id],
    );
  }

  /** Marks jobs as deleted: they stop firing and their keys are free. */
  async delete(tx: Tx, ids: readonly number[]): Promise<void> {
    const list = numberArray(ids);
    await run(
      tx,
      `update carillon.timer set next_fire_at = null, waits_for_finish = false where job_id = any ($1::bigint[])`,
      [list],
    );
    await run(tx, `delete from carillon.pause where job_id = any ($1::bigint[])`, [list]);
    await run(tx, `delete from carillon.calendar_use where job_id = any ($1::bigint[])`, [list]);
    await run(tx, `delete from carillon.unused_run where job_id = any ($1::bigint[])`, [list]);
    await run(
      tx,
      `update carillon.job set deleted_at = clock_timestamp(), updated_at = clock_timestamp() where id = any ($1::bigint[])`,
      [list],
    );
  }
}

/** Jobs as the engine sees them. */
export type JobStore = Pick<PgJobStore, keyof PgJobStore>;

const columnsFromQueue = ({ target }: JobDefinition, queueId: number | null) => {
  const labels = target.kind === 'worker' ? target.labels : {};
  return {
    queue_id: queueId,
    placement: Object.keys(labels).length > 0 ? JSON.stringify({ labels }) : null,
  };
};

const columnsFromTiming = ({ nextFireMs, progress }: Timing) => ({
  next_fire_at: nextFireMs === null ? null : new Date(nextFireMs),
  progress: JSON.stringify(progress),
  waits_for_finish: waitsForFinish(progress),
  zone_data: zoneDataVersion,
});

function filterCondition(query: Pick<JobQuery, keyof Selector | 'states'>): Expression<SqlBool> {
  const selected = selectorCondition(query);
  if (query.states === undefined || query.states.length === 0) return selected;
  const inState = query.states.map((state) => stateCondition[state]);
  return sql<SqlBool>`${selected} and (${sql.join(inState, sql` or `)})`;
}
