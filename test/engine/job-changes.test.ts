/** Adding, editing and deleting jobs: what happens to their times, their runs and their names. */
import { describe, expect, it } from 'vitest';
import { jobDefaults } from '../../src/domain/job.ts';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import type { JobDraft } from '../../src/engine/operations.ts';
import { base, caller, hour, hourly, refusalOf, useJobDesk } from './job-desk.ts';

const use = useJobDesk();

const cron = (expression: string, dialect: 'UNIX' | 'QUARTZ' = 'UNIX'): Schedule => ({
  name: 'main',
  repeatCount: 0,
  spec: { kind: 'cron', expression, dialect, timeZone: 'UTC', gap: 'RUN_AT_GAP_END', ambiguous: 'FIRST' },
});

const update = (id: number, changes: Partial<JobDraft>) =>
  use.desk.update({ job: { id }, changes, etag: '' }, caller);

/** Moves a timer aside, so that one sees whether somebody computes it anew. */
const moveTimer = (id: number, atMs: number) =>
  use.rows('update carillon.timer set next_fire_at = to_timestamp($2::float8 / 1000) where job_id = $1', [
    id,
    atMs,
  ]);

describe('adding a job', () => {
  it('stores the dialect of an expression, and never guesses it', async () => {
    const weekdays: number[] = [];
    for (const dialect of ['UNIX', 'QUARTZ'] as const) {
      const { job } = await use.add({ schedules: [cron('0 0 2 ? * 1', dialect)] });
      expect(job.schedules[0]!.spec).toMatchObject({ dialect });
      weekdays.push(job.nextFireAt!.getUTCDay());
    }
    // 1 is Monday in one dialect and Sunday in the other.
    expect(weekdays).toEqual([1, 0]);
  });

  it.each([
    ['a year list that is over', cron('0 0 2 1 1 ? 2020-2024', 'QUARTZ')],
    ['a date that no year has', cron('0 0 30 2 *')],
    ['bounds that hold no fire time', { ...cron('0 2 1 1 *'), startMs: base, endMs: base }],
  ])('refuses %s, since it never fires, and stores nothing', async (name, schedule) => {
    const key = { namespace: 'default', group: 'refused', name };
    const refusal = await refusalOf(use.add({ schedules: [schedule] }, { key }));
    expect(refusal.reason).toBe('INVALID_SCHEDULE');
    expect(refusal.message).toContain('never fires');
    expect((await refusalOf(use.desk.get({ key }))).reason).toBe('JOB_NOT_FOUND');
  });

  it('shows its zone as IANA spells it', async () => {
    const schedule = { ...cron('0 2 * * *'), spec: { ...cron('0 2 * * *').spec, timeZone: 'europe/BERLIN' } };
    const { job } = await use.add({ schedules: [schedule as Schedule] });
    expect(job.schedules[0]!.spec).toMatchObject({ timeZone: 'Europe/Berlin' });
  });

  it('moves its fires by jitter as its preview says', async () => {
    const id = await use.addId({ schedules: [{ ...hourly, jitterMs: hour / 2 }] });
    const { fireTimes } = await use.desk.preview({ job: { id } }, { count: 3 });
    const [first, second] = fireTimes.map(({ fireAt }) => fireAt.getTime());
    expect((await use.jobOf(id)).nextFireAt?.getTime()).toBe(first);
    await use.tickAt(first!);
    expect((await use.jobOf(id)).nextFireAt?.getTime()).toBe(second);
    expect(await use.ledgerOf(id)).toEqual([`${(first! - base) / hour} PENDING SCHEDULE`]);
  });
});

