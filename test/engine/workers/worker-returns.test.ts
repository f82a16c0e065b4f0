/** Workers that come back, here or after another instance, while what they ran goes its way. */
import { describe, expect, it } from 'vitest';
import { settle } from '../../platform/manual-clock.ts';
import { deliver, hello, hubOf, report, Stream, succeeded } from './hubs.ts';

const ref = (executionId: number, attempt = 1) => ({ executionId, attempt });

/** The attempts that a stream was told to stop. */
const canceled = (stream: Stream): number[] =>
  stream.events.flatMap((event) =>
    event.kind === 'cancel' ? event.attempts.map(({ executionId }) => executionId) : [],
  );

describe('the grace time', () => {
  it('counts from the last break', async () => {
    const { hub, clock } = hubOf();
    const first = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a');
    await settle();
    first.close();
    await clock.advance(4_000);
    const second = await hub.connect(hello('a', { running: [ref(7)] }), new Stream());
    second.close();
    // The grace time of the first break would be over by now.
    await clock.advance(4_000);
    expect(run.result()).toBeUndefined();
    await clock.advance(1_000);
    expect(run.result()).toMatchObject({ reason: 'WORKER_LOST' });
  });

  it('does not end while the worker is at the door', async () => {
    const { hub, clock, store } = hubOf();
    const first = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a');
    await settle();
    first.close();
    const door = Promise.withResolvers<void>();
    const upsert = store.workers.upsert;
    store.workers.upsert = () => door.promise;
    const arrival = hub.connect(hello('a', { running: [ref(7)] }), new Stream());
    await clock.advance(6_000);
    expect(run.result()).toBeUndefined();
    store.workers.upsert = upsert;
    door.resolve();
    report(await arrival, succeeded(7));
    await run.ended;
    expect(run.result()).toMatchObject({ outcome: 'SUCCEEDED' });
  });

  it('that ends while the worker is at the door in vain gives it up', async () => {
    const { hub, clock, store } = hubOf();
    const first = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a');
    await settle();
    first.close();
    const door = Promise.withResolvers<void>();
    store.workers.upsert = () => door.promise;
    const arrival = hub.connect(hello('a', { running: [ref(7)] }), new Stream());
    await clock.advance(6_000);
    door.reject(new Error('the database is away'));
    await expect(arrival).rejects.toThrow('the database is away');
    await run.ended;
    expect(run.result()).toMatchObject({ reason: 'WORKER_LOST' });
  });
});

describe('an end that is on its way to the database', () => {
  it('of the worker’s own word is acknowledged when it is stored, each time that it was said', async () => {
    const { hub } = hubOf([7]);
    const first = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a', 1, { isSlow: true });
    await settle();
    report(first, succeeded(7), succeeded(7));
    first.close();
    const stream = new Stream();
    const second = await hub.connect(hello('a', { running: [ref(7)] }), stream);
    expect(stream.events[0]).toMatchObject({ kind: 'welcome', rejected: [] });
    report(second, succeeded(7));
    await settle();
    expect(stream.acknowledged()).toEqual([]);
    run.store();
    await settle();
    expect(new Set(stream.acknowledged())).toEqual(new Set([7]));
    // The database still said that it was the worker's: it takes no place.
    expect(hub.placesFor(1, 9)).toHaveLength(3);
  });

  it('of an attempt that was given up rejects it', async () => {
    const { hub, clock, told } = hubOf([7]);
    const first = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a', 1, { isSlow: true });
    await settle();
    first.close();
    await clock.advance(5_000);
    expect(run.result()).toMatchObject({ reason: 'WORKER_LOST' });
    const stream = new Stream();
    await hub.connect(hello('a', { running: [ref(7)] }), stream);
    expect(stream.events[0]).toMatchObject({ kind: 'welcome', rejected: [ref(7)] });
    expect(told.adopted).toBe(0);
    expect(hub.placesFor(1, 9)).toHaveLength(3);
  });
});

describe('a cancel', () => {
  it('that was asked for while there was no stream is told on the next one', async () => {
    const { hub } = hubOf();
    const first = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a');
    await settle();
    first.close();
    run.abort('cancel');
    const stream = new Stream();
    const second = await hub.connect(hello('a', { running: [ref(7)] }), stream);
    expect(stream.events.map(({ kind }) => kind)).toEqual(['welcome', 'cancel']);
    report(second, succeeded(7));
    await run.ended;
    expect(run.result()).toMatchObject({ outcome: 'SUCCEEDED' });
  });

  it('of what was not sent yet ends it, and it is not sent', async () => {
    const { hub } = hubOf();
    (await hub.connect(hello('a'), new Stream())).close();
    const run = deliver(hub, 7, 'a');
    run.abort('cancel');
    await run.ended;
    const stream = new Stream();
    await hub.connect(hello('a'), stream);
    await settle();
    expect(stream.assigned()).toEqual([]);
  });

  it('of what was taken over reaches the worker that runs it, and begins nothing elsewhere', async () => {
    const { hub } = hubOf([7]);
    const stream = new Stream();
    await hub.connect(hello('a', { running: [ref(7)] }), stream);
    const options = { isReserved: false, cause: 'cancel' } as const;
    const adopted = deliver(hub, 7, 'a', 1, options);
    const unknown = deliver(hub, 8, 'a', 1, options);
    await unknown.ended;
    expect(canceled(stream)).toEqual([7]);
    expect(stream.assigned()).toEqual([]);
    expect(adopted.result()).toBeUndefined();
  });
});

