/**
 * What is claimed under limits.
 *
 * One claim at a time, of all instances: it holds an advisory lock for its
 * transaction. What it reads after it has the lock is therefore true until it
 * commits: attempts end meanwhile, which only makes room, and none begins in a
 * lane. The lock is tried and not waited for, so that an instance which was
 * stopped while it held it keeps nobody from claiming what has no limit; the
 * database ends such a transaction by itself (idle_in_transaction_session_timeout).
 *
 * How many run is counted from the rows that are held, not kept in a counter:
 * there is nothing to put right after a crash. Rows are taken under the lock
 * by the same statement as everywhere (placedClaimStatement), with `skip
 * locked`, because a cancel may hold one.
 */

import type { Placement } from '../domain/job.ts';
import { type Bound, jobBound, namespaceBound, queueBound } from '../domain/run-limits.ts';
import { type Db, numberArray, run, type Tx } from './database.ts';

/** "carilimt" in ASCII: any number that no other lock here has. */
const limitsLockKey = '7161132801604578676';

/** An execution that waits in a lane. */
export type LanedExecution = {
  readonly executionId: number;
  readonly priority: number;
  readonly jobId: number;
  readonly namespace: string;
  /** Null: an instance delivers it. */
  readonly queueId: number | null;
  /** Who may take it; null: any worker of its queue. */
  readonly placement: Placement | null;
};

/** Whose limits are asked for. */
export type BoundOwners = {
  readonly jobIds: readonly number[];
  readonly queueIds: readonly number[];
  readonly namespaces: readonly string[];
};

/** What a row in a lane is that may be claimed, in queues of $1 (0: none, for instances). */
const waiting = `o.instance_id is null and o.due_at is null and o.buffered_for is null and o.lane is not null`;
const inQueues = 'coalesce(o.queue_id, 0) = any ($1::bigint[])';

/** At least so many of a lane are looked at, however many lanes there are. */
const leastOfLane = 16;

/** So many executions for certain workers are looked at in one pass. */
const maxPlaced = 500;

export class PgLimitStore {
  /** Whether anything waits in a lane of these queues; 0 stands for none. Uses open_execution_lane_idx. */
  async hasWaiting(db: Db, queueIds: readonly number[]): Promise<boolean> {
    const [row] = await run<{ found: boolean }>(
      db,
      `/* lanes_waiting */
       select exists (select 1 from carillon.open_execution o where ${waiting} and placement is null and ${inQueues})
           or exists (select 1 from carillon.open_execution o where ${waiting} and placement is not null
                         and queue_id = any ($1::bigint[])) as found`,
      [numberArray(queueIds)],
    );
    return row!.found;
  }

  /** Takes the lock of limits until the transaction ends; false when another claim has it. */
  async tryLock(tx: Tx): Promise<boolean> {
    const [row] = await run<{ locked: boolean }>(
      tx,
      '/* lock_limits */ select pg_try_advisory_xact_lock($1::bigint) as locked',
      [limitsLockKey],
    );
    return row!.locked;
  }

  /**
   * What waits in the lanes of these queues, most urgent first, from up to
   * `maxLanes` lanes of each queue behind `afterLane`, and what waits in them
   * for certain workers. Of each lane as many as a claim of `limit` could take
   * from it when it has its share of the lanes; a lane that has more comes again.
   */
  async listLaned(
    tx: Tx,
    queueIds: readonly number[],
    options: { readonly afterLane: number; readonly maxLanes: number; readonly limit: number },
  ): Promise<{ readonly executions: readonly LanedExecution[]; readonly lastLane: number | null }> {
    const rows = await run<LanedExecution & { lastLane: number | null }>(
      tx,
      `/* laned */
       with recursive lane (queue_id, lane, place) as (
         select q.id, l.lane, 1 from unnest($1::bigint[]) as q (id)
          cross join lateral (select o.lane from carillon.open_execution o
                               where ${waiting} and o.placement is null and coalesce(o.queue_id, 0) = q.id
                                 and o.lane > $2::bigint order by o.lane limit 1) l
         union all
         select w.queue_id, l.lane, w.place + 1 from lane w
          cross join lateral (select o.lane from carillon.open_execution o
                               where ${waiting} and o.placement is null and coalesce(o.queue_id, 0) = w.queue_id
                                 and o.lane > w.lane order by o.lane limit 1) l
          where w.place < $3::integer
       ), first as (
         select c.* from lane w
          cross join lateral (
            select o.execution_id, o.priority, o.job_id, o.queue_id, o.placement from carillon.open_execution o
             where ${waiting} and o.placement is null and coalesce(o.queue_id, 0) = w.queue_id and o.lane = w.lane
             order by o.priority desc, o.execution_id
             limit greatest(${leastOfLane}, 4 * $4::integer / (select count(*) from lane))) c
         union all
         select p.* from unnest($1::bigint[]) as q (id)
          cross join lateral (
            select o.execution_id, o.priority, o.job_id, o.queue_id, o.placement from carillon.open_execution o
             where ${waiting} and o.placement is not null and o.queue_id = q.id
             order by o.priority desc, o.execution_id limit ${maxPlaced}) p
       )
       select f.execution_id as "executionId", f.priority, f.job_id as "jobId", f.queue_id as "queueId", f.placement,
              j.namespace, (select min(lane) from lane where place = $3::integer) as "lastLane"
         from first f join carillon.job j on j.id = f.job_id
        order by f.priority desc, f.execution_id`,
      [numberArray(queueIds), options.afterLane, options.maxLanes, options.limit],
    );
    return { executions: rows, lastLane: rows[0]?.lastLane ?? null };
  }

