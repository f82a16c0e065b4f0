/** Workers and their streams, over a clock and a store that the test drives. */
import { describe, expect, it } from 'vitest';
import { settle } from '../../platform/manual-clock.ts';
import { deliver, hello, hubOf, report, Stream, succeeded } from './hubs.ts';

describe('places at workers', () => {
  it('are as many as announced, less what runs', async () => {
    const { hub } = hubOf();
    const stream = new Stream();
    const session = await hub.connect(hello('a', { capacity: 2 }), stream);
    expect(hub.placesFor(1, 10)).toEqual(['a', 'a']);
    deliver(hub, 7, 'a');
    expect(hub.placesFor(1, 10)).toEqual(['a']);
    deliver(hub, 8, 'a');
    expect(hub.placesFor(1, 10)).toEqual([]);
    expect([...hub.openQueues]).toEqual([]);
    await settle();
    report(session, succeeded(7));
    expect(hub.placesFor(1, 10)).toEqual(['a']);
  });

  it('go to the workers with the most free capacity, and only to those of the queue', async () => {
    const { hub } = hubOf();
    await hub.connect(hello('small', { capacity: 1 }), new Stream());
    await hub.connect(hello('large', { capacity: 4 }), new Stream());
    await hub.connect(hello('other', { capacity: 9, queues: ['images'] }), new Stream());
    expect(hub.placesFor(1, 3)).toEqual(['large', 'large', 'large']);
    const all = hub.placesFor(1, 10);
    expect(all.filter((id) => id === 'large')).toHaveLength(4);
    expect(all.filter((id) => id === 'small')).toHaveLength(1);
    expect(hub.placesFor(2, 2)).toEqual(['other', 'other']);
  });

  it('are none at a worker that has said goodbye, and none while its stream is broken', async () => {
    const { hub } = hubOf();
    const leaving = await hub.connect(hello('a'), new Stream());
    await leaving.receive({ kind: 'goodbye' });
    expect(hub.placesFor(1, 5)).toEqual([]);
    const broken = await hub.connect(hello('b'), new Stream());
    broken.close();
    expect(hub.placesFor(1, 5)).toEqual([]);
  });
});

it('a worker that cannot be noted gets no places: nobody holds its stream (F6)', async () => {
  const { hub, store } = hubOf();
  store.workers.upsert = () => Promise.reject(new Error('the database is away'));
  const stream = new Stream();
  await expect(hub.connect(hello('a'), stream)).rejects.toThrow('the database is away');
  expect(hub.placesFor(1, 5)).toEqual([]);
  expect(stream.events).toEqual([]);
});

describe('an attempt at a worker', () => {
  it('is assigned together with others, and acknowledged when its end is stored', async () => {
    const { hub } = hubOf();
    const stream = new Stream();
    const session = await hub.connect(hello('a'), stream);
    const runs = [deliver(hub, 7, 'a'), deliver(hub, 8, 'a')];
    await settle();
    expect(stream.events.map((event) => event.kind)).toEqual(['welcome', 'assignments']);
    expect(stream.assigned()).toEqual([7, 8]);
    report(session, succeeded(7), succeeded(8));
    await Promise.all(runs.map((run) => run.ended));
    await settle();
    expect(stream.acknowledged()).toEqual([7, 8]);
    expect(runs[0]!.result()).toMatchObject({ outcome: 'SUCCEEDED' });
  });

  it('keeps its lines in order, and drops those of other attempts', async () => {
    const { hub } = hubOf();
    const session = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a', 2);
    const line = (message: string, attempt = 2) => ({
      executionId: 7,
      attempt,
      line: { level: 'INFO', message } as const,
    });
    await session.receive({ kind: 'logs', entries: [line('one'), line('two')] });
    await session.receive({ kind: 'logs', entries: [line('late', 1)] });
    expect(run.lines).toEqual(['one', 'two']);
  });

  it('has its lines of more than 65,536 bytes cut, and they say so', async () => {
    const { hub } = hubOf();
    const session = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a');
    const line = { level: 'INFO', message: 'x'.repeat(70_000) } as const;
    await session.receive({ kind: 'logs', entries: [{ executionId: 7, attempt: 1, line }] });
    expect(run.lines).toEqual([`${'x'.repeat(65_536)}… (cut, 70000 bytes)`]);
  });

  it('is told of a cancel, and has the grace time to end by itself', async () => {
    const { hub, clock } = hubOf();
    const stream = new Stream();
    const session = await hub.connect(hello('a'), stream);
    const obedient = deliver(hub, 7, 'a');
    const deaf = deliver(hub, 8, 'a');
    obedient.abort('cancel');
    deaf.abort('timeout');
    expect(stream.events.filter((event) => event.kind === 'cancel')).toEqual([
      { kind: 'cancel', attempts: [{ executionId: 7, attempt: 1 }], reason: 'a cancel was asked for' },
      { kind: 'cancel', attempts: [{ executionId: 8, attempt: 1 }], reason: 'the attempt took too long' },
    ]);
    await session.receive({ kind: 'results', results: [{ ...succeeded(7), state: 'CANCELED' }] });
    await obedient.ended;
    expect(deaf.result()).toBeUndefined();
    await clock.advance(3_000);
    expect(deaf.result()).toMatchObject({ reason: 'WORKER_LOST' });
  });

  it('whose result comes too late is refused by its number, acknowledged, and changes nothing', async () => {
    const { hub } = hubOf();
    const stream = new Stream();
    const session = await hub.connect(hello('a'), stream);
    const run = deliver(hub, 7, 'a', 2);
    report(session, succeeded(7, 1), succeeded(9));
    await settle();
    expect(run.result()).toBeUndefined();
    expect(stream.acknowledged()).toEqual([7, 9]);
  });
});

