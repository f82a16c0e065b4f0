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
  readonly lane: number;
};

/** A lane in which executions wait. */
export type Lane = {
  readonly id: number;
  /** 0: instances deliver what is in it. */
  readonly queueId: number;
  /** Of the job of one of them: all in one lane have the same limits. */
  readonly jobId: number;
  readonly namespace: string;
};

export type WaitingLanes = {
  readonly lanes: readonly Lane[];
  /** Whether executions wait for certain workers. */
  readonly hasPlaced: boolean;
  /** The lane behind which there may be more; null: there are none. */
  readonly lastLane: number | null;
};

/** Whose limits are asked for. */
export type BoundOwners = {
  readonly jobIds: readonly number[];
  readonly queueIds: readonly number[];
  readonly namespaces: readonly string[];
};

/** What a row in a lane is that may be claimed. */
const waiting = `o.instance_id is null and o.due_at is null and o.buffered_for is null and o.lane is not null`;

/** So many executions for certain workers are looked at in one pass. */
const maxPlaced = 500;

export class PgLimitStore {
  /**
   * The lanes in which executions wait for instances (queue 0) or for workers
   * of these queues: up to `maxLanes` of each queue behind `afterLane`. A lane
   * in which all wait for certain workers is not among them; `hasPlaced` says
   * whether any wait so. Uses open_execution_lane_idx.
   */
  async listLanes(
    db: Db,
    queueIds: readonly number[],
    { afterLane, maxLanes }: { readonly afterLane: number; readonly maxLanes: number },
  ): Promise<WaitingLanes> {
    const rows = await run<Lane & { readonly isLast: boolean; readonly isPlaced: boolean }>(
      db,
      `/* lanes */
       with recursive lane (queue_id, lane, job_id, place) as (
         select q.id, l.lane, l.job_id, 1 from unnest((select $1::bigint[])) as q (id)
          cross join lateral (select o.lane, o.job_id from carillon.open_execution o
                               where ${waiting} and o.placement is null and coalesce(o.queue_id, 0) = q.id
                                 and o.lane > (select $2::bigint) order by o.lane limit 1) l
         union all
         select w.queue_id, l.lane, l.job_id, w.place + 1 from lane w
          cross join lateral (select o.lane, o.job_id from carillon.open_execution o
                               where ${waiting} and o.placement is null and coalesce(o.queue_id, 0) = w.queue_id
                                 and o.lane > w.lane order by o.lane limit 1) l
          where w.place < (select $3::integer)
       )
       select w.queue_id as "queueId", w.lane as id, w.job_id as "jobId", j.namespace, w.place = (select $3::integer) as "isLast",
              false as "isPlaced"
         from lane w join carillon.job j on j.id = w.job_id
       union all
       select 0, 0, 0, '', false, true
        where exists (select 1 from carillon.open_execution o where ${waiting} and o.placement is not null
                         and o.queue_id = any ((select $1::bigint[])::bigint[]))`,
      [numberArray(queueIds), afterLane, maxLanes],
    );
    const lanes = rows.filter(({ isPlaced }) => !isPlaced);
    const last = lanes.filter(({ isLast }) => isLast).map(({ id }) => id);
    return {
      lanes,
      hasPlaced: lanes.length < rows.length,
      lastLane: last.length === 0 ? null : Math.min(...last),
    };
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
   * What waits in lanes, so many of each, and what waits in queues for certain
   * workers: most urgent first.
   */
  async listLaned(
    tx: Tx,
    lanes: readonly { readonly queueId: number; readonly id: number; readonly count: number }[],
    placedIn: readonly number[],
  ): Promise<readonly LanedExecution[]> {
    return run<LanedExecution>(
      tx,
      `/* laned */
       with first as (
         select c.* from unnest((select $1::bigint[]), (select $2::bigint[]), (select $3::integer[])) as w (queue_id, lane, count)
          cross join lateral (
            select o.execution_id, o.priority, o.job_id, o.queue_id, o.placement, o.lane from carillon.open_execution o
             where ${waiting} and o.placement is null and coalesce(o.queue_id, 0) = w.queue_id and o.lane = w.lane
             order by o.priority desc, o.execution_id limit w.count) c
         union all
         select p.* from unnest((select $4::bigint[])) as q (id)
          cross join lateral (
            select o.execution_id, o.priority, o.job_id, o.queue_id, o.placement, o.lane from carillon.open_execution o
             where ${waiting} and o.placement is not null and o.queue_id = q.id
             order by o.priority desc, o.execution_id limit ${maxPlaced}) p
       )
       select f.execution_id as "executionId", f.priority, f.job_id as "jobId", f.queue_id as "queueId", f.placement,
              f.lane, j.namespace
         from first f join carillon.job j on j.id = f.job_id
        order by f.priority desc, f.execution_id`,
      [
        numberArray(lanes.map(({ queueId }) => queueId)),
        numberArray(lanes.map(({ id }) => id)),
        numberArray(lanes.map(({ count }) => count)),
        numberArray(placedIn),
      ],
    );
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
