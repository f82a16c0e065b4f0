/** What decides beside the clock when a job runs: finishes, calendars, pauses, backfills, edits. One instance. */
import { durationFromMs, timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Weekday } from '../../gen/carillon/v1/calendar_pb.js';
import { ExecutionCause, ExecutionReason, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { JobState, OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { MissedPolicy } from '../../gen/carillon/v1/job_service_pb.js';
import { IntervalMode } from '../../gen/carillon/v1/schedule_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { type InstanceProcess, useInstance } from '../support/instance-process.ts';
import { everyMsJob, type JobDraft, manualJob, spanFrom } from '../support/job-drafts.ts';
import { auditLedger } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';

const everyDay = [1, 2, 3, 4, 5, 6, 7] as Weekday[];

describe('when a job runs', () => {
  const database = useTestDatabase();
  const callee = useRecordingCallee();
  const instance = useInstance(() => ({ databaseUrl: database.url }));
  let carillon: InstanceProcess;
  let names = 0;
  let name: string;

  beforeEach(() => {
    carillon = instance();
    name = `job-${names++}`;
  });
  afterEach(async () => {
    callee.release();
    expect(await auditLedger(database.url)).toEqual([]);
  });

  const ref = () => ({ ref: { case: 'key', value: { name } } }) as const;
  const get = async () => (await carillon.jobs.get({ job: ref() })).job!;
  const list = async () =>
    (await carillon.executions.list({ filter: { job: ref() }, orderBy: 'create_time' })).executions;
  const addScheduled = (path: string, schedule: object, more: JobDraft = {}) =>
    carillon.jobs.add({ job: manualJob(name, callee.url(path), { schedules: [schedule], ...more }) });

  describe('by a fixed delay', () => {
    const fixedDelay = (ms: number, more: object = {}) => ({
      kind: {
        case: 'interval',
        value: { every: durationFromMs(ms), mode: IntervalMode.FIXED_DELAY },
      },
      ...more,
    });

    it('comes one interval after the finish of the execution before, exactly as often as said', async () => {
      await addScheduled('/slow?ms=250', fixedDelay(150, { repeatCount: 3 }));
      await awaitThat('the job is finished', async () => (await get()).state === JobState.FINISHED);
      await awaitThat('all are over', async () => (await list()).every(({ finishTime }) => finishTime));
      const executions = await list();
      expect(executions).toHaveLength(3);
      for (const [i, { fireTime }] of executions.entries()) {
        if (i === 0) continue;
        const finishedMs = Math.ceil(timestampMs(executions[i - 1]!.finishTime!));
        expect(timestampMs(fireTime!) - finishedMs).toBeGreaterThanOrEqual(150);
        expect(timestampMs(fireTime!) - finishedMs).toBeLessThanOrEqual(152);
      }
    });

    it('is ACTIVE without a next fire time while it waits, and goes on after a cancel', async () => {
      await addScheduled('/hang', fixedDelay(50));
      await callee.awaitHit('the first', (hit) => hit.job === name);
      const waiting = await get();
      expect(waiting.state).toBe(JobState.ACTIVE);
      expect(waiting.nextFireTime).toBeUndefined();
      const [first] = await list();
      await carillon.executions.cancel({
        executions: { case: 'byIds', value: { executionIds: [first!.id] } },
      });
      await awaitThat('the second', () => callee.of(name).length === 2);
      await carillon.jobs.delete({ jobs: { case: 'job', value: ref() }, onRunning: 2 });
    });
  });

  it('is left out by a calendar, with a row that says so; a change of the calendar holds at once', async () => {
    await carillon.admin.putCalendar({ calendar: { name: 'never', weekdays: everyDay } });
    const job = everyMsJob(name, callee.url('/ok'), spanFrom(200, 3_600), 200);
    const [schedule] = job.schedules!;
    await carillon.jobs.add({ job: { ...job, schedules: [{ ...schedule!, calendars: ['never'] }] } });
    await awaitThat('three fire times passed', async () => (await list()).length >= 3);
    for (const row of await list()) {
      expect(row).toMatchObject({
        state: ExecutionState.SKIPPED,
        reason: ExecutionReason.CALENDAR,
        message: 'excluded by calendar "never"',
      });
    }
    const preview = await carillon.jobs.preview({ job: ref(), count: 1 });
    expect(preview.fireTimes[0]!.note).toBe('excluded by calendar "never"');
    await expect(carillon.admin.deleteCalendar({ name: 'never' })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
    await carillon.admin.putCalendar({ calendar: { name: 'never', dates: ['2000-01-01'] } });
    await callee.awaitHit('a run', (hit) => hit.job === name);
    await carillon.jobs.delete({ jobs: { case: 'job', value: ref() } });
    expect((await carillon.admin.deleteCalendar({ name: 'never' })).existed).toBe(true);
  });

  it('is refused with a calendar that does not exist, by the field', async () => {
    const kind = { case: 'cron', value: { expression: '0 2 * * *' } };
    const error = await addScheduled('/ok', { kind, calendars: ['nowhere'] }).catch((e: unknown) => e);
    expect(ConnectError.from(error)).toMatchObject({ code: Code.NotFound });
    expect(ConnectError.from(error).rawMessage).toContain('job.schedules[0].calendars[0]');
    await expect(carillon.jobs.get({ job: ref() })).rejects.toMatchObject({ code: Code.NotFound });
  });

  it('is one-shot and has just passed: it fires alone, and no other schedule looks back', async () => {
    const nowMs = Date.now();
    const often = {
      case: 'interval',
      value: { every: durationFromMs(3_600_000), anchorTime: timestampFromMs(nowMs - 5_000) },
    };
    const once = { case: 'once', value: { atTime: timestampFromMs(nowMs - 20_000) } };
    await carillon.jobs.add({
      job: manualJob(name, callee.url('/ok'), {
        schedules: [
          { name: 'often', kind: often },
          { name: 'once', kind: once },
        ] as JobDraft['schedules'],
      }),
    });
    await callee.awaitHit('the one-shot', (hit) => hit.job === name);
    expect((await list()).map(({ schedule, fireTime }) => [schedule, timestampMs(fireTime!)])).toEqual([
      ['once', nowMs - 20_000],
    ]);
    expect(timestampMs((await get()).nextFireTime!)).toBe(nowMs - 5_000 + 3_600_000);
  });

  it('after a resume with RUN_ALL runs what was held back, one after the other under BUFFER_ALL (I16)', async () => {
    const job = everyMsJob(name, callee.url('/slow?ms=20'), spanFrom(200, 3_600), 100);
    // Paused from the start, so that nothing runs before the pause.
    await carillon.jobs.add({ job: { ...job, overlap: OverlapPolicy.BUFFER_ALL, startPaused: true } });
    await carillon.jobs.pause({ jobs: { case: 'job', value: ref() }, reason: 'held' });
    await awaitThat('five are held back', async () => (await list()).length >= 5);
    const resumed = await carillon.jobs.resume({
      jobs: { case: 'job', value: ref() },
      missed: MissedPolicy.RUN_ALL,
    });
    const held = resumed.heldBackFireTimes.map(timestampMs);
    expect(held.length).toBeGreaterThanOrEqual(5);
    await awaitThat('all ran', () => callee.of(name).length > held.length);
    expect(
      callee
        .of(name)
        .slice(0, held.length)
        .map((hit) => hit.fireAtMs),
    ).toEqual(held);
    await carillon.jobs.pause({ jobs: { case: 'job', value: ref() }, reason: 'seen enough' });
    await awaitThat('all are over', async () => (await list()).every(({ finishTime }) => finishTime));
  });

  describe('by a backfill', () => {
    const startMs = Date.parse('2026-03-01T00:00:00Z');
    const range = (hours: number) => ({
      job: ref(),
      startTime: timestampFromMs(startMs),
      endTime: timestampFromMs(startMs + hours * 3_600_000),
    });
    /** Each hour of that day of the year alone: no full hour comes while a test runs. */
    const hourly = { kind: { case: 'cron', value: { expression: '0 * 1 3 *' } } };
    const hours = Array.from({ length: 6 }, (_, hour) => startMs + hour * 3_600_000);

    it('has one execution for each fire time of a half-open range, in order, one after the other', async () => {
      await addScheduled('/slow?ms=20', hourly, { overlap: OverlapPolicy.SKIP });
      const { nextFireTime } = await get();
      const dry = await carillon.jobs.backfill({ ...range(6), dryRun: true, requestId: 'once' });
      expect(dry.fireTimes.map(timestampMs)).toEqual(hours);
      expect(dry).toMatchObject({ executionsCreated: 6n, backfillId: 0n });
      expect(await list()).toEqual([]);
      const made = await carillon.jobs.backfill({ ...range(6), requestId: 'real' });
      expect(made.fireTimes.map(timestampMs)).toEqual(hours);
      const replayed = await carillon.jobs.backfill({ ...range(6), requestId: 'real' });
      expect(replayed).toMatchObject({ backfillId: made.backfillId, executionsCreated: 6n, replayed: true });
      expect(replayed.fireTimes.map(timestampMs)).toEqual(hours);
      await expect(carillon.jobs.backfill({ ...range(5), requestId: 'real' })).rejects.toMatchObject({
        code: Code.AlreadyExists,
      });
      const hits = await awaitThat('all ran', () =>
        callee.of(name).length === 6 ? callee.of(name) : undefined,
      );
      expect(hits.map((hit) => hit.fireAtMs)).toEqual(hours);
      for (const [i, hit] of hits.entries()) {
        if (i > 0) expect(hit.arrivedAtMs).toBeGreaterThanOrEqual(hits[i - 1]!.answeredAtMs!);
      }
      expect((await get()).nextFireTime).toEqual(nextFireTime);
      const filter = { backfillId: made.backfillId };
      expect((await carillon.executions.list({ filter })).executions).toHaveLength(6);
    });

    it('is canceled as a whole', async () => {
      await addScheduled('/held', hourly);
      const { backfillId } = await carillon.jobs.backfill(range(6));
      await callee.awaitHit('the first', (hit) => hit.job === name);
      const reply = await carillon.executions.cancel({
        executions: { case: 'byBackfill', value: backfillId },
      });
      expect(reply.canceled).toHaveLength(6);
      await awaitThat('all are over', async () => (await list()).every(({ finishTime }) => finishTime));
      expect(callee.of(name)).toHaveLength(1);
    });

    it('leaves out what a calendar excludes, and refuses the future and more than 10,000', async () => {
      await carillon.admin.putCalendar({
        calendar: { name: `night-${name}`, crons: [{ expression: '* 0-2 * * *' }] },
      });
      await addScheduled(
        '/ok',
        { ...hourly, calendars: [`night-${name}`] },
        { overlap: OverlapPolicy.ALLOW },
      );
      const made = await carillon.jobs.backfill({ ...range(6), overlap: OverlapPolicy.ALLOW });
      expect(made.fireTimes.map(timestampMs)).toEqual(hours.slice(3));
      const endTime = timestampFromMs(Date.now() + 60_000);
      await expect(carillon.jobs.backfill({ ...range(1), endTime })).rejects.toMatchObject({
        code: Code.InvalidArgument,
      });
      await awaitThat('all are over', async () => (await list()).every(({ finishTime }) => finishTime));
      name = `${name}-often`;
      const everySecond = { kind: { case: 'cron', value: { expression: '* * * * * *' } } };
      await addScheduled('/ok', everySecond, { startPaused: true });
      await expect(carillon.jobs.backfill(range(3))).rejects.toMatchObject({ code: Code.ResourceExhausted });
      expect((await list()).filter(({ cause }) => cause === ExecutionCause.BACKFILL)).toEqual([]);
    });
  });
});
