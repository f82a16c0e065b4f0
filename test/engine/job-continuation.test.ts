import { describe, expect, it, vi } from 'vitest';
import type { Schedule, ScheduleProgress } from '../../src/domain/schedule/schedule.ts';
import { useStoredJobs } from './stored-jobs.ts';

const minute = 60_000;
const stored = useStoredJobs();

/** Fires a minute after the finish of its last execution. */
const delayed = (anchorMs: number, repeatCount = 0): Schedule => ({
  name: 'main',
  repeatCount,
  spec: { kind: 'interval', everyMs: minute, mode: 'FIXED_DELAY', anchorMs },
});

const hoursAgo = (hours: number): number => Math.floor(Date.now() / 1000) * 1000 - hours * 3_600_000;

describe('a job with buffered executions', () => {
  const bufferedOf = async (jobId: number) => (await stored.ledgerOf(jobId)).map((row) => row.buffered);

  it('lets the earliest go once nothing else of it is open, and only one', async () => {
    const { continuation, topics } = stored.engine();
    const jobId = await stored.addJob();
    await stored.addExecution(jobId, { fireMs: 1_000, state: 'PENDING', buffered: true });
    await stored.addExecution(jobId, { fireMs: 2_000, state: 'PENDING', buffered: true });
    continuation.look([jobId]);
    await continuation.settled();
    expect(await bufferedOf(jobId)).toEqual([false, true]);
    expect(topics).toContain('pending');
    continuation.look([jobId]);
    await continuation.settled();
    expect(await bufferedOf(jobId)).toEqual([false, true]);
  });

  it('is looked at again when a pass failed, and what came in meanwhile with it (F6)', async () => {
    const { store } = stored;
    const { continuation } = stored.engine();
    const [first, second] = [await stored.addJob(), await stored.addJob()];
    for (const jobId of [first, second])
      await stored.addExecution(jobId, { fireMs: 1_000, state: 'PENDING', buffered: true });
    const told: (readonly number[])[] = [];
    const listAmong = store.continuations.listAmong.bind(store.continuations);
    const failOnce = vi.spyOn(store.continuations, 'listAmong').mockImplementation(async (db, ids) => {
      told.push(ids);
      if (told.length > 1) return listAmong(db, ids);
      await Promise.resolve();
      continuation.look([second]);
      throw new Error('the database is away');
    });
    continuation.look([first]);
    await continuation.settled();
    failOnce.mockRestore();
    expect(told[0]).toEqual([first]);
    expect(new Set(told[1])).toEqual(new Set([first, second]));
    expect(await bufferedOf(first)).toEqual([false]);
    expect(await bufferedOf(second)).toEqual([false]);
  });

  it('keeps them while another one is open', async () => {
    const { continuation, topics } = stored.engine();
    const jobId = await stored.addJob();
    await stored.addExecution(jobId, { fireMs: 1_000, state: 'PENDING' });
    await stored.addExecution(jobId, { fireMs: 2_000, state: 'PENDING', buffered: true });
    continuation.look([jobId]);
    await continuation.settled();
    expect(await bufferedOf(jobId)).toEqual([false, true]);
    expect(topics).toEqual([]);
  });

  it('lets only one go when several instances look at once', async () => {
    const jobIds: number[] = [];
    for (let n = 0; n < 20; n++) {
      const jobId = await stored.addJob();
      for (const fireMs of [1, 2, 3])
        await stored.addExecution(jobId, { fireMs, state: 'PENDING', buffered: true });
      jobIds.push(jobId);
    }
    const instances = [stored.engine(), stored.engine(), stored.engine()];
    await Promise.all(
      instances.map(({ continuation }) => {
        continuation.look(jobIds);
        return continuation.sweep();
      }),
    );
    await Promise.all(instances.map(({ continuation }) => continuation.settled()));
    for (const jobId of jobIds) expect(await bufferedOf(jobId)).toEqual([false, true, true]);
  });

  it('is found by the sweep when nobody told of it', async () => {
    const jobId = await stored.addJob();
    await stored.addExecution(jobId, { fireMs: 1_000, state: 'PENDING', buffered: true });
    await stored.engine().continuation.sweep();
    expect(await bufferedOf(jobId)).toEqual([false]);
  });
});

