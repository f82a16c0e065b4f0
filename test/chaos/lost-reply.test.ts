/** F11: the answer of the database is lost behind the commit, or the statement on its way there. */
import { Code, ConnectError } from '@connectrpc/connect';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { awaitLeader, connectPg, InstanceProcess } from '../support/instance-process.ts';
import { everyMsJob, everySecondJob, manualJob, owedFireTimes, spanFrom } from '../support/job-drafts.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { type Loss, loseNext } from '../support/lost-reply.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

describe.each<Loss>(['reply', 'request'])(
  'when the %s is lost between an instance and its database (F11),',
  (loss) => {
    const database = useTestDatabase();
    const callee = useRecordingCallee();
    let sql: pg.Client;
    let proxy: TcpProxy;
    let instance: InstanceProcess;

    beforeAll(async () => {
      sql = await connectPg(database.url);
      proxy = await TcpProxy.start({ port: Number(new URL(database.url).port) });
      instance = await InstanceProcess.start({
        databaseUrl: proxy.through(database.url),
        env: { CARILLON_ENGINE_LEASE_RENEW_MS: 300 },
      });
      await awaitLeader(sql, [instance]);
    });
    afterAll(async () => {
      instance.close();
      await instance.ended;
      await proxy.close();
      await sql.end();
    });
    afterEach(async ({ task }) => {
      if (task.result?.state === 'fail') console.error(instance.log);
      expect(await auditLedger(database.url)).toEqual([]);
    });

    const name = (what: string): string => `${what}-${loss}`;
    const jobRef = (what: string) => ({ ref: { case: 'key', value: { name: name(what) } } }) as const;

    /** Calls again under the same request id as long as the service says that it does not know. */
    async function retry<T>(call: () => Promise<T>): Promise<{ reply: T; failures: Code[] }> {
      const failures: Code[] = [];
      for (;;) {
        try {
          return { reply: await call(), failures };
        } catch (error) {
          const { code } = ConnectError.from(error);
          failures.push(code);
          if (code !== Code.Unavailable || failures.length > 20) throw error;
        }
      }
    }

    async function findStates(what: string): Promise<{ state: string; attempt: number; fire_ms: number }[]> {
      const { rows } = await sql.query<{ state: string; attempt: number; fire_ms: number }>(
        `select e.state, e.attempt, (extract(epoch from e.fire_at) * 1000)::float8 as fire_ms
         from carillon.execution e join carillon.job j on j.id = e.job_id where j.name = $1 order by e.fire_at`,
        [name(what)],
      );
      return rows;
    }

    it('Add is answered with UNAVAILABLE, and its repetition with the one job that there is (I4)', async () => {
      const lost = loseNext(proxy, { text: 'insert into "carillon"."job"' }, loss);
      const request = { job: manualJob(name('add'), callee.url('/ok')), requestId: name('add') };
      const { reply, failures } = await retry(() => instance.jobs.add(request));
      await lost;
      expect(failures).toContain(Code.Unavailable);
      const { rows } = await sql.query<{ id: string }>('select id from carillon.job where name = $1', [
        name('add'),
      ]);
      expect(rows.map((row) => row.id)).toEqual([String(reply.job!.id)]);
    });

    it('Trigger is answered with UNAVAILABLE, and its repetition with the one execution that there is (I4)', async () => {
      await instance.jobs.add({ job: manualJob(name('trigger'), callee.url('/ok')) });
      const lost = loseNext(proxy, { name: 'insert_triggered' }, loss);
      const request = { job: jobRef('trigger'), requestId: name('trigger') };
      const { reply, failures } = await retry(() => instance.jobs.trigger(request));
      await lost;
      expect(failures).toEqual([Code.Unavailable]);
      expect(reply.replayed).toBe(loss === 'reply');
      await awaitAllFinal(sql);
      expect(await findStates('trigger')).toMatchObject([{ state: 'SUCCEEDED', attempt: 1 }]);
      expect(callee.of(name('trigger')).map((hit) => hit.executionId)).toEqual([Number(reply.execution!.id)]);
    });

    it('a fire time is fired once, and those behind it as well (I1, I2)', async () => {
      const span = spanFrom(1_000, 1);
      await instance.jobs.add({ job: everyMsJob(name('fire'), callee.url('/ok'), span, 500) });
      await loseNext(proxy, { name: 'fire' }, loss);
      await callee.awaitHit(
        'the last fire time',
        (hit) => hit.job === name('fire') && hit.fireAtMs === span.endMs,
      );
      await awaitAllFinal(sql);
      const owed = owedFireTimes(span, 500);
      expect((await findStates('fire')).map((row) => row.fire_ms)).toEqual(owed);
      const delivered = callee.of(name('fire')).map((hit) => hit.fireAtMs);
      expect(delivered.toSorted((a, b) => a - b)).toEqual(owed);
    });

    it('a claimed execution is begun, once (I9, I11)', async () => {
      await instance.jobs.add({ job: manualJob(name('claim'), callee.url('/ok')) });
      const lost = loseNext(proxy, { name: 'claim' }, loss);
      await instance.jobs.trigger({ job: jobRef('claim'), requestId: name('claim') });
      await lost;
      await callee.awaitHit('the run', (hit) => hit.job === name('claim'));
      await awaitAllFinal(sql);
      expect(await findStates('claim')).toMatchObject([{ state: 'SUCCEEDED', attempt: 1 }]);
      expect(callee.of(name('claim'))).toHaveLength(1);
      if (loss === 'request') return;
      await awaitThat('the log says so', () => instance.log.includes('found claims whose reply was lost'));
    });

    it('the end of an attempt is kept, and nothing is delivered twice for it (I15, I16)', async () => {
      await instance.jobs.add({ job: manualJob(name('end'), callee.url('/ok')) });
      const lost = loseNext(proxy, { name: 'end_attempts' }, loss);
      const { execution } = await instance.jobs.trigger({ job: jobRef('end') });
      await lost;
      await awaitAllFinal(sql);
      expect(callee.of(name('end')).map((hit) => hit.executionId)).toEqual([Number(execution!.id)]);
      expect(await findStates('end')).toMatchObject([{ state: 'SUCCEEDED', attempt: 1 }]);
    });

    it('log lines are stored once each (I17)', async () => {
      await instance.jobs.add({ job: manualJob(name('log'), callee.url('/lines?count=50&ms=5')) });
      const lost = loseNext(proxy, { name: 'append_logs' }, loss);
      const { execution } = await instance.jobs.trigger({ job: jobRef('log') });
      await lost;
      await awaitAllFinal(sql);
      const { entries } = await instance.executions.listLogs({ executionId: execution!.id, pageSize: 100 });
      expect(entries.map((entry) => entry.message)).toEqual(
        Array.from({ length: 50 }, (_, i) => `line ${i + 1}`),
      );
      const { execution: ended } = await instance.executions.get({ executionId: execution!.id });
      expect(ended!.state).toBe(ExecutionState.SUCCEEDED);
    });

    it('an attempt that its callee accepted is handed over, and its lines and its end are stored once (I15, I16, I17)', async () => {
      await instance.jobs.add({ job: manualJob(name('report'), callee.url('/accept')) });
      const handOver = loseNext(proxy, { name: 'hand_over' }, loss);
      await instance.jobs.trigger({ job: jobRef('report') });
      await handOver;
      const { token: attemptToken } = await callee.awaitHit('the run', (hit) => hit.job === name('report'));
      // The call waits for the hand-over, which is tried again.
      const { attempts } = instance;
      const entries = [{ message: 'a' }, { message: 'b' }];
      await attempts.appendLogs({ attemptToken, entries, offset: 0n });
      const lines = loseNext(proxy, { name: 'append_reported' }, loss);
      const more = [{ message: 'c' }, { message: 'd' }];
      const { reply: receipt } = await retry(() =>
        attempts.appendLogs({ attemptToken, entries: more, offset: 2n }),
      );
      await lines;
      expect(receipt).toMatchObject({ nextOffset: 4n, repeatedLines: loss === 'reply' ? 2 : 0 });
      const end = loseNext(proxy, { name: 'end_attempts' }, loss);
      const { reply: answer, failures } = await retry(() =>
        attempts.complete({ attemptToken, state: ExecutionState.SUCCEEDED }),
      );
      await end;
      expect(failures).toContain(Code.Unavailable);
      expect(answer.alreadyEnded).toBe(loss === 'reply');
      expect(await findStates('report')).toMatchObject([{ state: 'SUCCEEDED', attempt: 1 }]);
      const { rows } = await sql.query<{ message: string }>(
        `select l.message from carillon.log_entry l join carillon.execution e on e.id = l.execution_id
           join carillon.job j on j.id = e.job_id where j.name = $1 order by l.seq`,
        [name('report')],
      );
      expect(rows.map((row) => row.message)).toEqual(['a', 'b', 'c', 'd']);
    });

    it('a leader whose renewal is lost leads again under a higher term, and firing goes on (I8)', async () => {
      const { term } = await awaitLeader(sql, [instance]);
      const span = spanFrom(1_000, 1);
      await instance.jobs.add({ job: everySecondJob(name('renew'), callee.url('/ok'), span) });
      const renewal = 'update carillon.leader_lease\n          set expires_at = clock_timestamp() +';
      await loseNext(proxy, { text: renewal }, loss);
      await awaitLeader(sql, [instance], { afterTerm: term });
      await callee.awaitHit(
        'the last fire time',
        (hit) => hit.job === name('renew') && hit.fireAtMs === span.endMs,
      );
      await awaitAllFinal(sql);
      const owed = owedFireTimes(span, 1_000);
      expect((await findStates('renew')).map((row) => row.fire_ms)).toEqual(owed);
      expect(callee.of(name('renew'))).toHaveLength(owed.length);
    });
  },
);
