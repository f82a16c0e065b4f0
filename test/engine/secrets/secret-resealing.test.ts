/** Secrets that change over to another key in the background, on a real database. */
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { SecretBox } from '../../../src/engine/secrets/secret-box.ts';
import { SecretDesk } from '../../../src/engine/secrets/secret-desk.ts';
import { SecretResealing } from '../../../src/engine/secrets/secret-resealing.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createLogger } from '../../../src/platform/logger.ts';
import type { SecretStore } from '../../../src/store/secret-store.ts';
import { ManualClock } from '../../platform/manual-clock.ts';
import { caller, hour, useJobDesk } from '../job-desk.ts';

const jobs = useJobDesk();
const [oldKey, newKey, lostKey] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte)) as [Buffer, Buffer, Buffer];
const idsOf = (...keys: Buffer[]): readonly string[] => new SecretBox(keys).keyIds;

type Line = { readonly level: string; readonly msg: string } & Readonly<Record<string, unknown>>;

/** The secrets of the tests before are gone, and so are the instances. */
beforeEach(async () => {
  await jobs.rows('delete from carillon.secret');
  await jobs.rows(`delete from carillon.instance where name <> 'test'`);
  await jobs.rows(`update carillon.instance set secret_keys = '{}'`);
});

/** An instance with these keys that leads; `secrets` stands in for parts of its store. */
function leader(keys: readonly Buffer[], secrets: Partial<SecretStore> = {}, batchSize?: number) {
  const { store } = jobs;
  const lines: Line[] = [];
  const clock = new ManualClock();
  let term: number | undefined = 1;
  const resealing = new SecretResealing({
    store: { ...store, secrets: Object.assign(Object.create(store.secrets), secrets) },
    box: new SecretBox(keys),
    clock,
    logger: createLogger({
      level: 'info',
      destination: { write: (line) => void lines.push(JSON.parse(line)) },
    }),
    leadership: () => (term === undefined ? undefined : { term }),
    intervalMs: 1_000,
    batchSize,
  });
  return {
    resealing,
    clock,
    lines,
    tick: () => resealing.tick(),
    lead: (next: number | undefined) => {
      term = next;
    },
  };
}

/** Puts secrets as an instance with these keys does. */
async function put(keys: readonly Buffer[], values: Readonly<Record<string, string>>): Promise<void> {
  const desk = new SecretDesk({
    store: jobs.store,
    box: new SecretBox(keys),
    clock: systemClock,
    onChange: () => undefined,
  });
  for (const [name, value] of Object.entries(values)) {
    await desk.put({ namespace: 'default', name, kind: 'TEXT', value }, caller);
  }
}

/** What an instance with these keys opens; undefined where none of them fits. */
async function opened(...keys: Buffer[]): Promise<Record<string, string | undefined>> {
  const box = new SecretBox(keys);
  const rows = await jobs.rows<{ namespace: string; name: string; value: Buffer }>(
    'select namespace, name, value from carillon.secret order by id',
  );
  return Object.fromEntries(rows.map((row) => [row.name, box.open(row, row.value)?.toString()]));
}

const many = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`secret ${i}`, `value ${i}`]));

/** Another instance that lives. */
const join = (name: string, secretKeys?: readonly string[]): Promise<number> =>
  jobs.store.instances.register(jobs.store.db, { name, roles: '', version: '0', secretKeys }, hour);

