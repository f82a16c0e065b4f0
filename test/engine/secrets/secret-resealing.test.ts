/** Secrets that are sealed anew in the background, on a real database. */
import { describe, expect, it } from 'vitest';
import { SecretBox } from '../../../src/engine/secrets/secret-box.ts';
import { SecretDesk } from '../../../src/engine/secrets/secret-desk.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { caller } from '../job-desk.ts';
import { lostKey, many, newKey, oldKey, useSealedSecrets } from './sealed-secrets.ts';

const { jobs, leader, put, opened } = useSealedSecrets();

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
