/** Attempts of workers that have lost their stream and come back, in SQL. */

/** Those of the attempts that an instance holds: $1 the instance, $2 executions, $3 their attempts. */
export const ownStatement = `/* own_attempts */
  select o.execution_id as id from carillon.open_execution o
    join unnest($2::bigint[], $3::integer[]) as a (execution_id, attempt)
      on a.execution_id = o.execution_id and a.attempt = o.attempt
   where o.instance_id = $1`;

/**
 * Takes attempts of a worker over: $1 the instance, $2 the namespace, $3 the
 * worker, $4 executions, $5 their attempts. Rows are locked in the order of
 * their ids.
 */
export const adoptStatement = `/* adopt */
  with asked as (
    select * from unnest($4::bigint[], $5::integer[]) as a (execution_id, attempt)
  ), own as materialized (
    select o.execution_id from carillon.open_execution o
      join asked a using (execution_id, attempt)
      join carillon.job j on j.id = o.job_id
     where o.worker_id = $3 and j.namespace = $2 and o.instance_id is not null
       and exists (select 1 from carillon.instance where id = $1 and lease_expires_at > clock_timestamp())
     order by o.execution_id for update of o
  )
  update carillon.open_execution o set instance_id = $1 from own where o.execution_id = own.execution_id
  returning o.execution_id as id`;
