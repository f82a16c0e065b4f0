import { type Expression, type RawBuilder, type SqlBool, sql } from 'kysely';
import type { Job, JobDefinition, JobRef, JobState, Pause, Selector } from '../domain/job.ts';
import type { Db } from './database.ts';

/** The columns of a definition. */
export function columnsFromDefinition(definition: JobDefinition) {
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
    max_running: definition.maxRunning,
  };
}

const standingPause = sql`(p.until_at is null or p.until_at > clock_timestamp())`;

const isFinished = sql`t.next_fire_at is null and not t.waits_for_finish and jsonb_array_length(j.schedules) > 0`;

/** SQL of a job's state, on the aliases j and t. */
const jobState = sql<JobState>`case
  when ${isFinished} then 'FINISHED'
  when exists (select 1 from carillon.pause p where p.job_id = j.id and ${standingPause}) then 'PAUSED'
  else 'ACTIVE' end`;

/**
 * SQL that fits the jobs in a state, on the aliases j and t; the same as
 * jobState says, written so that the few paused ones are found from their
 * pauses and the finished ones from timer_without_next_idx.
 */
export const stateCondition: Readonly<Record<JobState, RawBuilder<SqlBool>>> = {
  FINISHED: sql<SqlBool>`(j.id in (select f.job_id from carillon.timer f where f.next_fire_at is null) and ${isFinished})`,
  PAUSED: sql<SqlBool>`(j.id in (select p.job_id from carillon.pause p where ${standingPause}) and not (${isFinished}))`,
  ACTIVE: sql<SqlBool>`(${jobState} = 'ACTIVE')`,
};

/** Jobs as rows, with what timers, pauses and open executions tell of them. */
export function jobRows(db: Db) {
  return db
    .selectFrom('carillon.job as j')
    .innerJoin('carillon.timer as t', 't.job_id', 'j.id')
    .selectAll('j')
    .select([
      't.next_fire_at',
      't.last_fire_at',
      jobState.as('state'),
      sql<number>`(select count(*) from carillon.open_execution b
                    where b.job_id = j.id and b.buffered_for is not null)`.as('buffered_count'),
      sql<{ id: string; actor: string; reason: string; created: number; until: number | null }[] | null>`(
        select jsonb_agg(jsonb_build_object('id', split_part(p.id, '.', 1), 'actor', p.actor, 'reason', p.reason,
                 'created', extract(epoch from p.created_at) * 1000, 'until', extract(epoch from p.until_at) * 1000)
                 order by p.created_at, p.id)
          from carillon.pause p where p.job_id = j.id and ${standingPause})`.as('pauses'),
    ]);
}

type JobRow = Awaited<ReturnType<ReturnType<typeof jobRows>['execute']>>[number];

/** The columns that make a definition, with the key. */
export type DefinitionRow = Omit<
  JobRow,
  'state' | 'pauses' | 'buffered_count' | 'next_fire_at' | 'last_fire_at'
>;

export function definitionFromRow(row: DefinitionRow): JobDefinition {
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
    maxRunning: row.max_running,
  };
}

export function jobFromRow(row: JobRow): Job {
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
    bufferedCount: row.buffered_count,
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
  if (selector.within !== undefined)
    conditions.push(sql<SqlBool>`j.namespace = any (${selector.within}::text[])`);
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