describe('an edit', () => {
  const moved = base + 7 * 60_000;

  it.each<[string, Partial<JobDraft>]>([
    ['the description', { description: 'new' }],
    ['the labels', { labels: { team: 'a' } }],
    ['the priority', { priority: 9 }],
    ['the overlap policy', { overlap: 'BUFFER_ALL' }],
    ['the misfire policy', { misfire: { ...jobDefaults.misfire, policy: 'RUN_ALL' } }],
    ['the retries', { retry: { ...jobDefaults.retry, maxAttempts: 7 } }],
    ['the timeouts', { attemptTimeoutMs: 1_000, queueTimeoutMs: 1_000 }],
    ['the parameters', { parameters: { text: 'new' } }],
    ['schedules that are the same', { schedules: [hourly] }],
  ])('of %s never moves the next fire time', async (_, changes) => {
    const id = await use.addId({ schedules: [hourly] });
    await moveTimer(id, moved);
    const job = await update(id, changes);
    expect(job).toMatchObject(changes);
    expect(job.nextFireAt?.getTime()).toBe(moved);
  });

  it('of timing computes the next fire time from now, and does not look back', async () => {
    const id = await use.addId({ schedules: [hourly] });
    await moveTimer(id, moved);
    const nowMs = Date.now();
    const anchorMs = nowMs - 10 * hour - 1_800_000;
    const spec = { kind: 'interval', everyMs: hour, mode: 'FIXED_RATE', anchorMs } as const;
    const job = await update(id, { schedules: [{ ...hourly, spec }] });
    expect(job.nextFireAt?.getTime()).toBe(nowMs + 1_800_000);
    expect(await use.ledgerOf(id)).toEqual([]);
  });

  it('of timing fires first what is owed', async () => {
    const owedMs = Date.now() - 5_000;
    const spec = { kind: 'interval', everyMs: hour, mode: 'FIXED_RATE', anchorMs: owedMs } as const;
    const id = await use.addId({ schedules: [{ ...hourly, spec }] });
    await moveTimer(id, owedMs);
    await update(id, { schedules: [hourly] });
    expect(await use.ledgerOf(id)).toEqual([`${(owedMs - base) / hour} PENDING SCHEDULE`]);
    expect((await use.jobOf(id)).nextFireAt?.getTime()).toBe(base);
  });

  it('of Add with replace keeps the id, the pauses and the history', async () => {
    const { job } = await use.add({ schedules: [hourly] });
    const { id, key } = job;
    await use.trigger(id);
    const { pauseId } = await use.desk.pause({ job: { id } }, { reason: 'held' }, caller);
    const replaced = await use.add({ schedules: [cron('0 3 * * *')] }, { key, replace: true });
    expect(replaced).toMatchObject({ created: false, job: { id, generation: 2, pauses: [{ id: pauseId }] } });
    expect(await use.statesOf(id)).toEqual(['PENDING']);
  });

  it('of Add without replace is refused and changes nothing', async () => {
    const { job } = await use.add({ schedules: [hourly] });
    const again = use.add({ description: 'other' }, { key: job.key });
    expect((await refusalOf(again)).reason).toBe('JOB_ALREADY_EXISTS');
    expect(await use.jobOf(job.id)).toEqual(job);
  });
});

describe('deleting a job', () => {
  /** A job with one execution that runs and one that waits. */
  async function addBusy() {
    const { job } = await use.add();
    await use.trigger(job.id);
    const attempt = await use.claimOldest();
    await use.trigger(job.id);
    expect(await use.statesOf(job.id)).toEqual(['RUNNING', 'PENDING']);
    return { job, attempt };
  }

  it('leaves what runs, cancels what waits, and keeps the history', async () => {
    const { job, attempt } = await addBusy();
    expect(await use.desk.delete({ job: { id: job.id } }, 'LEAVE', caller)).toEqual({
      deleted: 1,
      existed: true,
    });
    expect(await use.statesOf(job.id)).toEqual(['RUNNING', 'CANCELED']);
    await use.succeed(attempt);
    expect(await use.statesOf(job.id)).toEqual(['SUCCEEDED', 'CANCELED']);
    expect((await refusalOf(use.desk.get({ id: job.id }))).reason).toBe('JOB_NOT_FOUND');
    const execution = await use.store.ledger.find(use.store.db, attempt.executionId);
    expect(execution).toMatchObject({ jobKey: job.key, state: 'SUCCEEDED' });
  });

  it('with CANCEL asks what runs to stop', async () => {
    const { job, attempt } = await addBusy();
    await use.desk.delete({ job: { id: job.id } }, 'CANCEL', caller);
    expect(await use.listCancelRequested()).toEqual([attempt.executionId]);
    expect(await use.statesOf(job.id)).toEqual(['RUNNING', 'CANCELED']);
  });

  it('with FAIL_IF_RUNNING is refused while something is open, and deletes nothing', async () => {
    const { job } = await addBusy();
    const refusal = await refusalOf(use.desk.delete({ job: { id: job.id } }, 'FAIL_IF_RUNNING', caller));
    expect(refusal.reason).toBe('JOB_STATE_CONFLICT');
    expect(await use.jobOf(job.id)).toEqual(job);
    expect(await use.statesOf(job.id)).toEqual(['RUNNING', 'PENDING']);
  });

  it('frees its name at once, and is no error when it is gone', async () => {
    const { job } = await use.add({ schedules: [hourly] });
    const choice = { job: { key: job.key } };
    await use.desk.delete(choice, 'LEAVE', caller);
    expect(await use.desk.delete(choice, 'LEAVE', caller)).toEqual({ deleted: 0, existed: false });
    const again = await use.add({}, { key: job.key });
    expect(again.created).toBe(true);
    expect(again.job.id).not.toBe(job.id);
    await use.tickAt(base);
    expect(await use.ledgerOf(job.id)).toEqual([]);
  });
});

