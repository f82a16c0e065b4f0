/** What calls may make in a namespace: jobs, and executions in a minute; by several instances at once. */
import { beforeEach, describe, expect, it } from 'vitest';
import { DomainError } from '../../src/domain/errors.ts';
import { ManualClock } from '../platform/manual-clock.ts';
import { awaitThat } from '../support/await-that.ts';
import { base, caller, hour, hourly, refusalOf, useJobDesk } from './job-desk.ts';

const use = useJobDesk();
let namespaces = 0;
let namespace: string;

beforeEach(() => {
  namespace = `limited ${namespaces++}`;
});

const limit = (limits: { readonly maxJobs?: number; readonly executionsPerMinute?: number }) =>
  use.store.transaction(async (tx) => {
    const { namespaces: store } = use.store;
    if (!(await store.insert(tx, { name: namespace, description: '', limits }))) {
      await store.update(tx, namespace, { limits });
    }
  });

const addNamed = (name: string, more: object = {}) =>
  use.add({ overlap: 'ALLOW' }, { key: { namespace, group: 'g', name }, ...more });

/** How many of these succeeded; every other one was refused for the limit. */
async function successes(calls: readonly Promise<unknown>[]): Promise<number> {
  const settled = await Promise.allSettled(calls);
  for (const each of settled) {
    if (each.status === 'fulfilled') continue;
    expect(each.reason).toBeInstanceOf(DomainError);
    expect((each.reason as DomainError).reason).toBe('QUOTA_EXCEEDED');
  }
  return settled.filter(({ status }) => status === 'fulfilled').length;
}

describe('the jobs of a namespace', () => {
  it('are no more than its limit, whoever adds them at once', async () => {
    await limit({ maxJobs: 5 });
    const desks = [use.newDesk(), use.newDesk()];
    const adds = Array.from({ length: 12 }, (_, i) => {
      const key = { namespace, group: 'g', name: `n${i}` };
      return use.addThrough(desks[i % 2]!, {}, { key });
    });
    expect(await successes(adds)).toBe(5);
    expect(
      await use.rows(`select count(*)::int as n from carillon.job where namespace = '${namespace}'`),
    ).toEqual([{ n: 5 }]);
  });

  it('are refused beyond it by name and number; one that is replaced or was deleted does not count', async () => {
    await limit({ maxJobs: 1 });
    const { job } = await addNamed('one');
    const refusal = await refusalOf(addNamed('two'));
    expect(refusal).toMatchObject({
      reason: 'QUOTA_EXCEEDED',
      message: `namespace ${namespace} has all the jobs that it may have: 1`,
      details: { quota: { subject: `namespace ${namespace}`, description: 'at most 1 jobs' } },
    });
    expect((await addNamed('one', { replace: true })).created).toBe(false);
    expect((await refusalOf(addNamed('one'))).reason).toBe('JOB_ALREADY_EXISTS');
    await use.desk.delete({ job: { id: job.id } }, 'LEAVE', caller);
    expect((await addNamed('two')).created).toBe(true);
    await limit({});
    expect((await addNamed('three')).created).toBe(true);
  });
});

