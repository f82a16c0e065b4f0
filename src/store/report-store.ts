/**
 * Attempts that are with their callees: instance_id 0 holds them.
 *
 * An instance hands an attempt over while it holds it, so a hand-over and a
 * report that ends the attempt come one after the other by the lock of the open
 * row, and the second changes nothing. Rows are locked in the order of their
 * ids. From then on no instance's lease counts for it: it ends by a report, or
 * by the leader's sweep, both through end_attempts.
 *
 * Lines that a callee reports get their seq here: whoever holds the row's lock
 * and finds instance 0 in it is the only one who writes lines of that
 * execution, and reads the last one in a statement behind the lock.
 */
import type { AttemptOutcome, ExecutionReason, LogLine } from '../domain/execution.ts';
import { type Db, numberArray, run, type Tx } from './database.ts';
import { feedInsert } from './feed-events.ts';
import { jsonText, storableText } from './json-text.ts';
import { logLevelNumber } from './log-store.ts';

/** Who holds attempts that are with their callees. */
export const calleeId = 0;

/** An attempt that its callee has accepted. */
export type HandOver = {
  readonly executionId: number;
  readonly attempt: number;
  /** How long the attempt may take, from its start. */
  readonly timeoutMs: number;
  /** How long the callee may be silent; absent: as long as the attempt may take. */
  readonly heartbeatTimeoutMs?: number;
  /** What the attempt has used up of its log allowance. */
  readonly loggedBytes: number;
};

/** What the database knows of an execution whose attempt somebody reports on. */
export type ReportedExecution = {
  readonly executionId: number;
  readonly jobId: number;
  readonly namespace: string;
  readonly term: number;
  /** Of the job now. */
  readonly generation: number;
  /** The attempt under way; absent where none is. */
  readonly underWay?: {
    readonly attempt: number;
    /** Whether its callee has it; an instance does otherwise. */
    readonly isWithCallee: boolean;
    readonly isCancelRequested: boolean;
    readonly reportBy: Date;
    readonly hasHeartbeat: boolean;
  };
};

/** How an attempt ended, by its row. */
export type RecordedEnd = { readonly outcome: AttemptOutcome; readonly reason: ExecutionReason | null };

/** An attempt with its callee, locked. */
export type LockedReport = {
  readonly jobId: number;
  readonly lines: number;
  readonly bytes: number;
  readonly isCancelRequested: boolean;
};

/** Why an attempt with its callee is over. */
export type CalleeFault = 'CANCEL' | 'DEADLINE' | 'HEARTBEAT';

/** An attempt whose callee has not reported in time. */
export type OverdueAttempt = {
  readonly executionId: number;
  readonly attempt: number;
  readonly jobId: number;
  /** Who holds it: the callee. */
  readonly instanceId: number;
  readonly fault: CalleeFault;
  /** How long it was given, in milliseconds. */
  readonly givenMs: number;
};

export class PgReportStore {
  /** What tokens are made with. */
  async readTokenKey(db: Db): Promise<Buffer> {
    const [row] = await run<{ key: Buffer }>(db, 'select key from carillon.attempt_token_key');
    return row!.key;
  }

  /** Hands attempts that an instance holds to their callees; returns the executions that were changed. */
  async handOver(db: Db, instanceId: number, handOvers: readonly HandOver[]): Promise<readonly number[]> {
    const rows = await run<{ id: number }>(db, handOverStatement, [
      instanceId,
      numberArray(handOvers.map((each) => each.executionId)),
      numberArray(handOvers.map((each) => each.attempt)),
      numberArray(handOvers.map((each) => each.timeoutMs)),
      numberArray(handOvers.map((each) => each.heartbeatTimeoutMs ?? null)),
      numberArray(handOvers.map((each) => each.loggedBytes)),
    ]);
    return rows.map((row) => row.id);
  }

  /** Finds executions by id; those that are not there are left out. */
  async list(db: Db, executionIds: readonly number[]): Promise<ReadonlyMap<number, ReportedExecution>> {
    const rows = await run<ReportedRow>(db, listStatement, [numberArray(executionIds)]);
    return new Map(rows.map((row) => [row.executionId, reportedFromRow(row)]));
  }

