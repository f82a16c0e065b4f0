/** Adding a job with validateOnly: it answers and refuses as storing would, and nothing of it stays. */
import { describe, expect, it } from 'vitest';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import type { AddJob, JobDraft } from '../../src/engine/operations.ts';
import { base, caller, hour, hourly, refusalOf, useJobDesk } from './job-desk.ts';

const use = useJobDesk();

const cron = (expression: string): Schedule => ({
  name: 'main',
  repeatCount: 0,
  spec: {
    kind: 'cron',
    expression,
    dialect: 'UNIX',
    timeZone: 'UTC',
    gap: 'RUN_AT_GAP_END',
    ambiguous: 'FIRST',
  },
});

const rehearse = (changes: Partial<JobDraft>, more: Partial<AddJob> = {}) =>
  use.add(changes, { validateOnly: true, ...more });

/** Everything that a rehearsal could leave behind. */
const stored = () =>
  use.rows(`select (select count(*) from carillon.job) as jobs, (select count(*) from carillon.timer) as timers,
    (select count(*) from carillon.execution) as executions, (select count(*) from carillon.pause) as pauses,
    (select count(*) from carillon.queue) as queues, (select count(*) from carillon.namespace) as namespaces,
    (select count(*) from carillon.request) as requests, (select count(*) from carillon.feed) as feed`);

describe('a job that is only validated', () => {
  it('is answered as it would be stored, with no id, and is not there afterwards', async () => {
    const key = { namespace: 'new namespace', group: 'g', name: 'n' };
    const before = await stored();
    const queue = { kind: 'worker', queue: 'new queue', labels: {} } as const;
    const { job, created, warnings } = await rehearse(
      { schedules: [hourly], target: queue },
      { key, startPaused: true, requestId: 'r-1', requestDigest: 'd' },
    );
    expect({ created, warnings }).toEqual({
      created: true,
      warnings: [expect.stringContaining('means every 1 h')],
    });
    expect(job).toMatchObject({ id: 0, key, schedules: [hourly], target: queue, state: 'PAUSED' });
    expect(job.nextFireAt?.getTime()).toBe(base);
    expect(await stored()).toEqual(before);
    const added = await use.add({ schedules: [hourly] }, { key, requestId: 'r-1', requestDigest: 'other' });
    expect(added.created).toBe(true);
  });

  it('is answered as an edit would leave it, and stays as it was', async () => {
    const { job } = await use.add({ schedules: [hourly], description: 'old' });
    await use.desk.pause({ job: { id: job.id } }, { reason: 'held' }, caller);
    const present = await use.jobOf(job.id);
    const before = await stored();
    const changes = { schedules: [cron('0 3 * * *')], description: 'new' };
    const { job: edited, created } = await rehearse(changes, { key: job.key, replace: true });
    expect(created).toBe(false);
    expect(edited).toMatchObject({ id: job.id, ...changes, generation: 2, pauses: present.pauses });
    expect(await use.jobOf(job.id)).toEqual(present);
    expect(await stored()).toEqual(before);
  });

  it('does not fire what is owed', async () => {
    const owedMs = Date.now() - 5_000;
    const spec = { kind: 'interval', everyMs: hour, mode: 'FIXED_RATE', anchorMs: owedMs } as const;
    const { job } = await use.add({ schedules: [{ ...hourly, spec }] });
    await use.rows(
      'update carillon.timer set next_fire_at = to_timestamp($2::float8 / 1000) where job_id = $1',
      [job.id, owedMs],
    );
    await rehearse({ schedules: [hourly] }, { key: job.key, replace: true });
    expect(await use.ledgerOf(job.id)).toEqual([]);
    expect((await use.jobOf(job.id)).nextFireAt?.getTime()).toBe(owedMs);
  });

  it('keeps the anchor of an interval as an edit does', async () => {
    const every = {
      name: 'e',
      repeatCount: 0,
      spec: { kind: 'interval', everyMs: hour, mode: 'FIXED_RATE' },
    } as const;
    const { job } = await use.add({ schedules: [every] as JobDraft['schedules'] });
    const again = await rehearse(
      { schedules: [every] as JobDraft['schedules'] },
      { key: job.key, replace: true },
    );
    expect(again.job.schedules).toEqual(job.schedules);
  });

  it.each<[string, Partial<JobDraft>, string]>([
    ['a schedule that never fires', { schedules: [cron('0 0 30 2 *')] }, 'INVALID_SCHEDULE'],
    ['a calendar that is missing', { schedules: [{ ...hourly, calendars: ['none'] }] }, 'CALENDAR_NOT_FOUND'],
    [
      'a secret that is missing',
      {
        target: {
          kind: 'http',
          url: 'http://127.0.0.1:9/',
          method: 'POST',
          headers: {},
          successCodes: [],
          signingSecretName: 'none',
        },
      },
      'SECRET_NOT_FOUND',
    ],
  ])('is refused for %s, new or edited', async (_, changes, reason) => {
    expect((await refusalOf(rehearse(changes))).reason).toBe(reason);
    const { job } = await use.add();
    expect((await refusalOf(rehearse(changes, { key: job.key, replace: true }))).reason).toBe(reason);
    expect(await use.jobOf(job.id)).toEqual(job);
  });

  it('is refused where its key is taken, unless it replaces', async () => {
    const { job } = await use.add();
    expect((await refusalOf(rehearse({}, { key: job.key }))).reason).toBe('JOB_ALREADY_EXISTS');
  });

  it('may be one of many at the same time', async () => {
    const { job } = await use.add({ schedules: [hourly] });
    const key = { namespace: 'busy', group: 'g', name: 'n' };
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0 ? rehearse({}, { key }) : rehearse({}, { key: job.key, replace: true }),
      ),
    );
    expect(answers.map(({ created }) => created)).toEqual(answers.map((_, i) => i % 2 === 0));
  });
});

describe('deleting a job by its etag', () => {
  it('is refused when the job was changed since', async () => {
    const { job } = await use.add();
    const etag = String(job.revision);
    await use.desk.update({ job: { id: job.id }, changes: { description: 'new' }, etag: '' }, caller);
    const refusal = await refusalOf(use.desk.delete({ job: { id: job.id }, etag }, 'LEAVE', caller));
    expect(refusal.reason).toBe('ETAG_MISMATCH');
    const { revision } = await use.jobOf(job.id);
    expect(
      await use.desk.delete({ job: { id: job.id }, etag: String(revision) }, 'LEAVE', caller),
    ).toMatchObject({
      deleted: 1,
    });
    expect(await use.desk.delete({ job: { id: job.id }, etag }, 'LEAVE', caller)).toMatchObject({
      existed: false,
    });
  });
});
