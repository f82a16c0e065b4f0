/** What each command writes into the audit: of whom, about what, and what differs. */
import { describe, expect, it } from 'vitest';
import type { Target } from '../../../src/domain/job.ts';
import { CalendarDesk } from '../../../src/engine/calendar-desk.ts';
import { LedgerOperations } from '../../../src/engine/execution-operations.ts';
import { NamespaceDesk } from '../../../src/engine/namespace-desk.ts';
import { SecretBox } from '../../../src/engine/secrets/secret-box.ts';
import { SecretDesk } from '../../../src/engine/secrets/secret-desk.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import type { AuditEvent } from '../../../src/store/audit-store.ts';
import { calendarOf } from '../../domain/schedule/calendars.ts';
import { base, caller, hour, hourly, refusalOf, useJobDesk } from '../job-desk.ts';

const use = useJobDesk();
const notifier = { notify: () => undefined };

const calendars = () => new CalendarDesk({ store: use.store });
const secrets = () =>
  new SecretDesk({
    store: use.store,
    box: new SecretBox([Buffer.alloc(32, 1)]),
    clock: systemClock,
    onChange: () => undefined,
  });
const namespaces = () =>
  new NamespaceDesk({ store: use.store, settling: { pass: () => Promise.resolve(true) }, notifier });
const executions = () =>
  new LedgerOperations({
    store: use.store,
    continuation: { look: () => undefined },
    notifier,
    feed: null as never,
    streams: null as never,
  });

/** The events that a call leaves, newest first. */
async function eventsOf(call: () => Promise<unknown>): Promise<readonly AuditEvent[]> {
  const list = async () => (await use.store.audits.list(use.store.db, {}, { limit: 100 })).events;
  const [last] = await list();
  await call();
  return (await list()).filter(({ id }) => id > (last?.id ?? 0));
}

/** The one event that a call leaves, without what it has from the database. */
async function eventOf(call: () => Promise<unknown>): Promise<Omit<AuditEvent, 'id' | 'at'>> {
  const events = await eventsOf(call);
  expect(events).toHaveLength(1);
  const { id: _, at, ...event } = events[0]!;
  expect(at).toBeInstanceOf(Date);
  return event;
}

/** What every event of the tests' caller says of who called. */
const byCaller = {
  actor: caller.actor,
  method: caller.method,
  peer: caller.peer,
  requestId: caller.requestId,
  namespace: 'default',
  outcome: 'OK',
};

const nameOf = async (id: number): Promise<string> => `default/default/${(await use.jobOf(id)).key.name}`;
const aboutJob = async (id: number) => ({
  ...byCaller,
  objectType: 'job',
  objectId: id,
  objectName: await nameOf(id),
});

const http = (headers: Readonly<Record<string, string>>): Target => ({
  kind: 'http',
  url: 'http://127.0.0.1:9/?token=x',
  method: 'POST',
  headers,
  successCodes: [],
});

