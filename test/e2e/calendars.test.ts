/** Calendars as a user meets them: one instance, jobs that fire every second. */
import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Execution, ExecutionReason, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { BadRequestSchema, ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { type InstanceProcess, useInstance } from '../support/instance-process.ts';
import { manualJob } from '../support/job-drafts.ts';
import { auditLedger } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';

describe('a calendar', () => {
  const database = useTestDatabase();
  const callee = useRecordingCallee();
  const instance = useInstance(() => ({ databaseUrl: database.url }));
  let carillon: InstanceProcess;

  beforeAll(() => {
    carillon = instance();
  });
  afterEach(async () => {
    expect(await auditLedger(database.url)).toEqual([]);
  });

  const keyOf = (name: string) => ({ ref: { case: 'key', value: { name } } }) as const;

  /** A job that fires every second and names calendars. */
  const addJob = (name: string, ...calendars: string[]) =>
    carillon.jobs.add({ job: manualJob(name, callee.url('/'), { schedules: [everySecond(calendars)] }) });

  const everySecond = (calendars: string[]) => ({
    calendars,
    kind: { case: 'cron', value: { expression: '*/1 * * * * *' } } as const,
  });

  const put = (name: string, ...expressions: string[]) =>
    carillon.admin.putCalendar({
      calendar: { name, crons: expressions.map((expression) => ({ expression })) },
    });

  /** The executions of a job once there are so many in a state, oldest first. */
  const awaitExecutions = (
    name: string,
    state: ExecutionState,
    count: number,
  ): Promise<readonly Execution[]> =>
    awaitThat(`${count} executions of ${name} in ${ExecutionState[state]}`, async () => {
      const { executions } = await carillon.executions.list({
        filter: { job: keyOf(name), states: [state] },
        orderBy: 'create_time',
      });
      return executions.length >= count ? executions : undefined;
    });

  async function errorOf(answer: Promise<unknown>): Promise<ConnectError> {
    const error = await answer.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConnectError);
    return error as ConnectError;
  }

  it('keeps a job from running, each fire time with a row that says so, and lets it run when it changes', async () => {
    await put('always', '* * * * *');
    await addJob('held-off', 'always');
    const skipped = await awaitExecutions('held-off', ExecutionState.SKIPPED, 2);
    for (const execution of skipped) {
      expect(execution).toMatchObject({
        reason: ExecutionReason.CALENDAR,
        message: 'excluded by calendar "always"',
      });
    }
    expect(callee.of('held-off')).toEqual([]);
    expect((await put('always')).created).toBe(false);
    await awaitExecutions('held-off', ExecutionState.SUCCEEDED, 2);
    expect((await carillon.admin.getCalendar({ name: 'always' })).calendar?.jobCount).toBe(1n);
  });

  it('touches only the schedules that name it', async () => {
    await put('even seconds', '*/2 * * * * *');
    const schedules = [{ name: 'bound', ...everySecond(['even seconds']) }];
    await carillon.jobs.add({ job: manualJob('bound', callee.url('/'), { schedules }) });
    await addJob('free');
    const secondsOf = (executions: readonly Execution[]) =>
      new Set(executions.map(({ fireTime }) => Number(fireTime!.seconds) % 2));
    expect(secondsOf(await awaitExecutions('bound', ExecutionState.SUCCEEDED, 2))).toEqual(new Set([1]));
    expect(secondsOf(await awaitExecutions('bound', ExecutionState.SKIPPED, 2))).toEqual(new Set([0]));
    expect(secondsOf(await awaitExecutions('free', ExecutionState.SUCCEEDED, 4))).toEqual(new Set([0, 1]));
  });

  it('must exist when a job names it, and stays while one does', async () => {
    const missing = await errorOf(addJob('lost', 'nowhere'));
    expect(missing.code).toBe(Code.NotFound);
    expect(missing.findDetails(ErrorInfoSchema)[0]).toMatchObject({ reason: 'CALENDAR_NOT_FOUND' });
    expect(missing.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      { field: 'job.schedules[0].calendars[0]' },
    ]);
    expect((await errorOf(carillon.jobs.get({ job: keyOf('lost') }))).code).toBe(Code.NotFound);

    await put('kept');
    await addJob('keeper', 'kept');
    const used = await errorOf(carillon.admin.deleteCalendar({ name: 'kept' }));
    expect(used.code).toBe(Code.FailedPrecondition);
    expect(used.findDetails(ErrorInfoSchema)[0]).toMatchObject({
      reason: 'CALENDAR_IN_USE',
      metadata: { calendar: 'default/kept', jobs: 'default/default/keeper', job_count: '1' },
    });
    await carillon.jobs.delete({ jobs: { case: 'job', value: keyOf('keeper') } });
    expect(await carillon.admin.deleteCalendar({ name: 'kept' })).toMatchObject({ existed: true });
  });
});