describe('the executions that calls make in a minute', () => {
  it('are no more than the limit, over all instances, and schedules are not among them', async () => {
    await limit({ executionsPerMinute: 10 });
    const { job } = await addNamed('job');
    const desks = [use.newDesk(), use.newDesk()];
    const startedMs = performance.now();
    const triggers = Array.from({ length: 30 }, (_, i) => use.trigger(job.id, {}, desks[i % 2]));
    const made = await successes(triggers);
    expect(made).toBeGreaterThanOrEqual(10);
    // The bucket fills up while the calls come, by one in six seconds.
    expect(made).toBeLessThanOrEqual(11 + (performance.now() - startedMs) / 6_000);
    const rows = await use.rows(`select count(*)::int as n from carillon.execution where job_id = ${job.id}`);
    expect(rows).toEqual([{ n: made }]);
  });

  it('are counted for each namespace by itself: calls of others in the same batch go through', async () => {
    await limit({ executionsPerMinute: 1 });
    const { job } = await addNamed('job');
    const other = await use.addId({ overlap: 'ALLOW' });
    const others = Array.from({ length: 3 }, () => use.trigger(other));
    const own = await Promise.allSettled(Array.from({ length: 3 }, () => use.trigger(job.id)));
    expect(await successes(others)).toBe(3);
    const refused = own.flatMap((each) => (each.status === 'rejected' ? [each.reason as DomainError] : []));
    expect(refused).toHaveLength(2);
    const refusal = refused[0]!;
    expect(refusal).toMatchObject({
      reason: 'QUOTA_EXCEEDED',
      details: {
        quota: { subject: `namespace ${namespace}`, description: 'at most 1 executions in a minute' },
      },
    });
    expect(refusal.details.retryAfterMs).toBeGreaterThan(50_000);
    expect(refusal.details.retryAfterMs).toBeLessThanOrEqual(60_000);
  });

  it('wake nobody when they are refused', async () => {
    await limit({ executionsPerMinute: 1 });
    const { job } = await addNamed('job');
    const told: string[] = [];
    const desk = use.newDesk({ notify: (topic) => void told.push(topic), on: () => () => undefined });
    await use.trigger(job.id, {}, desk);
    expect(told).toEqual(['pending', 'feed']);
    expect((await refusalOf(use.trigger(job.id, {}, desk))).reason).toBe('QUOTA_EXCEEDED');
    expect(told).toEqual(['pending', 'feed']);
  });

  it('are answered a moment later when they are refused, and at once when they are taken', async () => {
    await limit({ executionsPerMinute: 1 });
    const { job } = await addNamed('job');
    const clock = new ManualClock();
    const desk = use.newDesk(undefined, clock);
    await use.trigger(job.id, {}, desk);
    let isRefused = false;
    const refused = refusalOf(use.trigger(job.id, {}, desk)).finally(() => {
      isRefused = true;
    });
    await awaitThat('the call waits for its refusal', () => clock.waiting === 1);
    expect(isRefused).toBe(false);
    await clock.advance(49);
    expect(isRefused).toBe(false);
    await clock.advance(1);
    expect((await refused).reason).toBe('QUOTA_EXCEEDED');
  });

  it('are made again as soon as the limit is lifted, also where a refusal is remembered', async () => {
    await limit({ executionsPerMinute: 1 });
    const { job } = await addNamed('job');
    await use.trigger(job.id);
    for (let n = 0; n < 3; n++) expect((await refusalOf(use.trigger(job.id))).reason).toBe('QUOTA_EXCEEDED');
    await limit({});
    expect((await use.trigger(job.id)).replayed).toBe(false);
  });

  it('leave the request id of a refused call free, and answer a repeated one of a call that was taken', async () => {
    await limit({ executionsPerMinute: 1 });
    const { job } = await addNamed('job');
    const first = await use.trigger(job.id, { requestId: 'a', requestDigest: 'x' });
    const both = [use.trigger(job.id, { requestId: 'b', requestDigest: 'x' })];
    both.push(use.trigger(job.id, { requestId: 'b', requestDigest: 'x' }));
    expect(await successes(both)).toBe(0);
    const again = await use.trigger(job.id, { requestId: 'a', requestDigest: 'x' });
    expect(again).toMatchObject({ replayed: true, execution: { id: first.execution.id } });
    await limit({});
    const later = await use.trigger(job.id, { requestId: 'b', requestDigest: 'another' });
    expect(later.replayed).toBe(false);
  });

  it('are those of a backfill together: all or none, and nothing is booked for none', async () => {
    await limit({ executionsPerMinute: 5 });
    const { job } = await use.add(
      {
        schedules: [{ ...hourly, spec: { ...hourly.spec, anchorMs: base - 100 * hour } as never }],
        overlap: 'ALLOW',
      },
      { key: { namespace, group: 'g', name: 'hourly' } },
    );
    const backfill = (hours: number) =>
      use.desk.backfill(
        {
          job: { id: job.id },
          startAt: new Date(base - 50 * hour),
          endAt: new Date(base - (50 - hours) * hour),
          overlap: 'ALLOW',
          dryRun: false,
          requestId: '',
          requestDigest: '',
        },
        caller,
      );
    const tooMany = await refusalOf(backfill(6));
    expect([tooMany.reason, tooMany.details.retryAfterMs]).toEqual(['QUOTA_EXCEEDED', undefined]);
    expect((await backfill(5)).executionsCreated).toBe(5);
    expect((await refusalOf(backfill(2))).details.retryAfterMs).toBeGreaterThan(10_000);
  });
});

