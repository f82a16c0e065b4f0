/** Pauses on a live timetable: what they hold, how they stand beside each other, what lets go of what they held. */
import { describe, expect, it } from 'vitest';
import { base, caller, hour, hourly, refusalOf, useJobDesk } from './job-desk.ts';

const use = useJobDesk();

const pause = (id: number, reason = 'held', untilAt?: Date) =>
  use.desk.pause({ job: { id } }, { reason, untilAt }, caller);

const resume = (id: number, more: Partial<Parameters<typeof use.desk.resume>[1]> = {}) =>
  use.desk.resume({ job: { id } }, { pauseId: '', missed: 'DROP', dryRun: false, ...more }, caller);

/** A job whose first three fire times a pause held back. */
async function addHeld(): Promise<number> {
  const id = await use.addId({ schedules: [hourly] });
  await pause(id);
  await use.tickAt(base + 2 * hour);
  return id;
}

const heldRows = ['0 SKIPPED PAUSED', '1 SKIPPED PAUSED', '2 SKIPPED PAUSED'];

describe('a pause', () => {
  it('holds the fire times to come, each with a row, and leaves alone what is open', async () => {
    const id = await use.addId({ schedules: [hourly] });
    const { execution: running } = await use.trigger(id);
    const attempt = await use.claimOldest();
    const { execution: waiting } = await use.trigger(id);
    expect((await pause(id)).jobs[0]).toMatchObject({ state: 'PAUSED' });
    await use.tickAt(base + hour);
    expect((await use.ledgerOf(id)).slice(-2)).toEqual(['0 SKIPPED PAUSED', '1 SKIPPED PAUSED']);
    expect((await use.jobOf(id)).nextFireAt?.getTime()).toBe(base + 2 * hour);
    const stateOf = async (executionId: number) =>
      (await use.store.ledger.find(use.store.db, executionId))?.state;
    expect([await stateOf(running.id), await stateOf(waiting.id)]).toEqual(['RUNNING', 'PENDING']);
    await use.succeed(attempt);
    expect(await stateOf(running.id)).toBe('SUCCEEDED');
  });

  it('tells who set it, why, and until when', async () => {
    const id = await use.addId({ schedules: [hourly] });
    const untilAt = new Date(base + 90 * 60_000);
    const { pauseId } = await pause(id, 'the disk is full', untilAt);
    expect((await use.jobOf(id)).pauses).toMatchObject([
      { id: pauseId, actor: 'ann', reason: 'the disk is full', untilAt },
    ]);
  });

  it('lifts by itself at its end', async () => {
    const id = await use.addId({ schedules: [hourly] });
    await pause(id, 'held', new Date(base + 90 * 60_000));
    await use.tickAt(base + 2 * hour);
    expect(await use.ledgerOf(id)).toEqual(['0 SKIPPED PAUSED', '1 SKIPPED PAUSED', '2 PENDING SCHEDULE']);
  });

  it('is refused with an end that has passed', async () => {
    const id = await use.addId();
    const { reason, details } = await refusalOf(pause(id, 'held', new Date(Date.now() - 1)));
    expect(reason).toBe('INVALID_ARGUMENT');
    expect(details.violations).toMatchObject([{ field: 'until_time' }]);
    expect((await use.jobOf(id)).pauses).toEqual([]);
  });

  it('stands beside others: the job fires again when the last is gone', async () => {
    const id = await use.addId({ schedules: [hourly] });
    const first = await pause(id, 'one');
    const second = await pause(id, 'two');
    expect(second.changed).toBe(1);
    await resume(id, { pauseId: first.pauseId });
    expect((await use.jobOf(id)).state).toBe('PAUSED');
    await use.tickAt(base);
    await resume(id, { pauseId: second.pauseId });
    expect((await use.jobOf(id)).state).toBe('ACTIVE');
    await use.tickAt(base + hour);
    expect(await use.ledgerOf(id)).toEqual(['0 SKIPPED PAUSED', '1 PENDING SCHEDULE']);
  });

  it('that is set again changes nothing and says so', async () => {
    const id = await use.addId({ schedules: [hourly] });
    const first = await pause(id);
    expect(first.changed).toBe(1);
    const before = await use.jobOf(id);
    expect(await pause(id)).toMatchObject({ changed: 0, pauseId: first.pauseId });
    expect(await use.jobOf(id)).toEqual(before);
  });
});

describe('a resume', () => {
  it('drops what was held back unless the call says otherwise', async () => {
    const id = await addHeld();
    expect(await resume(id)).toMatchObject({ changed: 1, heldBackFireTimes: [] });
    expect(await use.ledgerOf(id)).toEqual(heldRows);
    expect((await use.jobOf(id)).nextFireAt?.getTime()).toBe(base + 3 * hour);
  });

  it('runs what was held back under the rows that it has', async () => {
    const id = await addHeld();
    const idsOf = () =>
      use.rows('select id, fire_at from carillon.execution where job_id = $1 order by id', [id]);
    const held = await idsOf();
    const { heldBackFireTimes } = await resume(id, { missed: 'RUN_ALL' });
    expect(heldBackFireTimes.map((at) => (at.getTime() - base) / hour)).toEqual([0, 1, 2]);
    expect(await idsOf()).toEqual(held);
    expect(await use.ledgerOf(id)).toEqual([
      '0 PENDING CATCH_UP',
      '1 PENDING CATCH_UP',
      '2 PENDING CATCH_UP',
    ]);
  });

  it('runs nothing while another pause stands', async () => {
    const id = await use.addId({ schedules: [hourly] });
    const first = await pause(id, 'one');
    await pause(id, 'two');
    await use.tickAt(base);
    const lifted = await resume(id, { pauseId: first.pauseId, missed: 'RUN_ALL' });
    expect(lifted).toMatchObject({ changed: 1, heldBackFireTimes: [] });
    expect(await use.ledgerOf(id)).toEqual(['0 SKIPPED PAUSED']);
  });

  it('of the last of several pauses runs what they held back together', async () => {
    const id = await use.addId({ schedules: [hourly] });
    const first = await pause(id, 'one');
    await use.tickAt(base);
    await pause(id, 'two');
    await use.tickAt(base + hour);
    await resume(id, { pauseId: first.pauseId, missed: 'RUN_ALL' });
    await resume(id, { missed: 'RUN_ALL' });
    expect(await use.ledgerOf(id)).toEqual(['0 PENDING CATCH_UP', '1 PENDING CATCH_UP']);
  });
});
