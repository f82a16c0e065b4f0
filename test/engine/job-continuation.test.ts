import { describe, expect, it } from 'vitest';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
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
  const counted = (repeatCount: number): Schedule => ({
    name: 'main',
    repeatCount,
    spec: { kind: 'interval', everyMs: minute, mode: 'FIXED_RATE', anchorMs: hoursAgo(1) },
  });

  it('is given back once: a finished job fires again', async () => {
    const jobId = await stored.addJob({ schedules: [counted(1)], progress: [{ runs: 1 }] });
    await stored.addExecution(jobId, { fireMs: hoursAgo(1), state: 'PENDING' });
    const canceled = await stored.store.transaction((tx) =>
      stored.store.cancels.cancel(tx, { jobIds: [jobId] }, 'not wanted'),
    );
    expect(canceled).toMatchObject([{ jobId, marked: false }]);
    const instances = [stored.engine(), stored.engine()];
    for (const { continuation } of instances) continuation.look([jobId]);
    await Promise.all(instances.map(({ continuation }) => continuation.settled()));
    const { progress, nextFireMs } = await stored.timerOf(jobId);
    expect(progress).toEqual([{ runs: 0 }]);
    expect(nextFireMs).toBeGreaterThan(Date.now() - 1_000);
  });

  it('is kept by an execution that began, whatever became of it', async () => {
    const jobId = await stored.addJob({ schedules: [counted(1)], progress: [{ runs: 1 }] });
    const id = await stored.addExecution(jobId, { fireMs: hoursAgo(1), state: 'PENDING' });
    await stored.rows('update carillon.open_execution set attempt = 1 where execution_id = $1', [id]);
    await stored.rows('update carillon.execution set attempt = 1 where id = $1', [id]);
    await stored.store.transaction((tx) =>
      stored.store.cancels.cancel(tx, { jobIds: [jobId] }, 'not wanted'),
    );
    await stored.engine().continuation.sweep();
    expect(await stored.timerOf(jobId)).toMatchObject({ progress: [{ runs: 1 }], nextFireMs: null });
  });
});