describe('a worker whose stream breaks', () => {
  it('keeps what it names when it comes back in time, and reports it on the new stream', async () => {
    const { hub, clock } = hubOf();
    const first = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a');
    await settle();
    first.close();
    await clock.advance(4_999);
    const stream = new Stream();
    const session = await hub.connect(hello('a', { running: [{ executionId: 7, attempt: 1 }] }), stream);
    await clock.advance(5_000);
    expect(run.result()).toBeUndefined();
    expect(stream.assigned()).toEqual([]);
    report(session, succeeded(7));
    await run.ended;
    await settle();
    expect(stream.acknowledged()).toEqual([7]);
  });

  it('loses what it does not name: one attempt number is never sent twice (I11)', async () => {
    const { hub } = hubOf();
    const first = await hub.connect(hello('a'), new Stream());
    const run = deliver(hub, 7, 'a');
    await settle();
    first.close();
    const stream = new Stream();
    await hub.connect(hello('a'), stream);
    await run.ended;
    expect(run.result()).toMatchObject({ outcome: 'FAILED', reason: 'WORKER_LOST', retryable: true });
    await settle();
    expect(stream.assigned()).toEqual([]);
  });

  it('is assigned on the new stream what came while there was none', async () => {
    const { hub } = hubOf();
    (await hub.connect(hello('a'), new Stream())).close();
    const run = deliver(hub, 7, 'a');
    await settle();
    const stream = new Stream();
    await hub.connect(hello('a'), stream);
    await settle();
    expect(stream.assigned()).toEqual([7]);
    expect(run.result()).toBeUndefined();
  });

  it('is given up past the grace time, with all that it held', async () => {
    const { hub, clock, removed } = hubOf();
    const session = await hub.connect(hello('a'), new Stream());
    const runs = [deliver(hub, 7, 'a'), deliver(hub, 8, 'a')];
    session.close();
    await clock.advance(5_000);
    await Promise.all(runs.map((run) => run.ended));
    expect(runs.map((run) => run.result()?.reason)).toEqual(['WORKER_LOST', 'WORKER_LOST']);
    expect(removed).toEqual(['a']);
  });

  it('takes what another instance held along, and is told what is not its own any more', async () => {
    const { hub, told } = hubOf([7]);
    const stream = new Stream();
    const running = [
      { executionId: 7, attempt: 2 },
      { executionId: 8, attempt: 1 },
    ];
    const session = await hub.connect(hello('a', { running }), stream);
    expect(stream.events[0]).toMatchObject({ kind: 'welcome', rejected: [{ executionId: 8, attempt: 1 }] });
    expect(told.adopted).toBe(1);
    expect(hub.placesFor(1, 9)).toHaveLength(2);
    const run = deliver(hub, 7, 'a', 2);
    await settle();
    expect(stream.assigned()).toEqual([]);
    report(session, succeeded(7, 2));
    await run.ended;
    expect(run.result()).toMatchObject({ outcome: 'SUCCEEDED' });
  });

  it('loses nothing of what it says before an attempt that was taken over is handed over (I17)', async () => {
    const { hub } = hubOf([7]);
    const stream = new Stream();
    const session = await hub.connect(hello('a', { running: [{ executionId: 7, attempt: 1 }] }), stream);
    const line = { level: 'INFO', message: 'early' } as const;
    await session.receive({ kind: 'logs', entries: [{ executionId: 7, attempt: 1, line }] });
    report(session, succeeded(7));
    await settle();
    expect(stream.acknowledged()).toEqual([]);
    const run = deliver(hub, 7, 'a');
    await run.ended;
    await settle();
    expect(run.result()).toMatchObject({ outcome: 'SUCCEEDED' });
    expect(run.lines).toEqual(['early']);
    expect(stream.acknowledged()).toEqual([7]);
  });

  it('has its older stream ended when a newer one comes, and the end of the older one means nothing', async () => {
    const { hub, clock } = hubOf();
    const old = new Stream();
    const first = await hub.connect(hello('a'), old);
    const run = deliver(hub, 7, 'a');
    await hub.connect(hello('a', { running: [{ executionId: 7, attempt: 1 }] }), new Stream());
    expect(old.failure).toMatchObject({ reason: 'CONCURRENT_CHANGE' });
    first.close();
    await clock.advance(10_000);
    expect(run.result()).toBeUndefined();
  });
});

it('ends the stream of a worker that says nothing for three heartbeats', async () => {
  const { hub, clock } = hubOf();
  const silent = new Stream();
  const alive = new Stream();
  await hub.start();
  await hub.connect(hello('silent'), silent);
  const session = await hub.connect(hello('alive'), alive);
  for (let n = 0; n < 4; n++) {
    await clock.advance(1_000);
    await session.receive({ kind: 'heartbeat' });
  }
  expect(silent.failure).toBeDefined();
  expect(alive.failure).toBeUndefined();
  await hub.stop();
  expect(alive.events.at(-1)).toEqual({ kind: 'drain' });
});