describe('what another instance held', () => {
  it('waits for its worker when the dispatcher finds it first', async () => {
    const { hub, store } = hubOf([7]);
    const door = Promise.withResolvers<number[]>();
    store.attempts.adopt = () => door.promise;
    const stream = new Stream();
    const arrival = hub.connect(hello('a', { running: [ref(7)] }), stream);
    await settle();
    const run = deliver(hub, 7, 'a', 1, { isReserved: false });
    await settle();
    expect(run.result()).toBeUndefined();
    door.resolve([7]);
    report(await arrival, succeeded(7));
    await run.ended;
    expect(run.result()).toMatchObject({ outcome: 'SUCCEEDED' });
    expect(stream.assigned()).toEqual([]);
  });

  it('is not sent a second time when the worker has forgotten it before it is handed over (I11)', async () => {
    const { hub, clock } = hubOf([7]);
    const first = await hub.connect(hello('a', { running: [ref(7)] }), new Stream());
    first.close();
    await clock.advance(5_000);
    const stream = new Stream();
    await hub.connect(hello('a'), stream);
    const run = deliver(hub, 7, 'a', 1, { isReserved: false });
    await run.ended;
    await settle();
    expect(run.result()).toMatchObject({ reason: 'WORKER_LOST' });
    expect(stream.assigned()).toEqual([]);
    expect(hub.placesFor(1, 9)).toHaveLength(3);
  });

  it('comes back from there: what is left of it here is dropped before it is taken over', async () => {
    const { hub, store, told } = hubOf([7], [7]);
    const first = await hub.connect(hello('a'), new Stream());
    const left = deliver(hub, 7, 'a', 1, { isSlow: true });
    await settle();
    first.close();
    const asked: string[] = [];
    const adopt = store.attempts.adopt.bind(store.attempts);
    store.attempts.adopt = (...args) => {
      asked.push(left.result()?.reason ?? 'runs');
      return adopt(...args);
    };
    const stream = new Stream();
    const arrival = hub.connect(hello('a', { running: [ref(7)] }), stream);
    await settle();
    // Its end is refused while the other instance holds it: only then may it be taken over.
    expect([left.result()?.reason, asked]).toEqual(['WORKER_LOST', []]);
    left.store();
    const second = await arrival;
    expect(asked).toEqual(['WORKER_LOST']);
    expect(told.adopted).toBe(1);
    const run = deliver(hub, 7, 'a', 1, { isReserved: false });
    report(second, succeeded(7));
    await run.ended;
    expect(run.result()).toMatchObject({ outcome: 'SUCCEEDED' });
    expect(stream.assigned()).toEqual([]);
  });
});

it('a worker is sent no more than it has places, whatever was claimed for them; the rest waits', async () => {
  const { hub } = hubOf([1, 2]);
  const first = await hub.connect(hello('a', { capacity: 2 }), new Stream());
  first.close();
  const runs = [7, 8].map((id) => deliver(hub, id, 'a'));
  const stream = new Stream();
  // It comes back from another instance, with as much as it can run.
  const session = await hub.connect(hello('a', { capacity: 2, running: [ref(1), ref(2)] }), stream);
  const adopted = [1, 2].map((id) => deliver(hub, id, 'a', 1, { isReserved: false }));
  await settle();
  expect(stream.assigned()).toEqual([]);
  report(session, succeeded(1));
  await adopted[0]!.ended;
  await settle();
  expect(stream.assigned()).toEqual([7]);
  report(session, succeeded(2), succeeded(7));
  await runs[0]!.ended;
  await settle();
  expect(stream.assigned()).toEqual([7, 8]);
});

it('a worker whose attempts were given to others says anew what it runs', async () => {
  const { hub } = hubOf();
  const stream = new Stream();
  await hub.connect(hello('a'), stream);
  const run = deliver(hub, 7, 'a');
  run.abort('lost');
  await run.ended;
  expect(stream.failure).toMatchObject({ reason: 'UNAVAILABLE' });
});

it('a worker whose lines wait to be stored is not silent', async () => {
  const { hub, clock } = hubOf();
  const stream = new Stream();
  await hub.start();
  const session = await hub.connect(hello('a'), stream);
  const stored = Promise.withResolvers<void>();
  const run = deliver(hub, 7, 'a', 1, { stored: stored.promise });
  const line = { level: 'INFO', message: 'one' } as const;
  void session.receive({ kind: 'logs', entries: [{ ...ref(7), line }] });
  await clock.advance(10_000);
  expect(stream.failure).toBeUndefined();
  stored.resolve();
  await settle();
  for (let n = 0; n < 4; n++) await clock.advance(1_000);
  expect(stream.failure).toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  expect(run.lines).toEqual(['one']);
  await hub.stop();
});
