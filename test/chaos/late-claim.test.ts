/** F11, F14: a claim whose connection broke goes on in the database, and commits when nobody waits for it any more. */
import { describe, expect, it } from 'vitest';
import { awaitThat } from '../support/await-that.ts';
import { connectPg, useInstances } from '../support/instance-process.ts';
import { manualJob } from '../support/job-drafts.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';
import { type ProxiedConnection, TcpProxy } from '../support/tcp-proxy.ts';

describe('a claim that commits after its connection broke', () => {
  const database = useTestDatabase();
  const callee = useRecordingCallee();
  const instances = useInstances();

  it('is found and begun, once (I9, I11, I21)', async () => {
    const sql = await connectPg(database.url);
    // A transaction sees the activity of one moment only, so looking takes another session.
    const watch = await connectPg(database.url);
    const proxy = await TcpProxy.start({ port: Number(new URL(database.url).port) });
    try {
      const api = await instances.start({ databaseUrl: database.url, env: { CARILLON_ROLES: 'api' } });
      await api.jobs.add({ job: manualJob('late', callee.url('/ok')) });
      const { execution } = await api.jobs.trigger({
        job: { ref: { case: 'key', value: { name: 'late' } } },
      });
      // The claim waits for this row until we let go of it.
      await sql.query('begin');
      await sql.query('select 1 from carillon.execution where id = $1 for update', [execution!.id]);
      const claims: ProxiedConnection[] = [];
      proxy.onClientData((data, connection) => {
        if (data.includes('\0claim\0')) claims.push(connection);
      });
      await instances.start({ databaseUrl: proxy.through(database.url) });
      await awaitThat('the claim waits for the row', async () => {
        const { rows } = await watch.query(
          `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '/* claim */%'
              and datname = current_database()`,
        );
        return rows.length > 0;
      });
      claims[0]!.reset();
      // The next claim comes after the instance has looked for what it holds, and found nothing yet.
      await awaitThat('the instance claims again', () => claims.length > 1);
      await sql.query('commit');
      await callee.awaitHit('the run', (hit) => hit.executionId === Number(execution!.id));
      await awaitAllFinal(sql);
      expect(callee.of('late').map((hit) => hit.attempt)).toEqual([1]);
      expect(await auditLedger(database.url)).toEqual([]);
    } finally {
      await proxy.close();
      await sql.end();
      await watch.end();
    }
  });
});
