/**
 * Attempts: the claim that begins one and the statement that ends many.
 *
 * The claim takes executions that nobody holds, highest priority first, then
 * oldest, and gives them to an instance whose lease is alive. `skip locked`
 * lets any number of instances claim at once without waiting for each other.
 * An execution that is claimed carries a new attempt number.
 *
 * Ending an attempt names instance and attempt number. The row is changed only
 * while that very attempt holds it, so a late report (the lease had expired and
 * somebody else took the execution) changes nothing, and a report that is
 * repeated because the reply was lost changes nothing either. Rows are locked
 * in the order of their ids. A cancel that was asked for wins over a failure
 * and over a retry; a success stands.
 */
import type { AttemptOutcome, ExecutionCause, ExecutionReason } from '../domain/execution.ts';
import type { Json, Parameters, Placement } from '../domain/job.ts';
import { adoptStatement, ownStatement } from './adopting.ts';
import {
  attemptColumns,
  claimStatement,
  lastSeq,
  placedClaimStatement,
  queueClaimStatement,
} from './claiming.ts';
import { type Db, numberArray, run } from './database.ts';
import { endExpiredStatement, endStatement } from './ending.ts';
import { jsonText, storableText } from './json-text.ts';

/** An execution that this instance is to run now. */
export type ClaimedAttempt = {
  readonly executionId: number;
  readonly attempt: number;
  readonly jobId: number;
  /** Of the job at the time of the claim. */
  readonly generation: number;
  readonly fireMs: number;
  readonly cause: ExecutionCause;
  readonly term: number;
  readonly priority: number;
  /** What Trigger overrides. */
  readonly parameters: Parameters | null;
  /** The last log line so far. */
  readonly lastSeq: number;
  readonly cancelRequested: boolean;
  /** The worker that is to run it; null: the instance delivers it itself. */
  readonly workerId: string | null;
  /** How long it has been held, in milliseconds; 0 for a fresh claim. */
  readonly heldMs: number;
};

/** An execution that only certain workers may take. */
export type PlacedExecution = { readonly executionId: number; readonly placement: Placement };

/** How an attempt ended and what follows. */
export type AttemptEnd = {
  readonly executionId: number;
  readonly attempt: number;
  readonly outcome: AttemptOutcome;
  readonly reason?: ExecutionReason;
  readonly message: string;
  readonly result?: { [key: string]: Json };
  /** The wait before the next attempt; absent when this was the last. */
  readonly retryAfterMs?: number;
};

/** An execution whose attempt has ended. */
export type EndedAttempt = {
  readonly id: number;
  readonly jobId: number;
  /** False: it waits for another attempt. */
  readonly isFinal: boolean;
  /** Whether it had a place within limits, which is free now. */
  readonly isLimited: boolean;
};

/** An execution that waits too long, or whose instance is gone. */
export type StrandedAttempt = {
  readonly executionId: number;
  readonly jobId: number;
  readonly attempt: number;
  readonly instanceId: number;
};

export class PgAttemptStore {
  /** Claims up to `limit` executions for an instance. Uses open_execution_claim_idx. */
  async claim(db: Db, instanceId: number, limit: number): Promise<readonly ClaimedAttempt[]> {
    return run<ClaimedAttempt>(db, claimStatement, [instanceId, limit]);
  }

  /**
   * Claims the executions of a queue that any worker may take, one for each
   * free place. Uses open_execution_queue_idx.
   */
  async claimForQueue(
    db: Db,
    instanceId: number,
    queueId: number,
    workerIds: readonly string[],
  ): Promise<readonly ClaimedAttempt[]> {
    return run<ClaimedAttempt>(db, queueClaimStatement, [instanceId, queueId, workerIds]);
  }

  /** The executions of queues that only certain workers may take and no limit concerns, highest priority first, then oldest. */
  async listPlaced(
    db: Db,
    queueIds: readonly number[],
    limit: number,
  ): Promise<readonly (PlacedExecution & { readonly queueId: number })[]> {
    return run(
      db,
      `/* placed */
       select p.* from unnest((select $1::bigint[])) as q (id)
        cross join lateral (
          select execution_id as "executionId", placement, queue_id as "queueId", priority
            from carillon.open_execution
           where queue_id = q.id and placement is not null and instance_id is null and due_at is null
             and buffered_for is null and lane is null
           order by priority desc, execution_id limit (select $2::integer)) p
        order by p.priority desc, p."executionId"`,
      [numberArray(queueIds), limit],
    );
  }

  /** Claims certain executions, each for a worker or for the instance itself; those that somebody else took are left out. */
  async claimPlaced(
    db: Db,
    instanceId: number,
    claims: readonly { readonly executionId: number; readonly workerId: string | null }[],
  ): Promise<readonly ClaimedAttempt[]> {
    return run<ClaimedAttempt>(db, placedClaimStatement, [
      instanceId,
      numberArray(claims.map((claim) => claim.executionId)),
      claims.map((claim) => claim.workerId),
    ]);
  }