describe('a job', () => {
  it('that is added has its whole definition, masked', async () => {
    let id = 0;
    const event = await eventOf(async () => {
      id = await use.addId({ target: http({ Authorization: 'x' }), parameters: { text: 'x' }, priority: 3 });
    });
    expect(event).toMatchObject({ ...(await aboutJob(id)), before: null, details: { changed: 1 } });
    expect(event.after).toMatchObject({
      target: { kind: 'http', url: 'http://127.0.0.1:9/?token=***', headers: { Authorization: '***' } },
      parameters: { text: '1 characters' },
      priority: 3,
      overlap: 'ALLOW',
      retry: { maxAttempts: 3 },
    });
  });

  it('that is replaced has the fields that differ, as they were and as they are', async () => {
    const { job } = await use.add({ priority: 1, description: 'old' });
    const event = await eventOf(() =>
      use.add({ priority: 2, description: 'old', labels: { a: 'b' } }, { key: job.key, replace: true }),
    );
    expect(event).toMatchObject({
      ...(await aboutJob(job.id)),
      before: { priority: 1, labels: {} },
      after: { priority: 2, labels: { a: 'b' } },
      details: { changed: 1 },
    });
    expect(Object.keys(event.after!).sort()).toEqual(['labels', 'priority']);
  });

  it('whose header gets another value shows that its target differs, and neither value', async () => {
    const id = await use.addId({ target: http({ a: 'one' }) });
    const event = await eventOf(() =>
      use.desk.update({ job: { id }, changes: { target: http({ a: 'two' }) }, etag: '' }, caller),
    );
    expect(event).toMatchObject({
      ...(await aboutJob(id)),
      before: { target: { headers: { a: '***' } } },
      after: { target: { headers: { a: '***' } } },
      details: { changed: 1 },
    });
  });

  it('that an update finds as it should be has an event all the same', async () => {
    const id = await use.addId({ priority: 1 });
    const event = await eventOf(() =>
      use.desk.update({ job: { id }, changes: { priority: 1 }, etag: '' }, caller),
    );
    expect(event).toMatchObject({ before: {}, after: {}, details: { changed: 0 } });
  });

  it('that is deleted has what it was; deleting it again finds nothing', async () => {
    const id = await use.addId({ description: 'gone' });
    const about = await aboutJob(id);
    const key = { namespace: 'default', group: 'default', name: about.objectName.split('/')[2]! };
    const remove = () => use.desk.delete({ job: { key } }, 'LEAVE', caller);
    const event = await eventOf(remove);
    expect(event).toMatchObject({ ...about, after: null, details: { changed: 1, onRunning: 'LEAVE' } });
    expect(event.before).toMatchObject({ description: 'gone' });
    expect(await eventOf(remove)).toMatchObject({
      ...about,
      objectId: null,
      before: null,
      details: { changed: 0 },
    });
  });

  it('that is paused has the pause; an equal pause changes nothing, a resume says what it lifted', async () => {
    const id = await use.addId({ schedules: [hourly] });
    const about = await aboutJob(id);
    const pause = () => use.desk.pause({ job: { id } }, { reason: 'held' }, caller);
    const event = await eventOf(pause);
    expect(event).toMatchObject({ ...about, after: { reason: 'held' }, details: { changed: 1 } });
    expect(event.after?.pauseId).toMatch(/^p_/);
    expect(await eventOf(pause)).toMatchObject({ after: event.after, details: { changed: 0 } });
    await use.tickAt(base + 2 * hour);
    const resume = () =>
      use.desk.resume({ job: { id } }, { pauseId: '', missed: 'RUN_ALL', dryRun: false }, caller);
    expect(await eventOf(resume)).toMatchObject({
      ...about,
      details: { changed: 1, missed: 'RUN_ALL', released: 3 },
    });
    expect(await eventOf(resume)).toMatchObject({ details: { changed: 0, released: 0 } });
  });

  it('that is triggered has the execution, and of parameters the names', async () => {
    const id = await use.addId({ overlap: 'SKIP' });
    let executionId = 0;
    const parameters = { text: 'secret', object: { a: 1 }, list: [{ name: 'who', value: 'me' }] };
    const event = await eventOf(async () => {
      executionId = (await use.trigger(id, { parameters })).execution.id;
    });
    expect(event).toEqual({
      ...(await aboutJob(id)),
      before: null,
      after: {
        executionId,
        state: 'PENDING',
        cause: 'MANUAL',
        overlap: 'SKIP',
        parameters: { text: '6 characters', object: ['a'], list: ['who'] },
      },
      details: null,
    });
    expect(await eventOf(() => use.trigger(id))).toMatchObject({ after: { state: 'SKIPPED' } });
  });

  it('that is triggered many times at once has an event for each', async () => {
    const id = await use.addId();
    const replayed = { requestId: 'same', requestDigest: 'd' };
    const events = await eventsOf(() =>
      Promise.all([
        ...Array.from({ length: 30 }, () => use.trigger(id)),
        use.trigger(id, replayed),
        use.trigger(id, replayed),
        refusalOf(use.trigger(-1)),
      ]),
    );
    expect(events).toHaveLength(31);
    expect(new Set(events.map(({ after }) => after?.executionId)).size).toBe(31);
  });

  it('that several callers trigger at once says of each execution who asked for it', async () => {
    const id = await use.addId();
    const asked = { job: { id }, requestId: '', requestDigest: '', parameters: {}, cause: 'API' } as const;
    const options = { requireActive: false, allowFinished: false };
    const callers = ['ann', 'bob', 'ann', 'eve'].map((actor, n) => ({
      ...caller,
      actor,
      requestId: `r${n}`,
    }));
    const made: string[] = [];
    const events = await eventsOf(async () => {
      const replies = await Promise.all(callers.map((by) => use.desk.trigger({ ...asked, ...options }, by)));
      made.push(...replies.map(({ execution }, n) => `${execution.id} ${callers[n]!.actor} r${n}`));
    });
    expect(events.map(({ id: own, actor, requestId }) => `${own} ${actor} ${requestId}`).sort()).toEqual(
      made.toSorted(),
    );
    expect(events.every(({ id: own, after }) => after?.executionId === own)).toBe(true);
  });

  it('that is backfilled has the range and how many executions were made', async () => {
    const anchored = { ...hourly, spec: { ...hourly.spec, anchorMs: base - 48 * hour } as never };
    const id = await use.addId({ schedules: [anchored] });
    const [startAt, endAt] = [new Date(base - 10 * hour), new Date(base - 8 * hour)];
    const request = {
      job: { id },
      startAt,
      endAt,
      overlap: 'ALLOW',
      requestId: '',
      requestDigest: '',
    } as const;
    const event = await eventOf(() => use.desk.backfill({ ...request, dryRun: false }, caller));
    expect(event).toMatchObject({
      ...(await aboutJob(id)),
      after: { startAt: startAt.toISOString(), endAt: endAt.toISOString(), overlap: 'ALLOW' },
      details: { changed: 2 },
    });
    expect(event.after?.backfillId).toEqual(expect.any(Number));
    expect(await eventsOf(() => use.desk.backfill({ ...request, dryRun: true }, caller))).toEqual([]);
    const resume = { pauseId: '', missed: 'DROP', dryRun: true } as const;
    expect(await eventsOf(() => use.desk.resume({ job: { id } }, resume, caller))).toEqual([]);
  });
});

