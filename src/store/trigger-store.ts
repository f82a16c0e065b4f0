import type { ExecutionCause, ExecutionReason } from '../domain/execution.ts';
import type { JobRef, Parameters, Placement } from '../domain/job.ts';
import type { AuditImage } from './audit-store.ts';
import { type Db, numberArray, run } from './database.ts';
import { feedEventOf, feedInsert } from './feed-events.ts';
import { jsonText, storableText } from './json-text.ts';
import { laneOf } from './lanes.ts';

/** An execution that somebody asked for. */
export type TriggeredRow = {
  readonly id: number;
  readonly jobId: number;
  readonly cause: ExecutionCause;
  readonly state: 'PENDING' | 'SKIPPED';
  readonly reason?: ExecutionReason;
  readonly message: string;
  readonly priority: number;
  readonly queueTimeoutMs: number | null;
  readonly parameters: Parameters | null;
  /** Whether it waits for the other executions of its job to end. */
  readonly buffered: boolean;
  /** Who may take it, in place of what the job says; for worker targets. */
  readonly placement: Placement | null;
  /** What the audit says of the call that asked for it, about its job. */
  readonly audit: TriggerAudit;
};

/** What the row of a Trigger in the audit is made of; it gets the id of the execution, and the job's name. */
export type TriggerAudit = {
  readonly actor: string;
  readonly method: string;
  readonly peer: string;
  readonly requestId: string;
  readonly after: AuditImage;
};

/** One execution of a backfill. */
export type BackfillRow = {
  readonly fireMs: number;
  readonly schedule: string;
  readonly state: 'PENDING' | 'SKIPPED';
  readonly message: string;
  readonly buffered: boolean;
};

/** A job that a reference names, and what Trigger needs to know of it. */
export type ResolvedJob = {
  readonly id: number;
  readonly namespace: string;
  readonly generation: number;
  readonly firesAgain: boolean;
  readonly paused: boolean;
  /** Whether the executions that calls make in its namespace are limited. */
  readonly isMetered: boolean;
};

/** What Trigger and Backfill need: jobs by reference, ids, and the executions that they make. */
export class PgTriggerStore {
  /** Draws ids, in order. */
  async drawIds(db: Db, count: number): Promise<readonly number[]> {
    const rows = await run<{ id: number }>(
      db,
      '/* draw_ids */ select carillon.next_id() as id from generate_series(1, (select $1::integer))',
      [count],
    );
    return rows.map((row) => row.id);
  }

  /** Finds the jobs that references name; undefined in the place of one that does not exist. */
  async resolveJobs(db: Db, refs: readonly JobRef[]): Promise<readonly (ResolvedJob | undefined)[]> {
    return resolve<ResolvedJob>(db, refs, `/* resolve_jobs */ ${resolveStatement}`);
  }

  /** Finds jobs and draws an id for an execution of each in the same statement, in the order of the references. */
  async resolveAndDraw(
    db: Db,
    refs: readonly JobRef[],
  ): Promise<readonly ((ResolvedJob & { readonly executionId: number }) | undefined)[]> {
    return resolve(
      db,
      refs,
      `/* resolve_and_draw */
       select r.*, carillon.next_id() as "executionId" from (${resolveStatement} order by f.place) r`,
    );
  }

  /**
   * Writes executions that were asked for, each with its event in the audit, and opens those that are to run.
   * Returns when they were made, and which: a job may be deleted meanwhile.
   */
  async insertTriggered(
    tx: Db,
    rows: readonly TriggeredRow[],
  ): Promise<{ readonly at: Date; readonly ids: ReadonlySet<number> }> {
    const [row] = await run<{ at: Date; ids: number[] }>(tx, insertTriggeredStatement, [
      numberArray(rows.map((r) => r.id)),
      numberArray(rows.map((r) => r.jobId)),
      rows.map((r) => r.cause),
      rows.map((r) => r.state),
      rows.map((r) => r.reason ?? null),
      rows.map((r) => r.message),
      numberArray(rows.map((r) => r.priority)),
      numberArray(rows.map((r) => r.queueTimeoutMs)),
      rows.map((r) => (r.parameters === null ? null : JSON.stringify(r.parameters))),
      rows.map((r) => r.buffered),
      rows.map((r) => (r.placement === null ? null : JSON.stringify(r.placement))),
      ...auditArrays(rows.map((r) => r.audit)),
    ]);
    return { at: row!.at, ids: new Set(row!.ids) };
  }

  /** Writes the executions of a backfill in the order given, in one statement. */
  async insertBackfill(
    tx: Db,
    job: { readonly id: number; readonly priority: number; readonly queueTimeoutMs: number | null },
    backfillId: number,
    rows: readonly BackfillRow[],
  ): Promise<void> {
    await run(tx, insertBackfillStatement, [
      job.id,
      backfillId,
      job.priority,
      job.queueTimeoutMs,
      numberArray(rows.map((r) => r.fireMs)),
      rows.map((r) => r.schedule),
      rows.map((r) => r.state),
      rows.map((r) => r.message),
      rows.map((r) => r.buffered),
    ]);
  }
}

/** Triggers as the engine sees them. */
export type TriggerStore = Pick<PgTriggerStore, keyof PgTriggerStore>;

/**
 * The audit of a batch as arrays: for each row its caller's place, the request
 * id and what is there now; then the callers, once each. Most calls of a batch
 * come from few, and what is sent once costs nothing by the row.
 */
