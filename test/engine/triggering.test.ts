/** Trigger: what it fires, what it refuses, and what it leaves alone. */
import { describe, expect, it } from 'vitest';
import { base, caller, hour, hourly, refusalOf, useJobDesk } from './job-desk.ts';

const use = useJobDesk();

const once = { name: 'once', repeatCount: 0, spec: { kind: 'once', atMs: base } } as const;

describe('a trigger', () => {
  it('returns its execution at once, which waits in the ledger', async () => {
    const id = await use.addId();
    const { execution, replayed } = await use.trigger(id, { cause: 'API' });
    expect(execution).toMatchObject({ jobId: id, state: 'PENDING', cause: 'API', schedule: '' });
    expect(replayed).toBe(false);
    expect(await use.store.ledger.find(use.store.db, execution.id)).toMatchObject({
      id: execution.id,
      fireAt: execution.fireAt,
      state: 'PENDING',
      waitingFor: execution.waitingFor,
    });
  });

  it('fires a paused job, unless it requires an active one', async () => {
    const id = await use.addId({ schedules: [hourly] });
    await use.desk.pause({ job: { id } }, { reason: 'held' }, caller);
    expect((await use.trigger(id)).execution.state).toBe('PENDING');
    expect((await refusalOf(use.trigger(id, { requireActive: true }))).reason).toBe('JOB_PAUSED');
    expect(await use.statesOf(id)).toEqual(['PENDING']);
  });

  it('is refused by a finished job, unless it allows one', async () => {
    const id = await use.addId({ schedules: [once] });
    await use.tickAt(base);
    expect((await use.jobOf(id)).state).toBe('FINISHED');
    expect((await refusalOf(use.trigger(id))).reason).toBe('JOB_FINISHED');
    expect((await use.trigger(id, { allowFinished: true })).execution.state).toBe('PENDING');
    expect((await use.jobOf(id)).state).toBe('FINISHED');
  });

  it('fires a job without schedules, which nothing else fires and which is never finished', async () => {
    const id = await use.addId();
    await use.tickAt(base + 1_000 * hour);
    expect(await use.statesOf(id)).toEqual([]);
    await use.trigger(id);
    expect(await use.jobOf(id)).toMatchObject({ state: 'ACTIVE', nextFireAt: undefined });
    expect(await use.statesOf(id)).toEqual(['PENDING']);
  });

  it("goes by the job's overlap policy unless it overrides it; a skip has a row and says why", async () => {
    const id = await use.addId({ overlap: 'SKIP' });
    const first = (await use.trigger(id)).execution;
    expect((await use.trigger(id)).execution).toMatchObject({
      state: 'SKIPPED',
      reason: 'OVERLAP',
      message: `execution ${first.id} was still open`,
    });
    expect((await use.trigger(id, { overlap: 'ALLOW' })).execution.state).toBe('PENDING');
    expect(await use.statesOf(id)).toEqual(['PENDING', 'SKIPPED', 'PENDING']);
  });

  it('never moves the timetable, nor uses up a repeat count', async () => {
    const id = await use.addId({ schedules: [{ ...hourly, repeatCount: 2 }] });
    const before = await use.jobOf(id);
    const timer = await use.timerOf(id);
    for (let n = 0; n < 3; n++) await use.trigger(id);
    expect(await use.jobOf(id)).toEqual(before);
    expect(await use.timerOf(id)).toEqual(timer);
  });

  it('lives beside others of the same millisecond', async () => {
    const id = await use.addId();
    const replies = await Promise.all(Array.from({ length: 40 }, () => use.trigger(id)));
    const instants = new Set(replies.map(({ execution }) => execution.fireAt.getTime()));
    expect(instants.size).toBeLessThan(40);
    expect(new Set(replies.map(({ execution }) => execution.id)).size).toBe(40);
    expect(await use.statesOf(id)).toHaveLength(40);
  });

  it('finds a job idle once, whichever of two instances it comes through', async () => {
    const id = await use.addId({ overlap: 'SKIP' });
    const desks = [use.newDesk(), use.newDesk()];
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, n) => use.trigger(id, {}, desks[n % 2])),
    );
    const started = replies.filter(({ execution }) => execution.state === 'PENDING');
    expect(started).toHaveLength(1);
    expect((await use.statesOf(id)).filter((state) => state === 'PENDING')).toHaveLength(1);
  });
});

describe('a trigger with a request_id', () => {
  it('that is repeated returns the first execution and fires nothing', async () => {
    const id = await use.addId();
    const request = { requestId: 'again', requestDigest: 'same' };
    const first = await use.trigger(id, request);
    const second = await use.trigger(id, request);
    expect(first.replayed).toBe(false);
    expect(second).toMatchObject({ replayed: true, execution: { id: first.execution.id } });
    expect(await use.statesOf(id)).toEqual(['PENDING']);
  });

  it('that is repeated at the same moment fires once', async () => {
    const id = await use.addId();
    const request = { requestId: 'at once', requestDigest: 'same' };
    const desks = [use.newDesk(), use.newDesk()];
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, n) => use.trigger(id, request, desks[n % 2])),
    );
    expect(new Set(replies.map(({ execution }) => execution.id)).size).toBe(1);
    expect(replies.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(await use.statesOf(id)).toEqual(['PENDING']);
  });

  it('of another request is refused and fires nothing', async () => {
    const id = await use.addId();
    await use.trigger(id, { requestId: 'taken', requestDigest: 'one' });
    const other = use.trigger(id, { requestId: 'taken', requestDigest: 'two' });
    expect((await refusalOf(other)).reason).toBe('REQUEST_ID_REUSED');
    expect(await use.statesOf(id)).toEqual(['PENDING']);
  });
});