describe('a job with a fixed delay', () => {
  it('is due one interval after the finish in the ledger, whenever somebody looks', async () => {
    const finishedMs = Date.now() - 20_000;
    const fireMs = hoursAgo(1);
    const jobId = await stored.addJob({
      schedules: [delayed(fireMs)],
      progress: [{ runs: 0, delay: { waitsForMs: fireMs } }],
    });
    await stored.addExecution(jobId, { fireMs, state: 'SUCCEEDED', finishedMs });
    const { continuation, topics } = stored.engine();
    continuation.look([jobId]);
    await continuation.settled();
    expect(await stored.timerOf(jobId)).toMatchObject({
      nextFireMs: finishedMs + minute,
      progress: [{ runs: 0, delay: { dueMs: finishedMs + minute } }],
      waits: false,
    });
    expect(topics).toContain('timers');
  });

  it('goes on waiting while its execution is open', async () => {
    const fireMs = hoursAgo(1);
    const progress = [{ runs: 0, delay: { waitsForMs: fireMs } }];
    const jobId = await stored.addJob({ schedules: [delayed(fireMs)], progress });
    await stored.addExecution(jobId, { fireMs, state: 'RUNNING' });
    const { continuation } = stored.engine();
    continuation.look([jobId]);
    await continuation.settled();
    expect(await stored.timerOf(jobId)).toMatchObject({ nextFireMs: null, progress, waits: true });
  });

  it('that was due while nobody looked fires late, once, under the misfire policy', async () => {
    const fireMs = hoursAgo(3);
    const finishedMs = hoursAgo(2);
    const jobId = await stored.addJob({
      schedules: [delayed(fireMs)],
      progress: [{ runs: 0, delay: { waitsForMs: fireMs } }],
    });
    await stored.addExecution(jobId, { fireMs, state: 'SUCCEEDED', finishedMs });
    await stored.engine().continuation.sweep();
    const ledger = await stored.ledgerOf(jobId);
    const runs = ledger.filter((row) => row.state === 'PENDING');
    expect(runs).toMatchObject([{ cause: 'CATCH_UP' }]);
    expect(ledger.filter((row) => row.reason === 'MISFIRE').length).toBeGreaterThan(0);
    expect(await stored.timerOf(jobId)).toMatchObject({
      nextFireMs: null,
      progress: [{ delay: { waitsForMs: runs[0]!.fireMs } }],
      waits: true,
    });
  });

  it('fires late beside the rest of its timetable, which does not look back', async () => {
    const fireMs = hoursAgo(1);
    const finishedMs = Date.now() - minute - 5_000;
    const hourly: Schedule = {
      name: 'hourly',
      repeatCount: 0,
      spec: { kind: 'interval', everyMs: 3_600_000, mode: 'FIXED_RATE', anchorMs: fireMs + 1_800_000 },
    };
    const jobId = await stored.addJob({
      schedules: [delayed(fireMs), hourly],
      nextFireMs: fireMs + 1_800_000 + 3_600_000,
      progress: [{ runs: 0, delay: { waitsForMs: fireMs } }],
    });
    await stored.addExecution(jobId, { fireMs, state: 'SUCCEEDED', finishedMs });
    await stored.engine().continuation.sweep();
    expect((await stored.ledgerOf(jobId)).slice(1)).toMatchObject([
      { fireMs: finishedMs + minute, state: 'PENDING', cause: 'SCHEDULE' },
    ]);
    expect((await stored.timerOf(jobId)).nextFireMs).toBe(fireMs + 1_800_000 + 3_600_000);
  });

  it('fires first what the rest of its timetable owes', async () => {
    const fireMs = hoursAgo(1);
    const owedMs = Math.floor(Date.now() / 1000) * 1000 - 10_000;
    const once: Schedule = { name: 'once', repeatCount: 0, spec: { kind: 'once', atMs: owedMs } };
    const jobId = await stored.addJob({
      schedules: [delayed(fireMs), once],
      nextFireMs: owedMs,
      progress: [{ runs: 0, delay: { waitsForMs: fireMs } }],
    });
    const finishedMs = Date.now() - 1_000;
    await stored.addExecution(jobId, { fireMs, state: 'SUCCEEDED', finishedMs });
    await stored.engine().continuation.sweep();
    expect((await stored.ledgerOf(jobId)).slice(1)).toMatchObject([{ fireMs: owedMs, state: 'PENDING' }]);
    expect((await stored.timerOf(jobId)).nextFireMs).toBe(finishedMs + minute);
  });
});