describe('a selector', () => {
  it('has one event with how many jobs it chose, and the first twenty', async () => {
    const labels = { team: 'many' };
    const ids: number[] = [];
    for (let n = 0; n < 25; n++) ids.push(await use.addId({ labels }));
    const selector = { labels };
    const event = await eventOf(() => use.desk.pause({ selector }, { reason: 'held' }, caller));
    expect(event).toMatchObject({
      ...byCaller,
      objectType: 'job',
      objectId: null,
      objectName: null,
      details: { selector, chosen: 25, changed: 25 },
    });
    expect(event.details?.jobs).toEqual(await Promise.all(ids.slice(0, 20).map(nameOf)));
    const removal = await eventOf(() => use.desk.delete({ selector }, 'LEAVE', caller));
    expect(removal).toMatchObject({ before: null, details: { chosen: 25, changed: 25 } });
    expect(await eventOf(() => use.desk.delete({ selector }, 'LEAVE', caller))).toMatchObject({
      namespace: null,
      details: { chosen: 0, changed: 0, jobs: [] },
    });
  });

  it('that reaches into several namespaces has none', async () => {
    const labels = { team: 'spread' };
    for (const namespace of ['default', 'other']) {
      await use.add({ labels }, { key: { namespace, group: 'g', name: 'spread' } });
    }
    const event = await eventOf(() => use.desk.pause({ selector: { labels } }, { reason: '' }, caller));
    expect(event).toMatchObject({
      namespace: null,
      details: { jobs: ['default/g/spread', 'other/g/spread'] },
    });
  });
});

describe('Cancel', () => {
  it('of one execution is about it, and tells when there was nothing left to cancel', async () => {
    const id = await use.addId();
    const { execution } = await use.trigger(id);
    const cancel = () => executions().cancel({ executionIds: [execution.id] }, 'enough', caller);
    const about = {
      ...byCaller,
      objectType: 'execution',
      objectId: execution.id,
      objectName: await nameOf(id),
    };
    expect(await eventOf(cancel)).toMatchObject({
      ...about,
      details: { asked: 1, changed: 1, canceled: [execution.id], reason: 'enough' },
    });
    expect(await eventOf(cancel)).toMatchObject({ ...about, details: { changed: 0, canceled: [] } });
  });

  it('of what does not exist is of no namespace', async () => {
    const event = await eventOf(() => executions().cancel({ executionIds: [1, 2] }, '', caller));
    expect(event).toMatchObject({ namespace: null, objectId: null, details: { asked: 2, changed: 0 } });
  });

  it.each(['job', 'selector', 'namespace'] as const)('by %s says so', async (by) => {
    const id = await use.addId({ labels: { by } });
    await use.trigger(id);
    const { key } = await use.jobOf(id);
    const choices = {
      job: { jobs: [{ key }] },
      selector: { selector: { labels: { by } } },
      namespace: { namespace: 'default' },
    };
    const event = await eventOf(() => executions().cancel(choices[by], '', caller));
    const abouts = {
      job: await aboutJob(id),
      selector: { ...byCaller, objectType: 'job', objectId: null },
      namespace: { ...byCaller, objectType: 'namespace', objectName: 'default' },
    };
    expect(event).toMatchObject({ ...abouts[by], details: { changed: 1, jobs: [await nameOf(id)] } });
  });
});