  /** How an attempt ended; undefined while it has not, and when its row is cleaned away. */
  async findEnd(db: Db, executionId: number, attempt: number): Promise<RecordedEnd | undefined> {
    const [row] = await run<RecordedEnd>(
      db,
      'select outcome, reason from carillon.attempt where execution_id = $1 and attempt = $2',
      [executionId, attempt],
    );
    return row;
  }

  /** Lets the time begin again within which callees must be heard of; returns the executions that were changed. */
  async touch(
    db: Db,
    attempts: readonly { readonly executionId: number; readonly attempt: number }[],
  ): Promise<ReadonlySet<number>> {
    const rows = await run<{ id: number }>(
      db,
      `/* touch_reports */
       with heard as materialized (
         select o.execution_id from carillon.open_execution o
           join unnest($1::bigint[], $2::integer[]) as h (execution_id, attempt) using (execution_id, attempt)
          where o.instance_id = ${calleeId}
          order by o.execution_id for update of o
       )
       update carillon.open_execution o set heartbeat_by = ${nextHeartbeat} from heard h
        where o.execution_id = h.execution_id returning o.execution_id as id`,
      [
        numberArray(attempts.map((each) => each.executionId)),
        numberArray(attempts.map((each) => each.attempt)),
      ],
    );
    return new Set(rows.map((row) => row.id));
  }

  /** Locks an attempt that is with its callee, so that lines may be added to it. */
  async lock(tx: Tx, executionId: number, attempt: number): Promise<LockedReport | undefined> {
    const [row] = await run<LockedReport>(
      tx,
      `/* lock_report */
       select job_id as "jobId", reported_lines as lines, reported_bytes as bytes,
              cancel_requested_at is not null as "isCancelRequested"
         from carillon.open_execution where execution_id = $1 and attempt = $2 and instance_id = ${calleeId}
          for update`,
      [executionId, attempt],
    );
    return row;
  }

  /** Adds lines behind the last one and notes what has arrived; the attempt is locked. */
  async append(
    tx: Tx,
    report: { readonly executionId: number; readonly attempt: number; readonly jobId: number },
    entries: readonly (LogLine & { readonly at: Date })[],
    arrived: { readonly lines: number; readonly bytes: number },
  ): Promise<void> {
    await run(tx, appendStatement, [
      report.executionId,
      report.attempt,
      report.jobId,
      arrived.lines,
      arrived.bytes,
      numberArray(entries.map((entry) => logLevelNumber(entry.level))),
      numberArray(entries.map((entry) => entry.at.getTime())),
      entries.map((entry) => storableText(entry.message)),
      entries.map((entry) => (entry.data === undefined ? null : jsonText(entry.data))),
    ]);
  }

  /**
   * Locks attempts whose callees have not reported in time, up to a limit;
   * those that somebody reports on at this moment are left for the next look.
   */
  async lockOverdue(tx: Tx, cancelGraceMs: number, limit: number): Promise<readonly OverdueAttempt[]> {
    return run<OverdueAttempt>(tx, overdueStatement, [cancelGraceMs, limit]);
  }
}

/** Reports as the engine sees them. */
export type ReportStore = Pick<PgReportStore, keyof PgReportStore>;

type ReportedRow = {
  executionId: number;
  jobId: number;
  namespace: string;
  term: number;
  generation: number;
  attempt: number | null;
  instanceId: number | null;
  isCancelRequested: boolean;
  reportBy: Date;
  hasHeartbeat: boolean;
};

function reportedFromRow(row: ReportedRow): ReportedExecution {
  const { executionId, jobId, namespace, term, generation, attempt, instanceId } = row;
  const { isCancelRequested, reportBy, hasHeartbeat } = row;
  const common = { executionId, jobId, namespace, term, generation };
  if (attempt === null || instanceId === null) return common;
  const isWithCallee = instanceId === calleeId;
  return { ...common, underWay: { attempt, isWithCallee, isCancelRequested, reportBy, hasHeartbeat } };
}

/** When a callee of open row o that is heard of now must be heard of next. */
const nextHeartbeat = `clock_timestamp() + o.heartbeat_timeout_ms * interval '1 millisecond'`;

