import { afterAll, beforeAll, expect, it } from 'vitest';
import { AuditDesk } from '../../../src/engine/audit/audit-desk.ts';
import { RefusedCalls } from '../../../src/engine/audit/refused-calls.ts';
import type { RefusedCall } from '../../../src/engine/operations.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import type { Database } from '../../../src/store/database.ts';
import { createStore, type Store } from '../../../src/store/store.ts';
import { caller } from '../../support/caller.ts';
import { openDatabase } from '../../support/open-database.ts';
import { useTestDatabase } from '../../support/postgres.ts';

const testDatabase = useTestDatabase();
let database: Database;
let store: Store;

beforeAll(() => {
  database = openDatabase(testDatabase.url, 3);
  store = createStore(database);
});
afterAll(() => database.close());

const refusal = (actor: string, name = 'default/default/a'): RefusedCall => ({
  caller: { ...caller, actor },
  reason: 'JOB_NOT_FOUND',
  namespace: 'default',
  object: { type: 'job', name },
});

/** A recorder over a store whose audit does what the test says. */
function recorder(
  insert: (write: () => Promise<void>) => Promise<void> = (write) => write(),
  maxWaiting?: number,
) {
  const audits: Store['audits'] = Object.create(store.audits);
  audits.insert = (...args) => insert(() => store.audits.insert(...args));
  const refusals = new RefusedCalls({
    store: { ...store, audits },
    clock: systemClock,
    logger: silentLogger,
    maxWaiting,
  });
  const desk = new AuditDesk({ store, refusals });
  const eventsOf = async (actor: string) => (await desk.list({ actor }, { size: 500, token: '' })).events;
  return { refusals, eventsOf };
}

/** An insert that waits until it is let go, then as often as it is tried. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>();
  let tries = 0;
  return {
    insert: async (write: () => Promise<void>) => {
      tries++;
      await promise;
      await write();
    },
    open: resolve,
    tries: () => tries,
  };
}

it('writes a refused call once, and whoever lists events finds its own', async () => {
  const { refusals, eventsOf } = recorder();
  refusals.record(refusal('once'));
  expect(await eventsOf('once')).toMatchObject([
    {
      actor: 'once',
      method: caller.method,
      namespace: 'default',
      objectType: 'job',
      objectName: 'default/default/a',
      peer: caller.peer,
      requestId: caller.requestId,
      outcome: 'JOB_NOT_FOUND',
      before: null,
      after: null,
    },
  ]);
});

it('keeps the order of refusals', async () => {
  const { refusals, eventsOf } = recorder();
  const names = Array.from({ length: 1_200 }, (_, n) => `n${n}`);
  for (const name of names) refusals.record(refusal('ordered', name));
  const events = await eventsOf('ordered');
  expect(events.map(({ objectName }) => objectName)).toEqual(names.toReversed().slice(0, 500));
});

it('tries again while the database is away, and writes each call once', async () => {
  let failures = 0;
  const { refusals, eventsOf } = recorder(async (write) => {
    // What the first tries have written is not known to have been.
    await write();
    if (failures++ < 2) throw Object.assign(new Error('gone'), { code: 'ECONNRESET' });
  });
  refusals.record(refusal('retried'));
  // The first failure lets go of whoever waits.
  await refusals.flush();
  await refusals.stop();
  expect(await eventsOf('retried')).toHaveLength(1);
});

it('does not hold up who lists events while the database takes none', async () => {
  const away = Promise.withResolvers<void>();
  let isAway = true;
  const { refusals, eventsOf } = recorder(async (write) => {
    if (isAway) throw new Error('away');
    await write();
    away.resolve();
  });
  refusals.record(refusal('away'));
  expect(await eventsOf('away')).toEqual([]);
  isAway = false;
  await away.promise;
  expect(await eventsOf('away')).toHaveLength(1);
});

it('holds so many and no more, and says in one event how many are left out', async () => {
  const { insert, open, tries } = gate();
  const { refusals, eventsOf } = recorder(insert, 10);
  for (let n = 0; n < 1_000; n++) refusals.record(refusal('flood'));
  open();
  await refusals.flush();
  refusals.record(refusal('flood'));
  expect(await eventsOf('flood')).toHaveLength(11);
  const left = (await eventsOf('carillon')).filter(({ outcome }) => outcome === 'LEFT_OUT');
  expect(left).toMatchObject([{ namespace: null, details: { refusedCalls: 990 } }]);
  expect(tries()).toBe(2);
});

it('writes twenty calls that are alike, and counts the rest in the event of the last one', async () => {
  const { refusals, eventsOf } = recorder();
  const from = (peer: string, requestId: string): RefusedCall => {
    const call = refusal('alike');
    return { ...call, caller: { ...call.caller, peer, requestId } };
  };
  for (let n = 1; n <= 100; n++) refusals.record(from(`10.0.0.1:${n}`, `r-${n}`));
  refusals.record(from('10.0.0.2:1', 'other'));
  const events = await eventsOf('alike');
  expect(events.map(({ requestId }) => requestId)).toEqual([
    'r-100',
    'other',
    ...Array.from({ length: 20 }, (_, n) => `r-${20 - n}`),
  ]);
  expect(events[0]).toMatchObject({ peer: '10.0.0.1:100', details: { refusedAlikeBefore: 79 } });
  refusals.record(from('10.0.0.1:1', 'later'));
  const [later] = await eventsOf('alike');
  expect(later?.requestId).toBe('later');
  expect(later?.details).not.toHaveProperty('refusedAlikeBefore');
});

it('drops what was noted for the time alone, and counts it nowhere', async () => {
  const { refusals, eventsOf } = recorder(undefined, 3);
  const leftOut = async () =>
    (await eventsOf('carillon')).filter(({ outcome }) => outcome === 'LEFT_OUT').length;
  const leftOutBefore = await leftOut();
  for (let round = 0; round < 3; round++) {
    // As many as may wait: they leave room for others when they are dropped.
    for (const name of ['a', 'b', 'c', 'd'])
      refusals.record({ ...refusal('dropped', name), isDropped: true });
    await refusals.flush();
  }
  refusals.record(refusal('dropped', 'e'));
  refusals.record({ ...refusal('dropped', 'e'), isDropped: true });
  expect((await eventsOf('dropped')).map(({ objectName }) => objectName)).toEqual(['e']);
  expect(await leftOut()).toBe(leftOutBefore);
});

it('writes what waits when it stops', async () => {
  const { refusals, eventsOf } = recorder();
  refusals.record(refusal('stopped'));
  await refusals.stop();
  await refusals.stop();
  expect(await eventsOf('stopped')).toHaveLength(1);
});
