/**
 * What changed, for watchers.
 *
 * Every statement that changes executions or stores log lines also writes one
 * feed row. A watcher's position is a Postgres snapshot S, as text
 * `xmin:xmax:xip,…`: what S saw has been delivered. The rows that came since
 * are those whose transaction S did not see,
 *
 *     xid >= xmax(S)  or  xid in xip(S)
 *
 * and that the reading statement sees. Nothing is lost and nothing repeats,
 * whatever the order in which transactions begin and commit; no counter has to
 * be locked; both conditions are ranges of the primary key. Every read returns
 * its own snapshot: the next position. A sequence could not do this, because
 * its values become visible out of order and jump after a crash.
 */
import type { ExecutionState } from '../domain/execution.ts';
import { boundsOfPosition, type FeedPosition } from '../domain/feed-position.ts';
import { type Db, run } from './database.ts';
import { stateByFeedEvent } from './feed-events.ts';

/** An execution that entered a state, or lines that were added to its log. */
export type FeedEvent = {
  readonly executionId: number;
  readonly jobId: number;
  readonly attempt: number;
} & (
  | { readonly kind: 'state'; readonly state: ExecutionState }
  | { readonly kind: 'logs'; readonly firstSeq: number; readonly lastSeq: number }
);

export type FeedRead = { readonly position: FeedPosition; readonly events: readonly FeedEvent[] };

/** Feed rows of one part of what came between two positions. */
const partRows = 200;

type FeedRow = {
  position: string;
  execution_id: number[] | null;
  job_id: number[];
  event: number[];
  attempt: number[];
  first_seq: number[];
  last_seq: number[];
};

export class PgFeedStore {
  /** The present position and the epoch of the feed. */
  async readPosition(
    db: Db,
  ): Promise<{ readonly position: FeedPosition; readonly epoch: string; readonly now: Date }> {
    const [row] = await run<{ position: string; epoch: string; now: Date }>(
      db,
      `select pg_current_snapshot()::text as position, clock_timestamp() as now,
              (select epoch from carillon.feed_epoch) as epoch`,
    );
    return row!;
  }

  /** What came since a position. */
  async readSince(db: Db, since: FeedPosition): Promise<FeedRead> {
    const { xmax, xip } = boundsOfPosition(since);
    const rows = await run<FeedRow>(
      db,
      `/* feed_since */
       select pg_current_snapshot()::text as position, f.*
         from (values (1)) one
         left join lateral (
           select xid, place, execution_id, job_id, event, attempt, first_seq, last_seq
             from carillon.feed where xid >= $1::xid8
           union all
           select xid, place, execution_id, job_id, event, attempt, first_seq, last_seq
             from carillon.feed where xid = any ($2::xid8[])
           order by xid, place
         ) f on true`,
      [xmax, xip],
    );
    return { position: rows[0]!.position, events: eventsOfRows(rows) };
  }

  /** What came between two positions, a bounded part at a time, in the same order whenever it is read. */
  async *readBetween(db: Db, since: FeedPosition, until: FeedPosition): AsyncGenerator<readonly FeedEvent[]> {
    const { xmax, xip } = boundsOfPosition(since);
    for (let last = { xid: '0', place: 0 }; ; ) {
      const rows = await run<FeedRow & { xid: string; place: number }>(
        db,
        `select '' as position, xid, place, execution_id, job_id, event, attempt, first_seq, last_seq
           from carillon.feed
          where (xid >= $1::xid8 or xid = any ($2::xid8[])) and pg_visible_in_snapshot(xid, $3::pg_snapshot)
            and (xid, place) > ($4::xid8, $5::bigint)
          order by xid, place limit $6`,
        [xmax, xip, until, last.xid, last.place, partRows],
      );
      if (rows.length > 0) yield eventsOfRows(rows);
      if (rows.length < partRows) return;
      last = rows.at(-1)!;
    }
  }

  /**
   * Whether all rows since a position are still there: it comes from this
   * epoch, and none of the transactions that it has not seen may have been
   * cleaned away. One that is still under way has not, however old it is: any
   * database of the cluster may hold one open for hours.
   */
  async isKept(db: Db, position: FeedPosition, epoch: string): Promise<boolean> {
    const [row] = await run<{ kept: boolean }>(
      db,
      `select epoch = $2 and pg_snapshot_xmax($1::pg_snapshot) > floor_xid
              and not exists (select 1 from pg_snapshot_xip($1::pg_snapshot) xid
                               where xid <= floor_xid and pg_visible_in_snapshot(xid, pg_current_snapshot()))
              and pg_snapshot_xmax($1::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) as kept
         from carillon.feed_epoch`,
      [position, epoch],
    );
    return row?.kept ?? false;
  }

  /** Cleans rows older than `retentionMs` away and notes up to where. */
  async clean(db: Db, retentionMs: number): Promise<number> {
    const [row] = await run<{ cleaned: number }>(
      db,
      `with gone as (
         delete from carillon.feed where fed_at < (select clock_timestamp()) - $1 * interval '1 millisecond' returning xid
       ), floor as (
         update carillon.feed_epoch e
            set floor_xid = greatest(e.floor_xid::text::numeric, g.top)::text::xid8
           from (select max(xid::text::numeric) as top from gone) g
          where g.top is not null
       )
       select count(*) as cleaned from gone`,
      [retentionMs],
    );
    return row!.cleaned;
  }

  /**
   * Begins a new epoch when the rows cannot be of this cluster: a dump that was
   * restored elsewhere carries transaction numbers of its old home. Older
   * cursors expire by it.
   */
  async renewEpochIfForeign(db: Db): Promise<boolean> {
    const rows = await run(
      db,
      `with foreign_rows as (
         select 1 from carillon.feed where xid >= pg_snapshot_xmax(pg_current_snapshot()) limit 1
       ), cleared as (
         delete from carillon.feed where exists (select 1 from foreign_rows)
       )
       update carillon.feed_epoch set epoch = gen_random_uuid()::text, floor_xid = '0'
        where exists (select 1 from foreign_rows)
           or floor_xid >= pg_snapshot_xmax(pg_current_snapshot())
       returning epoch`,
    );
    return rows.length > 0;
  }
}

/** The feed as the engine sees it. */
export type FeedStore = Pick<PgFeedStore, keyof PgFeedStore>;

function eventsOfRows(rows: readonly FeedRow[]): FeedEvent[] {
  const events: FeedEvent[] = [];
  for (const row of rows) {
    if (row.execution_id === null) continue;
    for (let i = 0; i < row.execution_id.length; i++) {
      const common = { executionId: row.execution_id[i]!, jobId: row.job_id[i]!, attempt: row.attempt[i]! };
      const state = stateByFeedEvent[row.event[i]!];
      if (state === undefined) {
        events.push({ ...common, kind: 'logs', firstSeq: row.first_seq[i]!, lastSeq: row.last_seq[i]! });
      } else {
        events.push({ ...common, kind: 'state', state });
      }
    }
  }
  return events;
}
