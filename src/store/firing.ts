import { feedEventOf, feedInsert } from './feed-events.ts';
import { laneOf } from './lanes.ts';

/**
 * Advances timer rows by compare-and-set and writes the ledger rows of those
 * that were advanced, in one statement (TimerStore.fire).
 *
 * Ids are drawn in the order of the plan, so that the oldest fire time of a job
 * has the smallest id and is claimed first. What the ledger took is looked up
 * in a hash (`is true` keeps the planner from making a join of it, for which it
 * knows no sizes and takes a loop in a loop).
 */
export const fireStatement = `/* fire */
  with plan as (
    select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[])
      as p (job_id, old_ms, new_ms, last_ms, progress, waits)
  ), advanced as (
    update carillon.timer t
       set next_fire_at = to_timestamp(p.new_ms / 1000.0),
           last_fire_at = greatest(to_timestamp(p.last_ms / 1000.0), t.last_fire_at),
           progress = coalesce(p.progress::jsonb, t.progress),
           waits_for_finish = coalesce(p.waits, t.waits_for_finish),
           zone_data = $19
      from plan p
     where t.job_id = p.job_id and t.next_fire_at is not distinct from to_timestamp(p.old_ms / 1000.0)
    returning t.job_id
  ), made as materialized (
    select carillon.next_id() as id, to_timestamp(r.fire_ms / 1000.0) as fire_at, r.*
      from (select r.*
              from unnest($7::bigint[], $8::bigint[], $9::integer[], $10::bigint[], $11::bigint[],
                          $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::boolean[], $20::text[])
                   with ordinality as r (job_id, fire_ms, skipped_count, priority, queue_timeout_ms,
                                         cause, state, reason, schedule, message, buffered, charged, place)
             where r.job_id in (select job_id from advanced)
             order by r.place) r
  ), ledger as (
    insert into carillon.execution (id, job_id, fire_at, created_at, finished_at, term, skipped_count, priority,
                                    cause, state, reason, schedule, message)
    select id, job_id, fire_at, clock_timestamp(),
           case when state = 'SKIPPED' then clock_timestamp() end, $18::bigint, skipped_count, priority,
           cause, state, reason, schedule, message
      from made
    on conflict (job_id, fire_at) where cause in ('SCHEDULE', 'CATCH_UP') do nothing
    returning id, job_id, state
  ), opened as (
    insert into carillon.open_execution (execution_id, job_id, priority, expires_at, buffered_for, charged, queue_id,
                                         placement, lane)
    select m.id, m.job_id, m.priority, clock_timestamp() + m.queue_timeout_ms * interval '1 millisecond',
           case when m.buffered then m.fire_at end,
           case when m.charged is not null then array(select jsonb_array_elements_text(m.charged::jsonb)) end,
           j.queue_id, j.placement, ${laneOf('j')}
      from made m join carillon.job j on j.id = m.job_id
     where m.state = 'PENDING' and (m.id in (select id from ledger)) is true
  ), fed as (${feedInsert('ledger', {
    executionId: 'id',
    jobId: 'job_id',
    event: feedEventOf('state'),
    attempt: '0',
  })}
  )
  select (select count(*) from advanced) as advanced, (select count(*) from ledger where state = 'PENDING') as pending`;