  /**
   * Takes over attempts that a worker runs on and that another instance holds:
   * the worker has reconnected here. Returns those that are its own still.
   */
  async adopt(
    db: Db,
    instanceId: number,
    namespace: string,
    workerId: string,
    attempts: readonly { readonly executionId: number; readonly attempt: number }[],
  ): Promise<readonly number[]> {
    const rows = await run<{ id: number }>(db, adoptStatement, [
      instanceId,
      namespace,
      workerId,
      numberArray(attempts.map((a) => a.executionId)),
      numberArray(attempts.map((a) => a.attempt)),
    ]);
    return rows.map((row) => row.id);
  }

  /** Those of the attempts that an instance holds. */
  async listOwn(
    db: Db,
    instanceId: number,
    attempts: readonly { readonly executionId: number; readonly attempt: number }[],
  ): Promise<readonly number[]> {
    const rows = await run<{ id: number }>(db, ownStatement, [
      instanceId,
      numberArray(attempts.map((a) => a.executionId)),
      numberArray(attempts.map((a) => a.attempt)),
    ]);
    return rows.map((row) => row.id);
  }

  /**
   * Lists what an instance holds according to the database, besides what it
   * knows of: claims whose reply was lost. They were never begun, so they are
   * begun now under the number that they have.
   */
  async listHeld(db: Db, instanceId: number, known: readonly number[]): Promise<readonly ClaimedAttempt[]> {
    return run<ClaimedAttempt>(
      db,
      `select ${attemptColumns}, ${lastSeq} as "lastSeq", o.cancel_requested_at is not null as "cancelRequested", o.worker_id as "workerId",
              (extract(epoch from clock_timestamp() - o.attempt_started_at) * 1000)::float8 as "heldMs"
         from carillon.open_execution o
         join carillon.execution l on l.id = o.execution_id
         join carillon.job j on j.id = l.job_id
        where o.instance_id = $1 and o.execution_id <> all ($2::bigint[])`,
      [instanceId, numberArray(known)],
    );
  }

  /** Ends attempts; returns the executions that were changed. */
  async end(db: Db, instanceId: number, ends: readonly AttemptEnd[]): Promise<readonly EndedAttempt[]> {
    return this.endOf(
      db,
      ends.map(() => instanceId),
      ends,
    );
  }

  /** Ends attempts of several holders: lost instances, callees; null: whoever holds it. */
  async endOf(
    db: Db,
    instanceIds: readonly (number | null)[],
    ends: readonly AttemptEnd[],
  ): Promise<readonly EndedAttempt[]> {
    return run<EndedAttempt>(db, endStatement, [
      numberArray(ends.map((end) => end.executionId)),
      numberArray(ends.map((end) => end.attempt)),
      numberArray(instanceIds),
      ends.map((end) => end.outcome),
      ends.map((end) => end.reason ?? null),
      ends.map((end) => storableText(end.message)),
      ends.map((end) => (end.result === undefined ? null : jsonText(end.result))),
      numberArray(ends.map((end) => (end.retryAfterMs === undefined ? null : Math.ceil(end.retryAfterMs)))),
    ]);
  }

  /**
   * Lets executions go whose waiting time is over. Returns how many now wait
   * for a slot, and how long until the next one is due.
   */
  async promoteDue(db: Db): Promise<{ readonly promoted: number; readonly nextMs: number | null }> {
    const [row] = await run<{ promoted: number; nextMs: number | null }>(
      db,
      `/* promote_due */
       with due as (
         select execution_id from carillon.open_execution
          where due_at <= (select clock_timestamp()) order by due_at limit 1000 for update skip locked
       ), promoted as (
         update carillon.open_execution o set due_at = null from due d where o.execution_id = d.execution_id returning 1
       )
       select (select count(*) from promoted) as promoted,
              (select (extract(epoch from min(due_at) - clock_timestamp()) * 1000)::float8
                 from carillon.open_execution where due_at > clock_timestamp()) as "nextMs"`,
    );
    return row!;
  }

  /** Ends executions that have waited longer than their job allows; returns their jobs. */
  async endExpired(db: Db): Promise<readonly number[]> {
    const rows = await run<{ jobId: number }>(db, endExpiredStatement);
    return rows.map((row) => row.jobId);
  }

  /** Locks attempts whose instance is lost, up to a limit, oldest first. */
  async lockStranded(
    db: Db,
    instanceIds: readonly number[],
    limit: number,
  ): Promise<readonly StrandedAttempt[]> {
    return run<StrandedAttempt>(
      db,
      `select execution_id as "executionId", job_id as "jobId", attempt, instance_id as "instanceId"
         from carillon.open_execution where instance_id = any ($1::bigint[])
        order by execution_id limit $2 for update`,
      [numberArray(instanceIds), limit],
    );
  }

  /** The executions that an instance holds and that somebody wants canceled. */
  async listCancelRequested(db: Db, instanceId: number): Promise<readonly number[]> {
    const rows = await run<{ id: number }>(
      db,
      `/* cancel_requested */
       select execution_id as id from carillon.open_execution
        where cancel_requested_at is not null and instance_id = $1`,
      [instanceId],
    );
    return rows.map((row) => row.id);
  }
}

/** Attempts as the engine sees them. */
export type AttemptStore = Pick<PgAttemptStore, keyof PgAttemptStore>;