describe('a job is FINISHED', () => {
  it.each<[string, Schedule, number]>([
    ['its end has passed', { ...hourly, endMs: base + hour }, 2],
    ['its count is used up', { ...hourly, repeatCount: 3 }, 3],
    ['its one-shot is done', { name: 'once', repeatCount: 0, spec: { kind: 'once', atMs: base } }, 1],
  ])('when %s', async (_, schedule, runs) => {
    const id = await use.addId({ schedules: [schedule] });
    for (let n = 0; n < runs; n++) {
      expect((await use.jobOf(id)).state).toBe('ACTIVE');
      await use.tickAt(base + n * hour);
    }
    await use.tickAt(base + 9 * hour);
    expect(await use.jobOf(id)).toMatchObject({ state: 'FINISHED', nextFireAt: undefined });
    expect(await use.statesOf(id)).toEqual(Array.from({ length: runs }, () => 'PENDING'));
  });

  it('only when none of its schedules fires again, and until an edit gives it one that does', async () => {
    const short = { ...hourly, name: 'short', endMs: base };
    const id = await use.addId({ schedules: [short, { ...hourly, name: 'long', endMs: base + hour }] });
    await use.tickAt(base);
    expect((await use.jobOf(id)).state).toBe('ACTIVE');
    await use.tickAt(base + hour);
    expect((await use.jobOf(id)).state).toBe('FINISHED');
    await update(id, { schedules: [{ ...hourly, startMs: base + 4 * hour }] });
    expect((await use.jobOf(id)).state).toBe('ACTIVE');
  });
});

describe('an edit of the target', () => {
  const worker = (queue: string, labels: Record<string, string> = {}) =>
    ({ target: { kind: 'worker', queue, labels } }) as const;
  const placesOf = (id: number) =>
    use.rows<{ queue: string | null; placement: unknown; held: boolean }>(
      `select q.name as queue, o.placement, o.instance_id is not null as held
         from carillon.open_execution o left join carillon.queue q on q.id = o.queue_id
        where o.job_id = $1 order by o.execution_id`,
      [id],
    );

  it('moves what waits to the new queue and labels, and leaves what runs where it is', async () => {
    const id = await use.addId({ overlap: 'ALLOW', ...worker('old') });
    for (let n = 0; n < 3; n++) await use.trigger(id);
    await use.rows(
      `update carillon.open_execution set instance_id = 1, attempt_started_at = now(), attempt = 1
        where execution_id = (select min(execution_id) from carillon.open_execution where job_id = $1)`,
      [id],
    );
    await update(id, worker('new', { zone: 'eu' }));
    const waits = { queue: 'new', placement: { labels: { zone: 'eu' } }, held: false };
    expect(await placesOf(id)).toEqual([{ queue: 'old', placement: null, held: true }, waits, waits]);
    await update(id, { target: { ...jobTarget, url: 'http://127.0.0.1:9/elsewhere' } });
    const direct = { queue: null, placement: null, held: false };
    expect((await placesOf(id)).slice(1)).toEqual([direct, direct]);
  });

  it('that says the same moves nothing: a placement of its own stays', async () => {
    const id = await use.addId({ overlap: 'ALLOW', ...worker('kept', { zone: 'eu' }) });
    await use.trigger(id, { placement: { workerId: 'w1' } });
    await update(id, { ...worker('kept', { zone: 'eu' }), description: 'changed' });
    expect(await placesOf(id)).toMatchObject([{ queue: 'kept', placement: { workerId: 'w1' } }]);
  });
});

const jobTarget = { kind: 'http', url: '', method: 'POST', headers: {}, successCodes: [] } as const;
