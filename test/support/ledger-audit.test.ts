import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectPg } from './instance-process.ts';
import { auditLedger } from './ledger-audit.ts';
import { useTestDatabase } from './postgres.ts';

/** Statements that break one rule each; without them the ledger below is in order. */
const faults: readonly [rule: string, sql: string][] = [
  [
    'I1:',
    `insert into carillon.execution select (jsonb_populate_record(e, '{"id": 99}')).* from carillon.execution e where id = 1`,
  ],
  ['I5: every row', `update carillon.execution set job_id = 8 where id = 1`],
  ['I5: every job', `delete from carillon.timer`],
  ['I17:', `delete from carillon.log_entry where seq = 1`],
  ['lines and attempts', `insert into carillon.log_entry values (5, 1, now(), 1, 1, '')`],
  [
    'I16:',
    `insert into carillon.open_execution (execution_id, job_id, priority, attempt) values (1, 7, 0, 1)`,
  ],
  ['I11:', `update carillon.attempt set attempt = 2`],
  ['I14, I16:', `update carillon.execution set started_at = created_at - interval '1 second' where id = 1`],
  [
    'I12:',
    `insert into carillon.attempt select execution_id, 2, started_at, finished_at, 1, 'FAILED' from carillon.attempt where execution_id = 1`,
  ],
  ['I9:', `update carillon.execution set state = 'FAILED', reason = null where id = 1`],
  [
    'I7:',
    `insert into carillon.feed (execution_id, job_id, event, attempt, first_seq, last_seq)
     values ('{1}', '{7}', '{1}', '{0}', '{0}', '{0}')`,
  ],
  ['I6:', `update carillon.timer set next_fire_at = now() - interval '1 minute'`],
  [
    'I21: no attempt is held',
    `insert into carillon.open_execution (execution_id, job_id, priority, attempt, instance_id, attempt_started_at)
     values (1, 7, 0, 1, 4, now())`,
  ],
  [
    'I21: no attempt stays with its callee',
    `insert into carillon.open_execution (execution_id, job_id, priority, attempt, instance_id, attempt_started_at, report_by)
     values (1, 7, 0, 1, 0, now(), now() - interval '1 minute')`,
  ],
  [
    'I21: nothing waits',
    `insert into carillon.open_execution (execution_id, job_id, priority, attempt) values (1, 7, 0, 1)`,
  ],
  [
    'I21: nothing stays buffered',
    `insert into carillon.open_execution (execution_id, job_id, priority, attempt, buffered_for)
     values (1, 7, 0, 0, now() - interval '1 hour')`,
  ],
  [
    'I21: no fixed delay waits',
    `update carillon.timer set waits_for_finish = true, last_fire_at = now() - interval '1 hour'`,
  ],
];

describe('the audits of the ledger', () => {
  const database = useTestDatabase();
  let sql: pg.Client;

  beforeAll(async () => {
    sql = await connectPg(database.url);
    await sql.query('drop index carillon.execution_one_row_per_fire_time_idx');
  });
  afterAll(() => sql.end());

  /** One job with two executions that ran, the second one fired under a higher term. */
  beforeEach(async () => {
    await sql.query(`truncate carillon.job, carillon.timer, carillon.pause, carillon.execution, carillon.open_execution,
                              carillon.attempt, carillon.log_entry, carillon.feed, carillon.calendar_use`);
    await sql.query(`insert into carillon.job (id, namespace, group_name, name, description, labels, schedules, target,
                                               parameters, priority, overlap, misfire, retry, attempt_timeout_ms)
                     values (7, 'a', 'b', 'c', '', '{}', '[]', '{}', '{}', 0, 'ALLOW', '{}', '{}', 1)`);
    await sql.query('insert into carillon.timer (job_id, generation) values (7, 1)');
    for (const [id, term] of [
      [1, 3],
      [2, 4],
    ]) {
      const at = `now() - interval '1 hour' + ${id} * interval '1 second'`;
      await sql.query(`insert into carillon.execution (id, job_id, fire_at, created_at, started_at, finished_at, term,
                                                       priority, attempt, cause, state, schedule)
                       values (${id}, 7, ${at}, ${at}, ${at}, ${at}, ${term}, 0, 1, 'SCHEDULE', 'SUCCEEDED', '')`);
      await sql.query(
        `insert into carillon.attempt values (${id}, 1, ${at}, ${at} + interval '1 ms', 1, 'SUCCEEDED')`,
      );
      await sql.query(
        `insert into carillon.log_entry values (${id}, 1, ${at}, 1, 1, ''), (${id}, 2, ${at}, 1, 1, '')`,
      );
      await sql.query(`insert into carillon.feed (execution_id, job_id, event, attempt, first_seq, last_seq)
                       values ('{${id}}', '{7}', '{1}', '{0}', '{0}', '{0}')`);
    }
  });

  it('find nothing in a ledger that is in order', async () => {
    expect(await auditLedger(database.url)).toEqual([]);
  });

  it.each(faults)('find what breaks %s', async (rule, fault) => {
    await sql.query(fault);
    expect(await auditLedger(database.url)).toContainEqual(expect.stringMatching(`^${rule}`));
  });
});
