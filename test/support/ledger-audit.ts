/**
 * The cheap audits of the ledger: what must hold whatever was done to the
 * service, asked of the tables themselves. Each is one statement, so it sees
 * one moment.
 */
import pg from 'pg';
import { awaitThat, patienceMs } from './await-that.ts';

type Audit = { readonly rule: string; readonly sql: string };

/** Hold at every moment. */
const always: readonly Audit[] = [
  {
    rule: 'I1: a fire time has one row',
    sql: `select job_id, fire_at, count(*) from carillon.execution where cause in ('SCHEDULE', 'CATCH_UP')
           group by job_id, fire_at having count(*) > 1`,
  },
  {
    rule: 'I5: every row belongs to a job that existed',
    sql: `select e.id, e.job_id from carillon.execution e where not exists (select 1 from carillon.job j where j.id = e.job_id)`,
  },
  {
    rule: 'I5: every job has its timer row unless deleted, and every timer its job',
    sql: `select j.id as job, t.job_id as timer from carillon.job j full join carillon.timer t on t.job_id = j.id
           where j.id is null or (t.job_id is null and j.deleted_at is null)`,
  },
  {
    rule: 'I5: every execution that a call asked for has its event in the audit, and every event its execution',
    sql: `with made as (select id from carillon.execution where cause in ('MANUAL', 'API')),
               audited as (select (after ->> 'executionId')::bigint as id from carillon.audit_event
                            where outcome = 'OK' and after ? 'executionId')
          select m.id as execution, a.id as audited from made m full join audited a on a.id = m.id
           where m.id is null or a.id is null`,
  },
  {
    rule: 'I17: seq counts from 1 without gap',
    sql: `select execution_id, min(seq), max(seq), count(*) from carillon.log_entry
           group by execution_id having max(seq) <> count(*) or min(seq) <> 1`,
  },
  {
    rule: 'lines and attempts belong to executions',
    sql: `select 'line' as kind, execution_id from carillon.log_entry l
           where not exists (select 1 from carillon.execution e where e.id = l.execution_id)
          union all
          select 'attempt', execution_id from carillon.attempt a
           where not exists (select 1 from carillon.execution e where e.id = a.execution_id)`,
  },
  {
    rule: 'I16: an execution is open exactly while its ledger row is PENDING or RUNNING',
    sql: `select e.id, e.state, o.execution_id as open
            from (select * from carillon.execution where state in ('PENDING', 'RUNNING')) e
            full join carillon.open_execution o on o.execution_id = e.id
           where e.id is null or o.execution_id is null
              or e.attempt <> o.attempt or (e.state = 'RUNNING') <> (o.instance_id is not null)`,
  },
  {
    rule: 'I11: attempts are numbered 1 to n, and the ledger row knows n',
    sql: `select e.id, e.state, e.attempt, a.count, a.last
            from carillon.execution e
            left join lateral (select count(*) as count, coalesce(max(attempt), 0) as last, coalesce(min(attempt), 1) as first
                                 from carillon.attempt where execution_id = e.id) a on true
           where a.count <> a.last or a.first <> 1
              or a.count <> case when e.state = 'RUNNING' then e.attempt - 1 else e.attempt end`,
  },
  {
    rule: 'I14, I16: fire, create, start and finish come in this order',
    sql: `select id, fire_at, created_at, started_at, finished_at from carillon.execution
           where created_at < fire_at or started_at < created_at or finished_at < started_at or finished_at < created_at`,
  },
  {
    rule: 'I12: attempts of one execution do not overlap',
    sql: `select a.execution_id, a.attempt from carillon.attempt a
            join carillon.attempt b on b.execution_id = a.execution_id and b.attempt = a.attempt + 1
           where b.started_at < a.finished_at`,
  },
  {
    rule: 'I9: a row without a success says why',
    sql: `select id, state from carillon.execution where state in ('FAILED', 'CANCELED', 'SKIPPED') and reason is null`,
  },
];

