/**
 * The claim in SQL: executions that nobody holds, highest priority first, then
 * oldest, are given to an instance whose lease is alive, under a new attempt
 * number. `skip locked` lets any number of instances claim at once.
 */
import { feedInsert } from './feed-events.ts';

/** The last line of execution l that is stored. */
export const lastSeq = 'coalesce((select max(seq) from carillon.log_entry g where g.execution_id = l.id), 0)';

/** What is told of an attempt: of execution l and job j. */
export const attemptColumns = `l.id as "executionId", l.attempt, l.job_id as "jobId", j.generation,
  (extract(epoch from l.fire_at) * 1000)::float8 as "fireMs", l.cause, l.term, l.priority, l.parameters`;

/** What a claimable row of open_execution is. */
const claimable = 'instance_id is null and due_at is null and buffered_for is null';

/** Whether the claiming instance, $1, may hold attempts. */
const isAlive =
  'exists (select 1 from carillon.instance where id = $1 and lease_expires_at > clock_timestamp())';

/** A claim of what `picked` locks: CTEs that give execution_id and worker_id. */
const claimOf = (name: string, picked: string): string => `/* ${name} */
  with ${picked}, held as (
    update carillon.open_execution o
       set instance_id = $1, attempt = o.attempt + 1, attempt_started_at = clock_timestamp(), expires_at = null,
           worker_id = p.worker_id
      from picked p where o.execution_id = p.execution_id
    returning o.execution_id, o.attempt, o.attempt_started_at, o.worker_id
  ), l as (
    update carillon.execution e
       set state = 'RUNNING', attempt = h.attempt, started_at = coalesce(e.started_at, h.attempt_started_at),
           reason = null, message = '', worker_id = h.worker_id
      from held h where e.id = h.execution_id
    returning e.id, e.attempt, e.job_id, e.fire_at, e.cause, e.term, e.priority, e.parameters, e.worker_id
  ), fed as (${feedInsert('l', {
    executionId: 'id',
    jobId: 'job_id',
    event: '2::smallint',
    attempt: 'attempt',
  })}
  )
  select ${attemptColumns}, case when l.attempt = 1 then 0 else ${lastSeq} end as "lastSeq", false as "cancelRequested",
         l.worker_id as "workerId", 0 as "heldMs"
    from l join carillon.job j on j.id = l.job_id`;

/** For an instance that delivers them itself, of what no limit concerns: $1 the instance, $2 how many. */
export const claimStatement = claimOf(
  'claim',
  `picked as materialized (
    select execution_id, null::text as worker_id from carillon.open_execution
     where ${claimable} and queue_id is null and lane is null and ${isAlive}
     order by priority desc, execution_id
     limit $2
       for update skip locked
  )`,
);

/**
 * For places at workers, of what no limit concerns: $1 the instance, $2 the
 * queue, $3 the worker of each place. How many places there are is hidden from
 * the planner behind subqueries: where it knows of hundreds it reads the tables
 * whole instead of so many rows by their keys, at half the speed (bench/figures/workers.ts).
 */
export const queueClaimStatement = claimOf(
  'claim_for_queue',
  `locked as materialized (
    select execution_id, priority from carillon.open_execution
     where ${claimable} and queue_id = $2 and placement is null and lane is null and ${isAlive}
     order by priority desc, execution_id
     limit (select cardinality($3::text[]))
       for update skip locked
  ), picked as materialized (
    select l.execution_id, w.worker_id
      from (select execution_id, row_number() over (order by priority desc, execution_id) as place from locked) l
      join unnest((select $3::text[])) with ordinality as w (worker_id, place) using (place)
  )`,
);

/** Certain executions: $1 the instance, $2 executions, $3 the worker of each, null where the instance delivers it. */
export const placedClaimStatement = claimOf(
  'claim_placed',
  `asked as (
    select * from unnest((select $2::bigint[]), (select $3::text[])) as a (execution_id, worker_id)
  ), picked as materialized (
    select o.execution_id, a.worker_id from carillon.open_execution o join asked a using (execution_id)
     where ${claimable.replaceAll(/(instance_id|due_at|buffered_for)/g, 'o.$1')} and ${isAlive}
     order by o.execution_id
       for update of o skip locked
  )`,
);