describe('what jobs share', () => {
  it('a calendar: made, changed by fields, put again as it is, deleted', async () => {
    const about = { ...byCaller, objectType: 'calendar', objectName: 'days', objectId: null };
    const calendar = calendarOf({ name: 'days', dates: ['2027-01-01'] });
    const put = (changes = {}) => eventOf(() => calendars().put({ ...calendar, ...changes }, caller));
    expect(await put()).toMatchObject({
      ...about,
      before: null,
      after: { dates: ['2027-01-01'] },
      details: { changed: 1 },
    });
    expect(await put({ dates: [] })).toEqual({
      ...about,
      before: { dates: ['2027-01-01'] },
      after: { dates: [] },
      details: { changed: 1 },
    });
    expect(await put({ dates: [] })).toMatchObject({ before: {}, after: {}, details: { changed: 0 } });
    const remove = () => calendars().delete('default', 'days', caller);
    expect(await eventOf(remove)).toMatchObject({
      ...about,
      before: { dates: [], timeZone: calendar.timeZone },
      after: null,
      details: { changed: 1 },
    });
    expect(await eventOf(remove)).toMatchObject({ before: null, details: { changed: 0 } });
  });

  it('a secret: made, changed, put again as it is, deleted, never with a value', async () => {
    const about = { ...byCaller, objectType: 'secret', objectName: 'hook', objectId: null, before: null };
    const value = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
    const put = (more = {}) =>
      eventOf(() => secrets().put({ namespace: 'default', name: 'hook', ...more }, caller));
    expect(await put()).toEqual({
      ...about,
      after: { kind: 'SIGNING', generated: true },
      details: { changed: 1, created: true },
    });
    expect(await put({ value })).toMatchObject({
      after: { kind: 'SIGNING', generated: false, previousUntilAt: expect.any(String) },
      details: { changed: 1, created: false },
    });
    expect(await put({ value })).toMatchObject({ details: { changed: 0, created: false } });
    const remove = () => secrets().delete('default', 'hook', caller);
    expect(await eventOf(remove)).toMatchObject({ ...about, after: null, details: { changed: 1 } });
    expect(await eventOf(remove)).toMatchObject({ details: { changed: 0 } });
  });

  it('a namespace: made, changed by fields, and found as it should be', async () => {
    const about = { ...byCaller, namespace: 'shop', objectType: 'namespace', objectName: 'shop' };
    const draft = { name: 'shop', description: 'd', limits: { maxRunning: 3 } };
    expect(await eventOf(() => namespaces().create(draft, caller))).toMatchObject({
      ...about,
      before: null,
      after: { description: 'd', limits: { maxRunning: 3 } },
      details: { changed: 1 },
    });
    const update = () => namespaces().update('shop', { limits: { maxRunning: 4 } }, caller);
    expect(await eventOf(update)).toEqual({
      ...about,
      objectId: null,
      before: { limits: { maxRunning: 3 } },
      after: { limits: { maxRunning: 4 } },
      details: { changed: 1 },
    });
    expect(await eventOf(update)).toMatchObject({ before: {}, after: {}, details: { changed: 0 } });
  });

  it('a queue: made, changed, and found as it should be', async () => {
    const put = (limits: object) =>
      eventOf(() => namespaces().putQueue({ namespace: 'default', name: 'mail', limits }, caller));
    const about = { ...byCaller, objectType: 'queue', objectName: 'mail' };
    expect(await put({})).toMatchObject({ ...about, details: { changed: 1 } });
    expect(await put({})).toMatchObject({ details: { changed: 0 } });
    expect(await put({ maxRunning: 2 })).toMatchObject({
      before: { limits: {} },
      after: { limits: { maxRunning: 2 } },
      details: { changed: 1 },
    });
  });
});

it('has nothing of a command that is refused: the transaction takes its event along', async () => {
  const id = await use.addId();
  await use.trigger(id);
  const events = await eventsOf(async () => {
    await refusalOf(use.desk.update({ job: { id }, changes: {}, etag: '99' }, caller));
    await refusalOf(use.desk.delete({ job: { id } }, 'FAIL_IF_RUNNING', caller));
    await refusalOf(use.desk.pause({ job: { id: -1 } }, { reason: '' }, caller));
    await refusalOf(namespaces().create({ name: 'default', description: '', limits: {} }, caller));
    await refusalOf(namespaces().update('none', { description: '' }, caller));
  });
  expect(events).toEqual([]);
});
