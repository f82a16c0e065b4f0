/**
 * SQL of a data-modifying CTE body that notes the executions of a CTE which end
 * before they started, where their job keeps count: the run is given back when
 * the job is continued. The CTE has id, job_id, attempt, cause, fire_at and
 * schedule.
 */
export const unusedRunInsert = (from: string): string => `
  insert into carillon.unused_run (execution_id, job_id, fire_at, schedule)
  select u.id, u.job_id, u.fire_at, u.schedule from ${from} u join carillon.timer t on t.job_id = u.job_id
   where u.attempt = 0 and u.cause in ('SCHEDULE', 'CATCH_UP') and t.progress <> '[]'`;