describe('secrets under an older key', () => {
  it('are sealed anew under the first, so that the older one can go', async () => {
    await put([oldKey], many(5));
    const times = 'select id, created_at, updated_at, previous_until from carillon.secret order by id';
    const before = await jobs.rows(times);
    const { tick, lines } = leader([newKey, oldKey], {}, 2);
    await tick();
    expect(await opened(newKey)).toEqual(many(5));
    expect(await jobs.rows(times)).toEqual(before);
    expect(lines).toMatchObject([
      {
        level: 'info',
        sealed: 5,
        left: { key2: 0 },
        unopened: 0,
        msg: 'secrets sealed anew under the first key',
      },
    ]);
  });

  it('are sealed anew with the value before, while that signs', async () => {
    const box = new SecretBox([oldKey]);
    const desk = new SecretDesk({ store: jobs.store, box, clock: systemClock, onChange: () => undefined });
    const value = (byte: number): string => Buffer.alloc(24, byte).toString('base64');
    for (const name of ['signs', 'over']) {
      for (const byte of [1, 2]) await desk.put({ namespace: 'default', name, value: value(byte) }, caller);
    }
    await jobs.rows(`update carillon.secret set previous_until = now() where name = 'over'`);
    await leader([newKey, oldKey]).tick();
    const rows = await jobs.rows<{ namespace: string; name: string; value: Buffer; before: Buffer | null }>(
      'select namespace, name, value, previous_value as before from carillon.secret order by id',
    );
    const renewed = new SecretBox([newKey]);
    expect(rows.map((row) => renewed.open(row, row.value))).toEqual([
      Buffer.alloc(24, 2),
      Buffer.alloc(24, 2),
    ]);
    expect(rows.map((row) => row.before && renewed.open(row, row.before))).toEqual([
      Buffer.alloc(24, 1),
      null,
    ]);
  });

  it('are looked for in each term, every ten minutes while there are several keys, and by a leader only', async () => {
    const { tick, lead, clock } = leader([newKey, oldKey]);
    lead(undefined);
    await put([oldKey], { a: '1' });
    await tick();
    expect(await opened(newKey)).toEqual({ a: undefined });
    lead(1);
    await tick();
    expect(await opened(newKey)).toEqual({ a: '1' });
    await put([oldKey], { b: '2' });
    await clock.advance(599_999);
    await tick();
    expect(await opened(newKey)).toEqual({ a: '1', b: undefined });
    await clock.advance(1);
    await tick();
    expect(await opened(newKey)).toEqual({ a: '1', b: '2' });
    await put([oldKey], { c: '3' });
    lead(2);
    await tick();
    expect(await opened(newKey)).toEqual({ a: '1', b: '2', c: '3' });
  });

  it('are sealed anew once by two instances that both think they lead', async () => {
    await put([oldKey], many(60));
    const leaders = [leader([newKey, oldKey], {}, 7), leader([newKey, oldKey], {}, 7)];
    for (let n = 0; n < 3; n++) await Promise.all(leaders.map(({ tick }) => tick()));
    expect(await opened(newKey)).toEqual(many(60));
    const revisions = await jobs.rows('select distinct revision from carillon.secret');
    expect(revisions).toEqual([{ revision: 2 }]);
    const sealed = leaders.flatMap(({ lines }) => lines.map((line) => Number(line.sealed)));
    expect(sealed.reduce((sum, each) => sum + each, 0)).toBe(60);
  });

  it('that were not reached when the leader was killed are sealed anew by the next', async () => {
    await put([oldKey], many(6));
    let batches = 0;
    const killed = leader(
      [newKey, oldKey],
      {
        reseal: (db, resealed) => {
          if (++batches > 1) throw new Error('killed');
          return jobs.store.secrets.reseal(db, resealed);
        },
      },
      2,
    );
    await expect(killed.tick()).rejects.toThrow('killed');
    expect(Object.values(await opened(newKey)).filter((value) => value !== undefined)).toHaveLength(2);
    expect(await opened(newKey, oldKey)).toEqual(many(6));
    const next = leader([newKey, oldKey]);
    await next.tick();
    expect(await opened(newKey)).toEqual(many(6));
    expect(next.lines).toMatchObject([{ sealed: 4, left: { key2: 0 } }]);
  });

  it('that are put anew meanwhile keep the value that was put', async () => {
    await put([oldKey], { a: 'before', b: 'other' });
    const { tick, lines } = leader([newKey, oldKey], {
      reseal: async (db, resealed) => {
        if (resealed.length === 2) await put([oldKey], { a: 'after' });
        return jobs.store.secrets.reseal(db, resealed);
      },
    });
    await tick();
    expect(await opened(newKey)).toEqual({ a: undefined, b: 'other' });
    expect(await opened(oldKey)).toEqual({ a: 'after', b: undefined });
    await tick();
    expect(await opened(newKey)).toEqual({ a: 'after', b: 'other' });
    expect(lines).toMatchObject([
      { sealed: 1, left: { key2: 1 } },
      { sealed: 1, left: { key2: 0 } },
    ]);
  });

  it('that somebody has locked are not waited for, and told of once until they are free', async () => {
    await put([oldKey], { a: '1', b: '2' });
    const { tick, lines } = leader([newKey, oldKey]);
    await jobs.store.transaction(async (tx) => {
      await jobs.store.secrets.lock(tx, 'default', 'a');
      for (let n = 0; n < 3; n++) await tick();
    });
    expect(await opened(newKey)).toEqual({ a: undefined, b: '2' });
    expect(lines).toMatchObject([{ sealed: 1, left: { key2: 1 } }]);
    await tick();
    expect(await opened(newKey)).toEqual({ a: '1', b: '2' });
    expect(lines.at(-1)).toMatchObject({ sealed: 1, left: { key2: 0 } });
  });
});

