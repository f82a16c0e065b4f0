import { feedEventOf, feedInsert } from './feed-events.ts';
import { laneOf } from './lanes.ts';
import { unusedRunInsert } from './unused-runs.ts';

/**
 * Ends attempts that the reporting instances hold, in one statement: the row of
 * each attempt, the ledger, and the open row, which goes or waits for its retry
 * where the job's target says now. A report without an instance is its
 * callee's: it ends the attempt whoever holds it.
 */
export const endStatement = `/* end_attempts */
  with report as (
    select * from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::bigint[])
      as r (execution_id, attempt, instance_id, outcome, reason, message, result, retry_after_ms)
  ), held as materialized (
    select o.execution_id, o.job_id, o.attempt, o.instance_id, o.attempt_started_at, o.worker_id, o.lane, r.outcome, r.reason, r.message,
           r.result, r.retry_after_ms, o.cancel_requested_at is not null as cancel_requested, o.cancel_message,
           coalesce(o.cancel_reason, 'CANCEL_REQUESTED') as cancel_reason
      from carillon.open_execution o
      join report r on r.execution_id = o.execution_id and r.attempt = o.attempt
           and o.instance_id = coalesce(r.instance_id, o.instance_id)
     order by o.execution_id
       for update of o
  ), decided as (
    select h.execution_id, h.job_id, h.attempt, h.instance_id, h.attempt_started_at, h.worker_id, h.lane,
           case when h.outcome <> 'SUCCEEDED' and h.cancel_requested then 'CANCELED' else h.outcome end as outcome,
           case when h.outcome <> 'SUCCEEDED' and h.cancel_requested then h.cancel_reason else h.reason end as reason,
           case when h.outcome <> 'SUCCEEDED' and h.cancel_requested then coalesce(h.cancel_message, '')
                else h.message end as message,
           h.result::jsonb as result,
           case when h.outcome = 'FAILED' and not h.cancel_requested then h.retry_after_ms end as retry_after_ms
      from held h
  ), gone as (
    delete from carillon.open_execution o using decided d
     where o.execution_id = d.execution_id and d.retry_after_ms is null
  ), waiting as (
    update carillon.open_execution o
       set instance_id = null, attempt_started_at = null, worker_id = null, report_by = null, heartbeat_by = null,
           due_at = case when d.retry_after_ms > 0
                         then clock_timestamp() + d.retry_after_ms * interval '1 millisecond' end,
           queue_id = j.queue_id,
           placement = case when o.queue_id is not distinct from j.queue_id then o.placement else j.placement end,
           lane = ${laneOf('j')}
      from decided d join carillon.job j on j.id = d.job_id
     where o.execution_id = d.execution_id and d.retry_after_ms is not null
  ), ended as (
    insert into carillon.attempt (execution_id, attempt, started_at, finished_at, instance_id, worker_id, outcome, reason,
                                  message)
    select execution_id, attempt, attempt_started_at, greatest(clock_timestamp(), attempt_started_at), instance_id,
           worker_id, outcome, reason, message
      from decided
  ), ledger as (
    update carillon.execution e
       set state = case when d.retry_after_ms is null then d.outcome else 'PENDING' end,
           finished_at = case when d.retry_after_ms is null then greatest(clock_timestamp(), e.started_at) end,
           reason = d.reason, message = d.message, result = d.result
      from decided d where e.id = d.execution_id
    returning e.id, e.job_id, e.attempt, e.state, d.lane
  ), fed as (${feedInsert('ledger', {
    executionId: 'id',
    jobId: 'job_id',
    event: feedEventOf('state'),
    attempt: 'attempt',
  })}
  )
  select id, job_id as "jobId", state <> 'PENDING' as "isFinal", lane is not null as "isLimited" from ledger`;

/** Ends executions that have waited for their first attempt for longer than their job allows. */
export const endExpiredStatement = `/* end_expired */
  with expired as (
    select execution_id from carillon.open_execution
     where expires_at < (select clock_timestamp()) and instance_id is null
     order by expires_at limit 1000 for update skip locked
  ), gone as (
    delete from carillon.open_execution o using expired e where o.execution_id = e.execution_id
    returning o.execution_id, o.job_id, o.attempt, o.charged
  ), ledger as (
    update carillon.execution e
       set state = 'FAILED', finished_at = clock_timestamp(), reason = 'QUEUE_TIMEOUT',
           message = 'waited longer than queue_timeout for its first attempt'
      from gone g where e.id = g.execution_id
    returning e.id, e.job_id, e.attempt
  ), unused as (${unusedRunInsert('gone')}
  ), fed as (${feedInsert('ledger', {
    executionId: 'id',
    jobId: 'job_id',
    event: '4::smallint',
    attempt: 'attempt',
  })}
  )
  select distinct job_id as "jobId" from ledger`;
