/** The overlap policies as a user meets them: one instance, a callee that holds what it is asked for. */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Execution, ExecutionReason, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { type InstanceProcess, useInstance } from '../support/instance-process.ts';
import { everyMsJob, type JobDraft, manualJob, spanFrom } from '../support/job-drafts.ts';
import { auditLedger } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';

describe('a job whose execution is open', () => {
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

  const add = (overlap: OverlapPolicy, path: string, more: JobDraft = {}) =>
    carillon.jobs.add({ job: manualJob(name, callee.url(path), { overlap, ...more }) });

  async function trigger(overlap?: OverlapPolicy): Promise<Execution> {
    const { execution } = await carillon.jobs.trigger({ job: ref(), overlap });
    return execution!;
  }

  const awaitHits = (count: number) =>
    awaitThat(`${count} hits`, () => (callee.of(name).length >= count ? callee.of(name) : undefined));

  const awaitFinal = (executionId: bigint) =>
    awaitThat('the execution is final', async () => {
      const { execution } = await carillon.executions.get({ executionId });
      return execution?.finishTime ? execution : undefined;
    });

  const bufferedCount = async () => (await carillon.jobs.get({ job: ref() })).job!.bufferedCount;

  it('with BUFFER_ONE lets one wait, says so, and skips the next; the one that waited runs behind it', async () => {
    await add(OverlapPolicy.BUFFER_ONE, '/held');
    const first = await trigger();
    await awaitHits(1);
    const second = await trigger();
    const third = await trigger();
    expect(second.state).toBe(ExecutionState.PENDING);
    expect(second.waitingFor).toBe('the executions of its job that go before it');
    expect(third).toMatchObject({ state: ExecutionState.SKIPPED, reason: ExecutionReason.OVERLAP });
    expect(third.message).toBe(`execution ${first.id} was still open and another waited`);
    expect(await bufferedCount()).toBe(1);
    callee.release();
    await awaitHits(2);
    callee.release();
    expect((await awaitFinal(second.id)).state).toBe(ExecutionState.SUCCEEDED);
    expect(await bufferedCount()).toBe(0);
    expect(callee.of(name)[1]!.arrivedAtMs).toBeGreaterThanOrEqual(callee.of(name)[0]!.answeredAtMs!);
  });

  it('with BUFFER_ALL runs all that wait one after the other, in their order', async () => {
    await add(OverlapPolicy.BUFFER_ALL, '/slow?ms=60');
    const ids: number[] = [];
    for (let n = 0; n < 6; n++) ids.push(Number((await trigger()).id));
    const hits = await awaitHits(6);
    expect(hits.map((hit) => hit.executionId)).toEqual(ids);
    await awaitFinal(BigInt(ids.at(-1)!));
    for (const [i, hit] of hits.entries()) {
      if (i > 0) expect(hit.arrivedAtMs).toBeGreaterThanOrEqual(hits[i - 1]!.answeredAtMs!);
    }
  });

  it('with CANCEL_OTHER stops it, and starts the new one when it has stopped', async () => {
    await add(OverlapPolicy.CANCEL_OTHER, '/hang');
    const first = await trigger();
    await awaitHits(1);
    const second = await trigger();
    expect(await awaitFinal(first.id)).toMatchObject({
      state: ExecutionState.CANCELED,
      reason: ExecutionReason.OVERLAP,
      message: `replaced by execution ${second.id}`,
    });
    const hits = await awaitHits(2);
    expect(hits[1]!.executionId).toBe(Number(second.id));
    await awaitThat('the callee saw the first one stop', () => hits[0]!.abortedAtMs !== undefined);
    await carillon.executions.cancel({
      executions: { case: 'byIds', value: { executionIds: [second.id] } },
    });
    expect(await awaitFinal(second.id)).toMatchObject({ reason: ExecutionReason.CANCEL_REQUESTED });
  });

  it('with CANCEL_OTHER and a timetable is stopped by each fire time; the last one ends', async () => {
    const span = spanFrom(1_000, 2);
    const job = everyMsJob(name, callee.url('/hang'), span, 1_000);
    await carillon.jobs.add({ job: { ...job, overlap: OverlapPolicy.CANCEL_OTHER } });
    const last = await callee.awaitHit('the last', (hit) => hit.job === name && hit.fireAtMs === span.endMs);
    await awaitThat('all but the last are stopped', () =>
      callee.of(name).every((hit) => hit === last || hit.abortedAtMs !== undefined),
    );
    // One may be stopped before it was delivered, where the fire times come late.
    expect(callee.of(name).length).toBeGreaterThan(1);
    const { executions } = await carillon.executions.list({
      filter: { job: ref() },
      orderBy: 'create_time',
    });
    expect(executions.map(({ state, reason }) => [state, reason])).toEqual([
      ...Array.from({ length: 2 }, () => [ExecutionState.CANCELED, ExecutionReason.OVERLAP]),
      [ExecutionState.RUNNING, ExecutionReason.UNSPECIFIED],
    ]);
    await carillon.executions.cancel({
      executions: { case: 'byIds', value: { executionIds: [executions.at(-1)!.id] } },
    });
    await awaitFinal(executions.at(-1)!.id);
  });

  it('lets a trigger override its policy', async () => {
    await add(OverlapPolicy.SKIP, '/held');
    await trigger();
    await awaitHits(1);
    expect((await trigger()).state).toBe(ExecutionState.SKIPPED);
    expect((await trigger(OverlapPolicy.BUFFER_ALL)).state).toBe(ExecutionState.PENDING);
    await trigger(OverlapPolicy.ALLOW);
    await awaitHits(2);
    expect(await bufferedCount()).toBe(1);
    callee.release();
    await awaitHits(3);
    callee.release();
  });

  it('gives the run of a buffered execution back that is canceled while it waits', async () => {
    const job = everyMsJob(name, callee.url('/held'), spanFrom(300, 3_600), 200);
    const [schedule] = job.schedules!;
    await carillon.jobs.add({
      job: { ...job, overlap: OverlapPolicy.BUFFER_ALL, schedules: [{ ...schedule!, repeatCount: 2 }] },
    });
    await awaitHits(1);
    const list = async () =>
      (await carillon.executions.list({ filter: { job: ref() }, orderBy: 'create_time' })).executions;
    const [, second] = await awaitThat('the second fire time waits', async () => {
      const executions = await list();
      return executions.length === 2 ? executions : undefined;
    });
    expect((await carillon.jobs.get({ job: ref() })).job!.nextFireTime).toBeUndefined();
    await carillon.executions.cancel({
      executions: { case: 'byIds', value: { executionIds: [second!.id] } },
    });
    await awaitThat('a third fire time came', async () => (await list()).length === 3);
    callee.release();
    await awaitHits(2);
    callee.release();
  });

  it('finishes an execution that waited longer than queue_timeout, also while it is buffered', async () => {
    await add(OverlapPolicy.BUFFER_ALL, '/held');
    await trigger();
    await awaitHits(1);
    // From here on: the first one has all the time it needs to begin.
    await carillon.jobs.update({ job: { key: { name }, queueTimeout: durationFromMs(300) } });
    const waiting = await trigger();
    expect(await awaitFinal(waiting.id)).toMatchObject({
      state: ExecutionState.FAILED,
      reason: ExecutionReason.QUEUE_TIMEOUT,
    });
    callee.release();
  });
});