describe('a run that nobody used', () => {
  const counted = (repeatCount: number, more: Partial<Schedule> = {}): Schedule => ({
    name: 'main',
    repeatCount,
    spec: { kind: 'interval', everyMs: minute, mode: 'FIXED_RATE', anchorMs: hoursAgo(1) },
    ...more,
  });

  /** Adds a job with a pending execution that schedules were charged for, and cancels it. */
  async function cancelPending(
    schedules: readonly Schedule[],
    progress: ScheduleProgress[],
    charged: readonly Schedule[],
  ) {
    const jobId = await stored.addJob({ schedules, progress });
    await stored.addExecution(jobId, { fireMs: hoursAgo(1), state: 'PENDING', charged });
    const canceled = await stored.store.transaction((tx) =>
      stored.store.cancels.cancel(tx, { jobIds: [jobId] }, 'not wanted'),
    );
    expect(canceled).toMatchObject([{ jobId, marked: false }]);
    return jobId;
  }

  it('is given back once: a finished job fires again', async () => {
    const schedule = counted(1);
    const jobId = await cancelPending([schedule], [{ runs: 1 }], [schedule]);
    const instances = [stored.engine(), stored.engine()];
    for (const { continuation } of instances) continuation.look([jobId]);
    await Promise.all(instances.map(({ continuation }) => continuation.settled()));
    const { progress, nextFireMs } = await stored.timerOf(jobId);
    expect(progress).toEqual([{ runs: 0 }]);
    expect(nextFireMs).toBeGreaterThan(Date.now() - 1_000);
  });

  it('goes back to the schedules that were charged for it, and to no other that names the instant', async () => {
    const schedules = [counted(5), counted(2, { name: 'used up' })];
    const jobId = await cancelPending(schedules, [{ runs: 1 }, { runs: 2 }], [schedules[0]!]);
    await stored.engine().continuation.sweep();
    expect((await stored.timerOf(jobId)).progress).toEqual([{ runs: 0 }, { runs: 2 }]);
  });

  it('is forgotten when the schedule was defined anew since', async () => {
    const before = counted(2, {
      spec: { kind: 'interval', everyMs: 7_000, mode: 'FIXED_RATE', anchorMs: 0 },
    });
    const jobId = await cancelPending([counted(2)], [{ runs: 1 }], [before]);
    await stored.engine().continuation.sweep();
    expect((await stored.timerOf(jobId)).progress).toEqual([{ runs: 1 }]);
  });

  it('of a fixed delay is followed by the next one an interval after that end, and by nothing at once', async () => {
    const schedule = delayed(hoursAgo(1), 1);
    const progress = [{ runs: 1, delay: { dueMs: hoursAgo(1) + minute } }];
    const beforeMs = Date.now();
    const jobId = await cancelPending([schedule], progress, [schedule]);
    await stored.engine().continuation.sweep();
    const { nextFireMs } = await stored.timerOf(jobId);
    expect(nextFireMs).toBeGreaterThan(beforeMs + minute - 1_000);
    expect(await stored.ledgerOf(jobId)).toMatchObject([{ state: 'CANCELED' }]);
  });

  it('is kept by an execution that began, whatever became of it', async () => {
    const schedule = counted(1);
    const jobId = await stored.addJob({ schedules: [schedule], progress: [{ runs: 1 }] });
    const id = await stored.addExecution(jobId, {
      fireMs: hoursAgo(1),
      state: 'PENDING',
      charged: [schedule],
    });
    await stored.rows('update carillon.open_execution set attempt = 1 where execution_id = $1', [id]);
    await stored.rows('update carillon.execution set attempt = 1 where id = $1', [id]);
    await stored.store.transaction((tx) =>
      stored.store.cancels.cancel(tx, { jobIds: [jobId] }, 'not wanted'),
    );
    await stored.engine().continuation.sweep();
    expect(await stored.timerOf(jobId)).toMatchObject({ progress: [{ runs: 1 }], nextFireMs: null });
  });
});