describe('a secret that no key opens', () => {
  it('is left alone and told once, and keeps no other from being sealed anew', async () => {
    await put([lostKey], { lost: 'value' });
    await put([oldKey], { a: '1' });
    const { tick, lines, lead } = leader([newKey, oldKey]);
    await tick();
    lead(2);
    await tick();
    expect(await opened(newKey)).toEqual({ lost: undefined, a: '1' });
    expect(await opened(lostKey)).toEqual({ lost: 'value', a: undefined });
    expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
      { secrets: ['default/lost'], count: 1, msg: 'no key of CARILLON_SECRET_KEY opens these secrets' },
    ]);
    expect(lines.filter(({ level }) => level === 'info')).toMatchObject([
      { sealed: 1, unopened: 1 },
      { sealed: 0, unopened: 1 },
    ]);
  });

  it('is told where there is one key only, too', async () => {
    await put([lostKey], { lost: 'value' });
    const { tick, lines, clock } = leader([newKey]);
    for (let n = 0; n < 3; n++) {
      await tick();
      await clock.advance(3_600_000);
    }
    expect(lines).toMatchObject([{ level: 'warn', secrets: ['default/lost'] }]);
  });
});

describe('an instance that has not the first key', () => {
  it.each<[string, readonly string[] | undefined]>([
    ['has another one only', idsOf(oldKey)],
    ['is of a build that does not say', undefined],
  ])('and %s keeps its secrets until it is gone, and is told once', async (_, secretKeys) => {
    await put([oldKey], many(3));
    const id = await join('older', secretKeys);
    const { tick, lines, clock } = leader([newKey, oldKey]);
    for (let n = 0; n < 3; n++) {
      await tick();
      await clock.advance(5_000);
    }
    expect(await opened(oldKey)).toEqual(many(3));
    expect(lines).toMatchObject([
      {
        level: 'warn',
        instances: ['older'],
        msg: 'secrets not sealed anew: an instance has not the first key of CARILLON_SECRET_KEY',
      },
    ]);
    await jobs.rows(
      `update carillon.instance set lease_expires_at = now() - interval '1 second' where id = $1`,
      [id],
    );
    await tick();
    expect(await opened(newKey)).toEqual(many(3));
  });

  it('costs no more than a look at who lives every five seconds: no secret is read, and none was sealed', async () => {
    await put([oldKey], many(60));
    const id = await join('older', idsOf(oldKey));
    let reads = 0;
    const listStored: SecretStore['listStored'] = (...args) => {
      reads++;
      return jobs.store.secrets.listStored(...args);
    };
    const seal = vi.spyOn(SecretBox.prototype, 'seal');
    onTestFinished(() => seal.mockRestore());
    const { tick, clock } = leader([newKey, oldKey], { listStored });
    for (let n = 0; n < 10; n++) {
      await tick();
      await clock.advance(1_000);
    }
    expect([reads, seal.mock.calls.length]).toEqual([1, 0]);
    await jobs.rows('delete from carillon.instance where id = $1', [id]);
    await tick();
    expect(await opened(newKey)).toEqual(many(60));
  });

  it('holds nothing up when it has no key at all, or the first one in another place', async () => {
    await put([oldKey], many(3));
    await join('none', []);
    await join('not restarted yet', idsOf(oldKey, newKey));
    await leader([newKey, oldKey]).tick();
    expect(await opened(newKey)).toEqual(many(3));
  });
});

it('changes keys over without a moment in which an instance cannot open a secret', async () => {
  const stages: readonly (readonly Buffer[])[] = [[oldKey], [oldKey, newKey], [newKey, oldKey], [newKey]];
  const instances: { keys: readonly Buffer[]; id: number }[] = [];
  const start = async (keys: readonly Buffer[]) => ({ keys, id: await join('one', idsOf(...keys)) });
  for (let n = 0; n < 3; n++) instances.push(await start([oldKey]));
  await put([oldKey], many(4));
  let term = 0;
  const passOfEach = async (): Promise<void> => {
    for (const { keys } of instances) {
      const { tick, lead } = leader(keys);
      lead(++term);
      await tick();
      for (const other of instances) expect(await opened(...other.keys)).toMatchObject(many(4));
    }
  };
  for (const keys of stages.slice(1)) {
    for (let n = 0; n < instances.length; n++) {
      // Whoever leads meanwhile, and whoever puts a secret.
      await passOfEach();
      await put(instances[n]!.keys, { 'secret 0': 'value 0', [`put ${n}`]: 'x' });
      await jobs.rows('delete from carillon.instance where id = $1', [instances[n]!.id]);
      instances[n] = await start(keys);
    }
    // The last one that is restarted leaves a leader behind that goes over all of them.
    const { tick } = leader(keys);
    await tick();
  }
  expect(await opened(newKey)).toMatchObject(many(4));
});
