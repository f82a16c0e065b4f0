/**
 * Lanes: in which one an execution stands, as SQL on a job.
 *
 * An execution that no limit concerns stands in none and is claimed without a
 * look at limits. The others stand in the lane of the narrowest thing that they
 * share a limit with: their job when that has max_running, else their queue,
 * else their namespace. Everything in one lane has the same limits, so a full
 * lane is passed over in one step, however many wait in it.
 *
 * A job's own limit changes under the lock of its timer row, together with the
 * lanes of what is open. Limits of queues and namespaces are read where a row
 * is written; who writes rows may not have seen a change that has just been
 * committed, so the lanes are put right again afterwards (LimitSettling).
 */

/** The lane of an execution of the job `j`. The subqueries do not depend on the job: each is read once in a statement. */
export const laneOf = (j: string): string => `case
    when ${j}.max_running > 0 then ${j}.id
    when ${j}.queue_id in (select id from carillon.queue where is_limited)
      or ${j}.namespace in (select name from carillon.namespace where is_limited)
    then coalesce(${j}.queue_id, (select n.id from carillon.namespace n where n.name = ${j}.namespace)) end`;
