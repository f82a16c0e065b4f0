/** F6: Postgres is killed and started again while jobs fire and calls are in flight. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { awaitLeader, connectPg, type InstanceProcess, useInstances } from '../support/instance-process.ts';
import { everyMsJob, everySecondJob, manualJob, owedFireTimes, spanFrom } from '../support/job-drafts.ts';
import { auditLedger, awaitAllFinal } from '../support/ledger-audit.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';

/** What came back for one request id. */
type Call = { readonly requestId: string; readonly ids: string[]; readonly failures: Code[] };

describe('when Postgres is killed under load and comes back (F6)', () => {
  const callee = useRecordingCallee();
  const instances = useInstances();
  let postgres: TestPostgres;

  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(() => postgres.remove());
  afterEach(async () => {
    expect(await auditLedger(postgres.url)).toEqual([]);
  });

  const jobRef = { ref: { case: 'key', value: { name: 'triggered' } } } as const;

  /** Triggers one request after another until it is told to stop; each is asked for until it is acknowledged, twice. */
  async function triggerOn(
    through: readonly InstanceProcess[],
    prefix: string,
    stop: AbortSignal,
    calls: Call[],
  ): Promise<void> {
    for (let n = 0; !stop.aborted; n++) {
      const call: Call = { requestId: `${prefix}-${n}`, ids: [], failures: [] };
      calls.push(call);
      for (let tries = 0; call.ids.length < 2; tries++) {
        // In turn through every instance: the request id counts in all of them.
        const { jobs } = through[tries % through.length]!;
        try {
          const request = { job: jobRef, requestId: call.requestId };
          const { execution } = await jobs.trigger(request, { timeoutMs: 5_000 });
          call.ids.push(String(execution!.id));
        } catch (error) {
          const { code } = ConnectError.from(error);
          call.failures.push(code);
          if (code !== Code.Unavailable && code !== Code.DeadlineExceeded) throw error;
          // What a caller does that honours RetryInfo.
          await sleep(50);
        }
      }
    }
  }

  it('the service comes back by itself, each acknowledged Trigger is in the ledger once, and no fire time is lost (I1, I2, I4)', async () => {
    const both = await instances.startTwo({ databaseUrl: postgres.url });
    const first: pg.Client = await connectPg(postgres.url);
    await awaitLeader(first, both);
    await first.end();
    const [instance] = both;
    await instance.jobs.add({ job: manualJob('triggered', callee.url('/ok')) });
    const span = spanFrom(300, 7);
    const fired = new Map([
      ['second', 1_000],
      ['often', 100],
    ]);
    await instance.jobs.add({ job: everySecondJob('second', callee.url('/ok'), span) });
    await instance.jobs.add({ job: everyMsJob('often', callee.url('/ok'), span, 100) });

    const stop = new AbortController();
    const calls: Call[] = [];
    const load = Promise.all(
      Array.from({ length: 16 }, (_, n) => triggerOn(both, `r${n}`, stop.signal, calls)),
    );
    await callee.awaitHit('load', (hit) => hit.job === 'often' && hit.fireAtMs >= span.startMs + 1_500);
    await postgres.kill9();
    const [red] = await Promise.all(both.map(({ http }) => fetch(`${http}/readyz`)));
    expect(red!.status).toBe(503);
    const [alive] = await Promise.all(both.map(({ http }) => fetch(`${http}/healthz`)));
    expect(alive!.status).toBe(200);
    await postgres.restart();
    const backAtMs = Date.now();
    const hit = await callee.awaitHit(
      'firing again',
      ({ job, fireAtMs }) => job === 'often' && fireAtMs >= backAtMs,
    );
    await callee.awaitHit(
      'the end',
      ({ job, fireAtMs }) => job === 'often' && fireAtMs === span.endMs,
      20_000,
    );
    stop.abort();
    await load;
    console.log(`database killed: fires on time again ${hit.arrivedAtMs - backAtMs} ms after it answers`);

    const sql = await connectPg(postgres.url);
    try {
      await awaitAllFinal(sql);
      // I4: every request id names one execution, and every execution belongs to one.
      const failures = calls.flatMap((call) => call.failures);
      expect(failures.length, 'the crash was felt').toBeGreaterThan(0);
      for (const call of calls) expect(new Set(call.ids).size, call.requestId).toBe(1);
      const { rows: made } = await sql.query<{ id: string; state: string }>(
        `select id, state from carillon.execution where cause in ('MANUAL', 'API') order by id`,
      );
      expect(made.map((row) => row.id)).toEqual([...new Set(calls.map((call) => call.ids[0]))].toSorted());
      expect(new Set(made.map((row) => row.state))).toEqual(new Set(['SUCCEEDED']));
      for (const [name, everyMs] of fired) {
        const { rows } = await sql.query<{ fire_ms: number }>(
          `select (extract(epoch from e.fire_at) * 1000)::float8 as fire_ms
             from carillon.execution e join carillon.job j on j.id = e.job_id where j.name = $1 order by e.fire_at`,
          [name],
        );
        const owed = owedFireTimes(span, everyMs);
        expect(
          rows.map((row) => row.fire_ms),
          name,
        ).toEqual(owed);
        expect([...new Set(callee.of(name).map((own) => own.fireAtMs))].toSorted((a, b) => a - b)).toEqual(
          owed,
        );
      }
      console.log(`database killed: ${calls.length} request ids, ${failures.length} calls told UNAVAILABLE`);
      // One line says that it is away, not one for each try.
      for (const { log } of both) {
        const complaints = log.split('\n').filter((line) => /"level":"(warn|error)"/.test(line));
        expect(complaints.length).toBeLessThan(60);
        expect(log).not.toContain('unexpected error');
      }
    } finally {
      await sql.end();
    }
  });
});