const handOverStatement = `/* hand_over */
  with given as (
    select * from unnest($2::bigint[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[])
      as g (execution_id, attempt, timeout_ms, heartbeat_timeout_ms, logged_bytes)
  ), held as materialized (
    select o.execution_id, g.timeout_ms, g.heartbeat_timeout_ms, g.logged_bytes
      from carillon.open_execution o join given g on g.execution_id = o.execution_id and g.attempt = o.attempt
     where o.instance_id = $1
     order by o.execution_id
       for update of o
  )
  update carillon.open_execution o
     set instance_id = ${calleeId}, report_by = o.attempt_started_at + h.timeout_ms * interval '1 millisecond',
         heartbeat_timeout_ms = h.heartbeat_timeout_ms,
         heartbeat_by = clock_timestamp() + h.heartbeat_timeout_ms * interval '1 millisecond',
         reported_lines = 0, reported_bytes = h.logged_bytes
    from held h where o.execution_id = h.execution_id
  returning o.execution_id as id`;

const listStatement = `/* reported */
  select e.id as "executionId", e.job_id as "jobId", j.namespace, e.term, j.generation, o.attempt, o.instance_id as "instanceId",
         o.cancel_requested_at is not null as "isCancelRequested",
         coalesce(o.report_by, o.attempt_started_at + j.attempt_timeout_ms * interval '1 millisecond') as "reportBy",
         o.heartbeat_timeout_ms is not null as "hasHeartbeat"
    from carillon.execution e
    join carillon.job j on j.id = e.job_id
    left join carillon.open_execution o on o.execution_id = e.id
   where e.id = any ($1::bigint[])`;

const appendStatement = `/* append_reported */
  with line as (
    select * from unnest($6::smallint[], $7::bigint[], $8::text[], $9::text[]) with ordinality
      as l (level, at_ms, message, data, place)
  ), last as (
    select coalesce(max(seq), 0) as seq from carillon.log_entry where execution_id = $1
  ), stored as (
    insert into carillon.log_entry (execution_id, seq, logged_at, attempt, level, message, data)
    select $1, last.seq + l.place, to_timestamp(l.at_ms / 1000.0), $2, l.level, l.message, l.data::jsonb
      from line l cross join last
    returning seq
  ), span as (
    select $1::bigint as execution_id, $3::bigint as job_id, $2::integer as attempt, min(seq) as first_seq,
           max(seq) as last_seq
      from stored having count(*) > 0
  ), fed as (${feedInsert('span', {
    executionId: 'execution_id',
    jobId: 'job_id',
    event: '0::smallint',
    attempt: 'attempt',
    firstSeq: 'first_seq',
    lastSeq: 'last_seq',
  })}
  )
  update carillon.open_execution o set reported_lines = $4, reported_bytes = $5, heartbeat_by = ${nextHeartbeat}
   where o.execution_id = $1`;

/**
 * Each cause has an index; the lock asks again, because a report may have come
 * in between. The ids are an array, so that its rows are found by the primary
 * key: joined, the planner reads every attempt that is with a callee, 8 ms of
 * each look for 20,000 of them.
 */
const overdueStatement = `/* overdue_reports */
  with now as materialized (
    select clock_timestamp() as at, clock_timestamp() - $1 * interval '1 millisecond' as canceled_by
  ), due as (
    (select execution_id from carillon.open_execution
      where instance_id = ${calleeId} and report_by <= (select at from now) order by report_by limit $2)
    union
    (select execution_id from carillon.open_execution
      where instance_id = ${calleeId} and heartbeat_by <= (select at from now) order by heartbeat_by limit $2)
    union
    (select execution_id from carillon.open_execution
      where instance_id = ${calleeId} and cancel_requested_at <= (select canceled_by from now)
      order by cancel_requested_at limit $2)
  )
  select o.execution_id as "executionId", o.attempt, o.job_id as "jobId", o.instance_id as "instanceId",
         case when o.cancel_requested_at <= (select canceled_by from now) then 'CANCEL'
              when o.report_by <= (select at from now) then 'DEADLINE' else 'HEARTBEAT' end as fault,
         case when o.report_by <= (select at from now)
              then (extract(epoch from o.report_by - o.attempt_started_at) * 1000)::float8
              else o.heartbeat_timeout_ms end as "givenMs"
    from carillon.open_execution o
   where o.execution_id = any (array(select execution_id from due)) and o.instance_id = ${calleeId}
     and (o.report_by <= (select at from now) or o.heartbeat_by <= (select at from now)
          or o.cancel_requested_at <= (select canceled_by from now))
   order by o.execution_id limit $2
     for update of o skip locked`;