describe('jobs that are continued together', () => {
  it('do not wait for one whose definition cannot be used: it is set aside with a row that says why (F37)', async () => {
    const fireMs = hoursAgo(1);
    const broken = await stored.addJob({
      schedules: [delayed(fireMs)],
      progress: [{ runs: 0, delay: { waitsForMs: fireMs } }],
    });
    await stored.addExecution(broken, { fireMs, state: 'SUCCEEDED', finishedMs: Date.now() - 1_000 });
    await stored.rows(
      `update carillon.job
          set schedules = '[{"name":"a","repeatCount":0,"spec":{"kind":"cron","expression":"nonsense","dialect":"UNIX","timeZone":"UTC","gap":"SKIP","ambiguous":"FIRST"}}]'
        where id = $1`,
      [broken],
    );
    const healthy = await stored.addJob();
    await stored.addExecution(healthy, { fireMs: 1_000, state: 'PENDING', buffered: true });
    await stored.engine().continuation.sweep();
    const { continuation } = stored.engine();
    continuation.look([broken, healthy]);
    await continuation.settled();
    expect(await stored.ledgerOf(healthy)).toMatchObject([{ state: 'PENDING', buffered: false }]);
    expect((await stored.ledgerOf(broken)).at(-1)).toMatchObject({ state: 'SKIPPED', reason: 'INVALID_JOB' });
    expect(await stored.timerOf(broken)).toMatchObject({ nextFireMs: null, waits: false });
  });

  it('are found by looking at jobs, not at each of ten thousand buffered executions', async () => {
    const jobId = await stored.addJob();
    await stored.rows(
      `with made as (
         insert into carillon.execution (id, job_id, fire_at, created_at, term, priority, cause, state, schedule,
                                         backfill_id)
         select carillon.next_id(), $1, to_timestamp(n), now(), 0, 0, 'BACKFILL', 'PENDING', '', 1
           from generate_series(1, 10000) n returning id, job_id, fire_at)
       insert into carillon.open_execution (execution_id, job_id, priority, buffered_for, backfill_id)
       select id, job_id, 0, fire_at, 1 from made`,
      [jobId],
    );
    const plan = async (condition: string): Promise<string> => {
      const lines = await stored.rows<{ 'QUERY PLAN': string }>(
        `explain (analyze, costs off, timing off) ${condition}`,
        [[jobId]],
      );
      return lines.map((line) => line['QUERY PLAN']).join('\n');
    };
    const isBufferedAlone = `select i.job_id from unnest($1::bigint[]) as i (job_id)
      where exists (select 1 from carillon.open_execution b where b.job_id = i.job_id and b.buffered_for is not null)
        and not exists (select 1 from carillon.open_execution u where u.job_id = i.job_id and u.buffered_for is null)`;
    expect(await plan(isBufferedAlone)).toMatch(/open_execution_job_id_idx.*\n.*buffered_for IS NULL/);
    expect(await stored.store.continuations.listAmong(stored.store.db, [jobId])).toEqual([jobId]);
    expect(await stored.store.continuations.listBufferedOrUnused(stored.store.db, 0, 10)).toContain(jobId);
    await stored.rows('delete from carillon.open_execution where job_id = $1', [jobId]);
  });
});
