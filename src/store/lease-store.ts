/**
 * The leader's lease: one row, judged by the database's clock.
 *
 * Lock order and modes: a firing transaction takes the row FOR KEY SHARE, a
 * renewal updates it without touching its key, a takeover locks it FOR UPDATE.
 * So renewals and firing never wait for each other, and a takeover waits until
 * every transaction that saw the old term has ended. A leader stopped in the
 * middle of one is ended by idle_in_transaction_session_timeout, which is
 * shorter than the lease.
 *
 * Each term has a session-level advisory lock of its own, held by the session
 * of its leader from before the term is visible. Others wait for that lock:
 * when they get it, the leader's session is gone, whatever the lease says.
 */
import type pg from 'pg';
import { run, type Tx } from './database.ts';

/** The one lease there is. */
const leaseName = 'scheduler';

/** First half of the advisory lock's key; the term is the second. */
const lockSpace = 1_667_330_677;

/** lock_not_available and query_canceled: the wait for a lock has met its own limit, or that of statements. */
const timeIsOver: ReadonlySet<unknown> = new Set(['55P03', '57014']);

export type LeaseState = {
  readonly instanceId: number;
  readonly term: number;
  /** By the database's clock; negative when it has expired. */
  readonly remainingMs: number;
};

export class PgLeaseStore {
  /**
   * The fence: finds whether an instance still leads in a term, and keeps it so
   * until the transaction ends. Every write of a leader calls it first.
   */
  async findTerm(tx: Tx, instanceId: number, term: number): Promise<boolean> {
    const rows = await run(
      tx,
      `/* fence */
       select 1 from carillon.leader_lease
        where name = $1 and instance_id = $2 and term = $3 and expires_at > clock_timestamp()
          for key share`,
      [leaseName, instanceId, term],
    );
    return rows.length > 0;
  }

  /** The present term, kept until the transaction ends: for a command that fires what is owed before it changes a job. */
  async lockCurrentTerm(tx: Tx): Promise<number> {
    const rows = await run<{ term: number }>(
      tx,
      'select term from carillon.leader_lease where name = $1 for key share',
      [leaseName],
    );
    return rows[0]?.term ?? 0;
  }

  /** The lease as it stands; undefined before the first one. */
  async read(session: pg.Client): Promise<LeaseState | undefined> {
    const { rows } = await session.query<LeaseState>(
      `select instance_id as "instanceId", term,
              (extract(epoch from expires_at - clock_timestamp()) * 1000)::float8 as "remainingMs"
         from carillon.leader_lease where name = $1`,
      [leaseName],
    );
    return rows[0];
  }

  /**
   * Takes the lease when it has expired, or when `deadTerm` is its term, whose
   * leader's session is known to be gone. Returns the new term, which is higher
   * than any before, or undefined when somebody else leads. On success the
   * session holds the advisory lock of the new term.
   */
  async take(
    session: pg.Client,
    instanceId: number,
    ttlMs: number,
    deadTerm?: number,
  ): Promise<number | undefined> {
    await session.query('begin');
    try {
      await session.query(`set local lock_timeout = '2s'`);
      await session.query(
        `insert into carillon.leader_lease (name, instance_id, term, expires_at)
         values ($1, 0, 0, '-infinity') on conflict do nothing`,
        [leaseName],
      );
      const { rows } = await session.query<{ term: number }>(
        `select term from carillon.leader_lease
          where name = $1 and (expires_at <= clock_timestamp() or term = $2)
            for update`,
        [leaseName, deadTerm ?? -1],
      );
      const row = rows[0];
      if (!row) {
        await session.query('rollback');
        return undefined;
      }
      const term = row.term + 1;
      await session.query(`select pg_advisory_lock($1, $2)`, [lockSpace, term]);
      await session.query(
        `update carillon.leader_lease
            set instance_id = $2, term = $3, expires_at = clock_timestamp() + $4 * interval '1 millisecond'
          where name = $1`,
        [leaseName, instanceId, term, ttlMs],
      );
      await session.query('commit');
      return term;
    } catch (error) {
      // The session's advisory locks outlive the transaction; ending the session lets go of them.
      await session.end().catch(() => undefined);
      throw error;
    }
  }

  /** Renews the lease of a term; false when it is no longer that instance's. An expired one is not revived. */
  async renew(session: pg.Client, instanceId: number, term: number, ttlMs: number): Promise<boolean> {
    const { rowCount } = await session.query(
      `update carillon.leader_lease
          set expires_at = clock_timestamp() + $4 * interval '1 millisecond'
        where name = $1 and instance_id = $2 and term = $3 and expires_at > clock_timestamp()`,
      [leaseName, instanceId, term, ttlMs],
    );
    return rowCount === 1;
  }

  /** Gives the lease up: it expires now, and the term's lock is let go of, which wakes those who wait for it. */
  async resign(session: pg.Client, instanceId: number, term: number): Promise<void> {
    await session.query(
      `update carillon.leader_lease set expires_at = clock_timestamp()
        where name = $1 and instance_id = $2 and term = $3`,
      [leaseName, instanceId, term],
    );
    await session.query('select pg_advisory_unlock($1, $2)', [lockSpace, term]);
  }

  /**
   * Waits until the session that leads in a term is gone, at most `waitMs`.
   * True when it is gone; false when the time is over first, be it that of the
   * session's statements, which are cut before a whole lease has passed.
   */
  async awaitSessionEnd(session: pg.Client, term: number, waitMs: number): Promise<boolean> {
    await session.query(`select set_config('lock_timeout', $1, false)`, [
      `${Math.max(1, Math.ceil(waitMs))}ms`,
    ]);
    try {
      await session.query('select pg_advisory_lock_shared($1, $2)', [lockSpace, term]);
    } catch (error) {
      if (error instanceof Error && 'code' in error && timeIsOver.has(error.code)) return false;
      throw error;
    }
    await session.query('select pg_advisory_unlock_shared($1, $2)', [lockSpace, term]);
    return true;
  }
}

/** The lease as the engine sees it. */
export type LeaseStore = Pick<PgLeaseStore, keyof PgLeaseStore>;
