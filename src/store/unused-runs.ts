/**
 * SQL of a data-modifying CTE body that notes the executions of a CTE which end
 * before they started and which schedules keep count of: the run is given back
 * when the job is continued. The CTE has execution_id, job_id, attempt and
 * charged, as the rows of open_execution have them.
 */
export const unusedRunInsert = (from: string): string => `
  insert into carillon.unused_run (execution_id, job_id, charged)
  select u.execution_id, u.job_id, u.charged from ${from} u where u.attempt = 0 and u.charged is not null`;