/** The row of the ledger changes later, so its xmin is not that of the firing; the feed's row is never changed. */
const termsInCommitOrder: Audit = {
  rule: 'I7: terms never decrease in commit order',
  sql: `with fired as (
          select pg_xact_commit_timestamp(f.xmin) as at, e.id, e.term
            from carillon.feed f
           cross join lateral unnest(f.execution_id, f.event, f.attempt) as u (id, event, attempt)
            join carillon.execution e on e.id = u.id
           where u.event in (1, 6) and u.attempt = 0 and e.cause in ('SCHEDULE', 'CATCH_UP')
        ), ordered as (
          select *, max(term) over (order by at, term rows between unbounded preceding and 1 preceding) as before from fired
        )
        select at, id, term, before from ordered where term < before`,
};

/** Hold once everything has come to rest. */
const atRest: readonly Audit[] = [
  {
    rule: 'I6: no next fire time stays in the past',
    sql: `select job_id, next_fire_at from carillon.timer where next_fire_at < clock_timestamp() - interval '10 seconds'`,
  },
  {
    rule: 'I21: no attempt is held by an instance that is gone',
    sql: `select o.execution_id, o.attempt, o.instance_id from carillon.open_execution o
           where o.instance_id <> 0
             and not exists (select 1 from carillon.instance i
                              where i.id = o.instance_id and i.lease_expires_at > clock_timestamp() - interval '10 seconds')`,
  },
  {
    rule: 'I21: no attempt stays with its callee past its time',
    sql: `select execution_id, attempt, report_by, heartbeat_by from carillon.open_execution
           where instance_id = 0 and least(report_by, heartbeat_by) < clock_timestamp() - interval '10 seconds'`,
  },
  {
    rule: 'I21: nothing waits that is due',
    sql: `select execution_id, due_at from carillon.open_execution
           where instance_id is null and buffered_for is null and coalesce(due_at, 'epoch') < clock_timestamp() - interval '10 seconds'
             and exists (select 1 from carillon.execution e
                          where e.id = execution_id and e.created_at < clock_timestamp() - interval '10 seconds')`,
  },
  {
    rule: 'I21: nothing stays buffered behind nothing',
    sql: `select b.job_id, b.execution_id from carillon.open_execution b
           where b.buffered_for is not null and b.buffered_for < clock_timestamp() - interval '10 seconds'
             and not exists (select 1 from carillon.open_execution o
                              where o.job_id = b.job_id and (o.buffered_for is null or o.execution_id <> b.execution_id))`,
  },
  {
    rule: 'I21: no fixed delay waits for an execution that is over',
    sql: `select t.job_id, t.progress from carillon.timer t
           where t.waits_for_finish and t.last_fire_at < clock_timestamp() - interval '10 seconds'
             and not exists (select 1 from carillon.open_execution o where o.job_id = t.job_id)
             and not exists (select 1 from carillon.execution e
                              where e.job_id = t.job_id and e.finished_at > clock_timestamp() - interval '10 seconds')`,
  },
];

/** Runs every audit; returns one line for each that found something, so that a test expects `[]`. */
export async function auditLedger(url: string): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ on: boolean }>(
      `select current_setting('track_commit_timestamp')::boolean as on`,
    );
    const findings: string[] = [];
    for (const { rule, sql } of [...always, ...(rows[0]?.on ? [termsInCommitOrder] : []), ...atRest]) {
      const found = await client.query(sql);
      if (found.rowCount) {
        findings.push(`${rule}: ${found.rowCount} times, such as ${JSON.stringify(found.rows.slice(0, 3))}`);
      }
    }
    return findings;
  } finally {
    await client.end();
  }
}

/** Waits until no execution is open. */
export async function awaitAllFinal(client: pg.Client, limitMs = patienceMs): Promise<void> {
  let open: unknown[] = [];
  await awaitThat(
    'no execution is open',
    async () => {
      open = (await client.query('select * from carillon.open_execution limit 5')).rows;
      return open.length === 0;
    },
    limitMs,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; still open: ${JSON.stringify(open)}`);
  });
}