describe('a schedule', () => {
  const everyMs = (ms: number) => ({ ...hourly, spec: { ...hourly.spec, everyMs: ms } as never });
  const key = (name: string) => ({ key: { namespace, group: 'g', name } });

  it('is refused that alone would fire more often in a minute than executions may be made', async () => {
    await limit({ executionsPerMinute: 20 });
    const often = { schedules: [hourly, { ...everyMs(1_000), name: 'often' }] };
    const expected = {
      reason: 'QUOTA_EXCEEDED',
      message: `job.schedules[1] would fire 60 times in a minute; in namespace ${namespace} a schedule may fire 20 times`,
      details: {
        metadata: { namespace, field: 'job.schedules[1]', limit: '20', fires: '60' },
        quota: {
          subject: `namespace ${namespace}`,
          description: 'at most 20 executions in a minute; job.schedules[1] would make 60',
        },
      },
    };
    expect(await refusalOf(use.add(often, key('new')))).toMatchObject(expected);
    expect(await refusalOf(use.add(often, { ...key('new'), validateOnly: true }))).toMatchObject(expected);
    // To the limit is fine, and so are two that exceed it only together.
    const both = [everyMs(3_000), { ...everyMs(3_000), name: 'beside' }];
    const { job } = await use.add({ schedules: both }, key('kept'));
    expect(await refusalOf(use.add(often, { ...key('kept'), replace: true }))).toMatchObject(expected);
    const edit = { job: { id: job.id }, changes: { schedules: often.schedules }, etag: '' };
    expect(await refusalOf(use.desk.update(edit, caller))).toMatchObject(expected);
    expect(await use.rows(`select name from carillon.job where namespace = '${namespace}'`)).toEqual([
      { name: 'kept' },
    ]);
  });

  it('that is there stays when a limit is set, also through edits of other things', async () => {
    await limit({});
    const { job } = await use.add({ schedules: [everyMs(1_000)] }, key('early'));
    await limit({ executionsPerMinute: 20 });
    const edit = (changes: object) => use.desk.update({ job: { id: job.id }, changes, etag: '' }, caller);
    expect((await edit({ description: 'edited' })).description).toBe('edited');
    expect((await refusalOf(edit({ schedules: [everyMs(2_000)] }))).reason).toBe('QUOTA_EXCEEDED');
    expect((await edit({ schedules: [everyMs(3_000)] })).schedules).toMatchObject([
      { spec: { everyMs: 3_000 } },
    ]);
  });
});

describe('a job that fires more often than a limit that was lowered', () => {
  const often = [{ ...hourly, spec: { ...hourly.spec, everyMs: 1_000 } as never }];
  const add = (more: object, draft: object = {}) =>
    use.add({ schedules: often, ...draft }, { key: { namespace, group: 'g', name: 'early' }, ...more });

  beforeEach(async () => {
    await limit({});
    await add({});
    await limit({ executionsPerMinute: 20 });
  });

  it('is replaced by one that fires alike, also when that is only asked for', async () => {
    const { job } = await add({ replace: true }, { description: 'another' });
    expect(job).toMatchObject({ description: 'another', generation: 2 });
    const asked = await add({ replace: true, validateOnly: true }, { description: 'asked' });
    expect([asked.created, asked.job.description]).toEqual([false, 'asked']);
  });

  it('has its name: another of that name is one too many by its name', async () => {
    expect((await refusalOf(add({}))).reason).toBe('JOB_ALREADY_EXISTS');
    expect((await refusalOf(add({ validateOnly: true }))).reason).toBe('JOB_ALREADY_EXISTS');
  });
});

describe('a backfill', () => {
  it('has at most 10,000 fire times, and of more makes none', async () => {
    await limit({});
    const spec = { ...hourly.spec, everyMs: 1_000, anchorMs: base - 100 * hour } as never;
    const { job } = await use.add(
      { schedules: [{ ...hourly, spec }] },
      { key: { namespace, group: 'g', name: 'b' } },
    );
    const backfill = (seconds: number, dryRun: boolean) =>
      use.desk.backfill(
        {
          job: { id: job.id },
          startAt: new Date(base - 50 * hour),
          endAt: new Date(base - 50 * hour + seconds * 1_000),
          overlap: 'ALLOW',
          dryRun,
          requestId: '',
          requestDigest: '',
        },
        caller,
      );
    expect((await backfill(10_000, true)).fireTimes).toHaveLength(10_000);
    expect(await refusalOf(backfill(10_001, false))).toMatchObject({
      reason: 'QUOTA_EXCEEDED',
      details: { quota: { subject: 'backfill', description: 'at most 10000 fire times' } },
    });
    expect(
      await use.rows(`select count(*)::int as n from carillon.execution where job_id = ${job.id}`),
    ).toEqual([{ n: 0 }]);
  });
});
