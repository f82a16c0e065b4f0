/** Instances that have not all keys while secrets change over to another one, on a real database. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SecretBox } from '../../../src/engine/secrets/secret-box.ts';
import type { SecretStore } from '../../../src/store/secret-store.ts';
import { idsOf, many, newKey, oldKey, useSealedSecrets } from './sealed-secrets.ts';

const { jobs, leader, put, opened, join } = useSealedSecrets();

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