function auditArrays(audits: readonly TriggerAudit[]): unknown[] {
  const places = new Map<string, number>();
  const callers: TriggerAudit[] = [];
  const placeOf = (audit: TriggerAudit): number => {
    const name = `${audit.peer}\0${audit.method}\0${audit.actor}`;
    const known = places.get(name);
    if (known !== undefined) return known;
    places.set(name, callers.push(audit));
    return callers.length;
  };
  return [
    numberArray(audits.map(placeOf)),
    audits.map(({ requestId }) => requestId),
    audits.map(({ after }) => jsonText(after)),
    callers.map(({ actor }) => storableText(actor)),
    callers.map(({ method }) => method),
    callers.map(({ peer }) => peer),
  ];
}

async function resolve<Job extends ResolvedJob>(
  db: Db,
  refs: readonly JobRef[],
  statement: string,
): Promise<readonly (Job | undefined)[]> {
  const rows = await run<Job & { place: number }>(db, statement, [
    numberArray(refs.map((ref) => ('id' in ref ? ref.id : null))),
    refs.map((ref) => ('key' in ref ? ref.key.namespace : null)),
    refs.map((ref) => ('key' in ref ? ref.key.group : null)),
    refs.map((ref) => ('key' in ref ? ref.key.name : null)),
  ]);
  const found: (Job | undefined)[] = refs.map(() => undefined);
  for (const row of rows) found[row.place - 1] = row;
  return found;
}

const resolveStatement = `
  with asked as (
    select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
      with ordinality as a (id, namespace, group_name, name, place)
  ), found as (
    select a.place, j.id, j.namespace from asked a join carillon.job j on j.id = a.id
     where a.id is not null and j.deleted_at is null
    union all
    select a.place, j.id, j.namespace from asked a
      join carillon.job j on j.namespace = a.namespace and j.group_name = a.group_name and j.name = a.name
     where a.id is null and j.deleted_at is null
  )
  select f.place, f.id, f.namespace, t.generation, t.next_fire_at is not null or t.waits_for_finish as "firesAgain",
         exists (select 1 from carillon.pause p where p.job_id = f.id
                    and (p.until_at is null or p.until_at > clock_timestamp())) as paused,
         exists (select 1 from carillon.namespace n
                  where n.name = f.namespace and n.executions_per_minute is not null) as "isMetered"
    from found f join carillon.timer t on t.job_id = f.id`;

const insertTriggeredStatement = `/* insert_triggered */
  with made as materialized (
    select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[],
                         $8::bigint[], $9::text[], $10::boolean[], $11::text[], $12::integer[], $13::text[], $14::text[])
      as m (id, job_id, cause, state, reason, message, priority, queue_timeout_ms, parameters, buffered, placement,
            caller, request_id, after)
     where exists (select 1 from carillon.job j where j.id = m.job_id and j.deleted_at is null)
  ), clock as materialized (
    select date_trunc('milliseconds', clock_timestamp()) as at
  ), ledger as (
    insert into carillon.execution (id, job_id, fire_at, created_at, finished_at, term, priority, cause, state, reason,
                                    schedule, message, parameters)
    select id, job_id, at, at, case when state = 'SKIPPED' then at end, 0, priority, cause, state, reason, '',
           message, parameters::jsonb
      from made, clock
  ), opened as (
    insert into carillon.open_execution (execution_id, job_id, priority, expires_at, buffered_for, queue_id, placement,
                                         lane)
    select m.id, m.job_id, m.priority, at + m.queue_timeout_ms * interval '1 millisecond',
           case when m.buffered then at end, j.queue_id,
           case when j.queue_id is not null then coalesce(m.placement::jsonb, j.placement) end, ${laneOf('j')}
      from made m join carillon.job j on j.id = m.job_id, clock where m.state = 'PENDING'
  ), audited as (
    insert into carillon.audit_event (id, actor, method, peer, namespace, object_type, object_id, object_name,
                                      request_id, outcome, after)
    select m.id, ($15::text[])[m.caller], ($16::text[])[m.caller], ($17::text[])[m.caller], j.namespace, 'job', j.id,
           j.namespace || '/' || j.group_name || '/' || j.name, m.request_id, 'OK', m.after::jsonb
      from made m join carillon.job j on j.id = m.job_id
  ), fed as (${feedInsert('made', {
    executionId: 'id',
    jobId: 'job_id',
    event: feedEventOf('state'),
    attempt: '0',
  })}
  )
  select at, array(select id from made) as ids from clock`;

const insertBackfillStatement = `/* insert_backfill */
  with made as materialized (
    select carillon.next_id() as id, to_timestamp(r.fire_ms / 1000.0) as fire_at, r.*
      from (select * from unnest($5::bigint[], $6::text[], $7::text[], $8::text[], $9::boolean[])
              with ordinality as m (fire_ms, schedule, state, message, buffered, place) order by m.place) r
  ), clock as materialized (
    select clock_timestamp() as at
  ), ledger as (
    insert into carillon.execution (id, job_id, fire_at, created_at, finished_at, term, priority, cause, state, reason,
                                    schedule, message, backfill_id)
    select id, $1::bigint, fire_at, at, case when state = 'SKIPPED' then at end, 0, $3::integer, 'BACKFILL', state,
           case when state = 'SKIPPED' then 'OVERLAP' end, schedule, message, $2::bigint
      from made, clock
  ), opened as (
    insert into carillon.open_execution (execution_id, job_id, priority, expires_at, buffered_for, backfill_id, queue_id,
                                         placement, lane)
    select m.id, j.id, $3::integer, at + $4::bigint * interval '1 millisecond', case when m.buffered then m.fire_at end,
           $2::bigint, j.queue_id, j.placement, ${laneOf('j')}
      from made m join carillon.job j on j.id = $1::bigint, clock where m.state = 'PENDING'
  ), fed as (${feedInsert('made', {
    executionId: 'id',
    jobId: '$1::bigint',
    event: feedEventOf('state'),
    attempt: '0',
  })}
  )
  select count(*) from made`;