  /** How the limits of these owners stand; those without limits are left out. Uses open_execution_held_lane_idx. */
  async listBounds(db: Db, { jobIds, queueIds, namespaces }: BoundOwners): Promise<readonly Bound[]> {
    const rows = await run<{
      kind: 'job' | 'queue' | 'namespace';
      id: number;
      name: string;
      maxRunning: number | null;
      startCount: number | null;
      startPeriodMs: number | null;
      bookedUntilMs: number | null;
      nowMs: number;
      running: number;
    }>(
      db,
      `/* bounds */
       with held as materialized (
         select lane, queue_id, count(*) as running from carillon.open_execution
          where instance_id is not null and lane is not null group by lane, queue_id
       ), held_of_lane as (
         select lane, sum(running) as running from held group by lane
       ), held_of_queue as (
         select queue_id, sum(running) as running from held group by queue_id
       ), held_of_namespace as (
         select coalesce(j.namespace, q.namespace, n.name) as name, sum(h.running) as running
           from held_of_lane h
           left join carillon.job j on j.id = h.lane
           left join carillon.queue q on q.id = h.lane
           left join carillon.namespace n on n.id = h.lane
          group by 1
       ), bound as (
         select 'job' as kind, j.id, j.namespace || '/' || j.group_name || '/' || j.name as name, j.max_running,
                null::integer as start_count, null::bigint as start_period_ms, null::timestamptz as booked,
                h.running
           from carillon.job j left join held_of_lane h on h.lane = j.id
          where j.id = any ($1::bigint[]) and j.max_running > 0
         union all
         select 'queue', q.id, q.name, q.max_running, q.start_count, q.start_period_ms, q.starts_booked_until,
                h.running
           from carillon.queue q left join held_of_queue h on h.queue_id = q.id
          where q.id = any ($2::bigint[]) and q.is_limited
         union all
         select 'namespace', n.id, n.name, n.max_running, n.start_count, n.start_period_ms, n.starts_booked_until,
                h.running
           from carillon.namespace n left join held_of_namespace h on h.name = n.name
          where n.name = any ($3::text[]) and n.is_limited
       )
       select kind, id, name, max_running as "maxRunning", start_count as "startCount",
              start_period_ms as "startPeriodMs", (extract(epoch from booked) * 1000)::float8 as "bookedUntilMs",
              (extract(epoch from clock_timestamp()) * 1000)::float8 as "nowMs", coalesce(running, 0)::integer as running
         from bound`,
      [numberArray(jobIds), numberArray(queueIds), namespaces],
    );
    return rows.map(({ kind, id, name, running, nowMs, ...row }) => ({
      key: kind === 'job' ? jobBound(id) : kind === 'queue' ? queueBound(id) : namespaceBound(name),
      owner: `${kind} ${JSON.stringify(name)}`,
      limits: {
        maxRunning: row.maxRunning ?? undefined,
        startRate:
          row.startCount === null ? undefined : { count: row.startCount, periodMs: row.startPeriodMs! },
      },
      running,
      bookedUntilMs: row.bookedUntilMs ?? 0,
      nowMs,
    }));
  }

  /** How the limits stand that an execution waits under; none when it waits for something else. */
  async listBoundsOf(db: Db, executionId: number): Promise<readonly Bound[]> {
    const [row] = await run<{ jobId: number; queueId: number | null; namespace: string }>(
      db,
      `/* limits_of */
       select o.job_id as "jobId", o.queue_id as "queueId", j.namespace
         from carillon.open_execution o join carillon.job j on j.id = o.job_id
        where o.execution_id = $1 and ${waiting}`,
      [executionId],
    );
    if (!row) return [];
    const queueIds = row.queueId === null ? [] : [row.queueId];
    return this.listBounds(db, { jobIds: [row.jobId], queueIds, namespaces: [row.namespace] });
  }

  /** Books starts at the start rates of these queues and namespaces; the others keep none. */
  async bookStarts(
    tx: Tx,
    queues: readonly { readonly id: number; readonly starts: number }[],
    namespaces: readonly { readonly name: string; readonly starts: number }[],
  ): Promise<void> {
    const booked = `starts_booked_until = greatest(t.starts_booked_until, clock_timestamp())
                    + b.starts * t.start_period_ms / t.start_count::float8 * interval '1 millisecond'`;
    await run(
      tx,
      `/* book_starts */
       with queues as (
         update carillon.queue t set ${booked} from unnest($1::bigint[], $2::integer[]) as b (id, starts)
          where t.id = b.id and t.start_count is not null
       )
       update carillon.namespace t set ${booked} from unnest($3::text[], $4::integer[]) as b (name, starts)
        where t.name = b.name and t.start_count is not null`,
      [
        numberArray(queues.map(({ id }) => id)),
        numberArray(queues.map(({ starts }) => starts)),
        namespaces.map(({ name }) => name),
        numberArray(namespaces.map(({ starts }) => starts)),
      ],
    );
  }
}

/** Limits as the engine sees them. */
export type LimitStore = Pick<PgLimitStore, keyof PgLimitStore>;
