import { type Expression, type SqlBool, sql } from 'kysely';
import type { Job, JobDefinition, JobKey, JobRef, JobState, Pause, Selector } from '../domain/job.ts';
import { type Db, numberArray, run, type Tx } from './database.ts';

/** What firing and delivering need of a job. */
export type StoredDefinition = {
  readonly id: number;
  readonly key: JobKey;
  readonly generation: number;
  readonly definition: JobDefinition;
};

/** When a job fires, as its timer row holds it. */
export type Timing = { readonly nextFireMs: number | null; readonly runsMade: readonly number[] };

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
  ): Promise<number | undefined> {
    const row = await tx
      .insertInto('carillon.job')
      .values({
        id,
        namespace: key.namespace,
        group_name: key.group,
        name: key.name,
        ...columnsFromDefinition(definition),
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
        next_fire_at: dateOrNull(timing.nextFireMs),
        generation: 1,
        runs_made: [...timing.runsMade],
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

  /** Definitions by id, also of deleted jobs: what is open of them still runs. */
  async listDefinitions(db: Db, ids: readonly number[]): Promise<readonly StoredDefinition[]> {
    if (ids.length === 0) return [];
    const rows = await run<DefinitionRow>(
      db,
      `/* definitions */
       select id, namespace, group_name, name, generation, description, labels, schedules, target, parameters, priority,
              overlap, misfire, retry, attempt_timeout_ms, queue_timeout_ms
         from carillon.job where id = any ($1::bigint[])`,
      [numberArray(ids)],
    );
    return rows.map((row) => ({
      id: row.id,
      key: { namespace: row.namespace, group: row.group_name, name: row.name },
      generation: row.generation,
      definition: definitionFromRow(row),
    }));
  }

  /** Saves a new definition; `timing` as well when the edit touches it. */
  async saveDefinition(
    tx: Tx,
    id: number,
    definition: JobDefinition,
    timing: Timing | undefined,
  ): Promise<void> {
    const { generation } = await tx
      .updateTable('carillon.job')
      .set({
        ...columnsFromDefinition(definition),
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
        ...(timing && { next_fire_at: dateOrNull(timing.nextFireMs), runs_made: [...timing.runsMade] }),
      })
      .where('job_id', '=', id)
      .execute();
  }

  /** Marks jobs as deleted: they stop firing and their keys are free. */
  async delete(tx: Tx, ids: readonly number[]): Promise<void> {
    const list = numberArray(ids);
    await run(tx, `update carillon.timer set next_fire_at = null where job_id = any ($1::bigint[])`, [list]);
    await run(tx, `delete from carillon.pause where job_id = any ($1::bigint[])`, [list]);
    await run(
      tx,
      `update carillon.job set deleted_at = clock_timestamp(), updated_at = clock_timestamp() where id = any ($1::bigint[])`,
      [list],
    );
  }

  /** Sets a pause on each of the jobs. */
  async insertPauses(
    tx: Tx,
    jobIds: readonly number[],
    pause: { readonly id: string; readonly actor: string; readonly reason: string; readonly untilAt?: Date },
  ): Promise<void> {
    await run(
      tx,
      `insert into carillon.pause (id, job_id, actor, reason, created_at, until_at)
       select $2 || '.' || job_id, job_id, $3, $4, clock_timestamp(), $5 from unnest($1::bigint[]) as t (job_id)`,
      [numberArray(jobIds), pause.id, pause.actor, pause.reason, pause.untilAt ?? null],
    );
    await this.touch(tx, jobIds);
  }

  /**
   * Takes pauses away, one by its id or, with an empty id, all. Returns the
   * jobs that lost a pause which still stood, each with the start of its oldest
   * one.
   */
  async deletePauses(
    tx: Tx,
    jobIds: readonly number[],
    pauseId: string,
  ): Promise<readonly { readonly jobId: number; readonly createdAt: Date }[]> {
    const rows = await run<{ jobId: number; createdAt: Date }>(
      tx,
      `with gone as (
         delete from carillon.pause
          where job_id = any ($1::bigint[]) and ($2 = '' or split_part(id, '.', 1) = split_part($2, '.', 1))
         returning job_id, created_at, until_at
       )
       select job_id as "jobId", min(created_at) as "createdAt" from gone
        where until_at is null or until_at > clock_timestamp()
        group by job_id order by job_id`,
      [numberArray(jobIds), pauseId],
    );
    await this.touch(
      tx,
      rows.map((row) => row.jobId),
    );
    return rows;
  }

  /** Takes away the pauses that lifted by themselves before an instant; for tidiness only. */
  async deleteLiftedPauses(db: Db): Promise<void> {
    await run(
      db,
      `delete from carillon.pause p where p.until_at < clock_timestamp() - interval '1 day'
          and not exists (select 1 from carillon.timer t where t.job_id = p.job_id and t.next_fire_at < p.until_at)`,
    );
  }

  private async touch(tx: Tx, jobIds: readonly number[]): Promise<void> {
    await run(
      tx,
      `update carillon.job set revision = revision + 1, updated_at = clock_timestamp() where id = any ($1::bigint[])`,
      [numberArray(jobIds)],
    );
  }
}

/** Jobs as the engine sees them. */
export type JobStore = Pick<PgJobStore, keyof PgJobStore>;

const dateOrNull = (ms: number | null): Date | null => (ms === null ? null : new Date(ms));

function columnsFromDefinition(definition: JobDefinition) {
  return {
    description: definition.description,
    labels: JSON.stringify(definition.labels),
    schedules: JSON.stringify(definition.schedules),
    target: JSON.stringify(definition.target),
    parameters: JSON.stringify(definition.parameters),
    priority: definition.priority,
    overlap: definition.overlap,
    misfire: JSON.stringify(definition.misfire),
    retry: JSON.stringify(definition.retry),
    attempt_timeout_ms: definition.attemptTimeoutMs,
    queue_timeout_ms: definition.queueTimeoutMs ?? null,
  };
}

const standingPause = sql`(p.until_at is null or p.until_at > clock_timestamp())`;

const jobState = sql<JobState>`case
  when t.next_fire_at is null and jsonb_array_length(j.schedules) > 0 then 'FINISHED'
  when exists (select 1 from carillon.pause p where p.job_id = j.id and ${standingPause}) then 'PAUSED'
  else 'ACTIVE' end`;

function jobRows(db: Db) {
  return db
    .selectFrom('carillon.job as j')
    .innerJoin('carillon.timer as t', 't.job_id', 'j.id')
    .selectAll('j')
    .select([
      't.next_fire_at',
      't.last_fire_at',
      jobState.as('state'),
      sql<{ id: string; actor: string; reason: string; created: number; until: number | null }[] | null>`(
        select jsonb_agg(jsonb_build_object('id', split_part(p.id, '.', 1), 'actor', p.actor, 'reason', p.reason,
                 'created', extract(epoch from p.created_at) * 1000, 'until', extract(epoch from p.until_at) * 1000)
                 order by p.created_at, p.id)
          from carillon.pause p where p.job_id = j.id and ${standingPause})`.as('pauses'),
    ]);
}

type JobRow = Awaited<ReturnType<ReturnType<typeof jobRows>['execute']>>[number];

/** The columns that make a definition, with the key. */
type DefinitionRow = Omit<JobRow, 'state' | 'pauses' | 'next_fire_at' | 'last_fire_at'>;

function definitionFromRow(row: DefinitionRow): JobDefinition {
  return {
    description: row.description,
    labels: row.labels,
    schedules: row.schedules,
    target: row.target,
    parameters: row.parameters,
    priority: row.priority,
    overlap: row.overlap,
    misfire: row.misfire,
    retry: row.retry,
    attemptTimeoutMs: row.attempt_timeout_ms,
    queueTimeoutMs: row.queue_timeout_ms ?? undefined,
  };
}

function jobFromRow(row: JobRow): Job {
  return {
    ...definitionFromRow(row),
    id: row.id,
    key: { namespace: row.namespace, group: row.group_name, name: row.name },
    state: row.state,
    pauses: (row.pauses ?? []).map(
      (pause): Pause => ({
        id: pause.id,
        actor: pause.actor,
        reason: pause.reason,
        createdAt: new Date(pause.created),
        untilAt: pause.until === null ? undefined : new Date(pause.until),
      }),
    ),
    nextFireAt: row.next_fire_at ?? undefined,
    lastFireAt: row.last_fire_at ?? undefined,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    generation: row.generation,
    revision: row.revision,
  };
}

/** SQL that fits the job which a reference names, on the alias j. */
export function jobRefCondition(ref: JobRef): Expression<SqlBool> {
  if ('id' in ref) return sql<SqlBool>`j.id = ${ref.id}`;
  const { namespace, group, name } = ref.key;
  return sql<SqlBool>`j.namespace = ${namespace} and j.group_name = ${group} and j.name = ${name}`;
}

/** SQL that fits the jobs which a selector chooses, on the alias j. */
export function selectorCondition(selector: Selector): Expression<SqlBool> {
  const conditions = [sql<SqlBool>`true`];
  if (selector.namespace !== undefined) conditions.push(sql<SqlBool>`j.namespace = ${selector.namespace}`);
  if (selector.group !== undefined) conditions.push(sql<SqlBool>`j.group_name = ${selector.group}`);
  if (selector.namePrefix !== undefined) {
    conditions.push(sql<SqlBool>`starts_with(j.name, ${selector.namePrefix})`);
  }
  if (selector.labels !== undefined && Object.keys(selector.labels).length > 0) {
    conditions.push(sql<SqlBool>`j.labels @> ${JSON.stringify(selector.labels)}::jsonb`);
  }
  return sql<SqlBool>`(${sql.join(conditions, sql` and `)})`;
}

function filterCondition(query: Pick<JobQuery, keyof Selector | 'states'>): Expression<SqlBool> {
  const selected = selectorCondition(query);
  if (query.states === undefined || query.states.length === 0) return selected;
  return sql<SqlBool>`${selected} and ${jobState} = any (${[...query.states]}::text[])`;
}
