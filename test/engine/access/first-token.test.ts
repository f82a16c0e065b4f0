import { afterAll, beforeAll, expect, it } from 'vitest';
import { createAdminToken } from '../../../src/engine/access/first-token.ts';
import { hashOfToken } from '../../../src/engine/access/token-text.ts';
import type { Database } from '../../../src/store/database.ts';
import { createStore, type Store } from '../../../src/store/store.ts';
import { openDatabase } from '../../support/open-database.ts';
import { useTestDatabase } from '../../support/postgres.ts';

const testDatabase = useTestDatabase();
let database: Database;
let store: Store;

beforeAll(() => {
  database = openDatabase(testDatabase.url, 8);
  store = createStore(database);
});

afterAll(() => database.close());

it('is made once by instances that start at one moment, and never again, also when it was revoked', async () => {
  const first = (): Promise<string | undefined> =>
    createAdminToken(store, { name: 'first', onlyFirst: true });
  const texts = (await Promise.all(Array.from({ length: 8 }, first))).filter((text) => text !== undefined);
  expect(texts).toHaveLength(1);
  const token = await store.tokens.findStanding(store.db, { hash: hashOfToken(texts[0]!) });
  expect(token?.grants).toEqual([{ namespace: '*', role: 'ADMIN' }]);
  await store.transaction((tx) => store.tokens.revoke(tx, token!.id));
  expect(await first()).toBeUndefined();
});

it('of whoever has the database is made whenever it is asked for', async () => {
  const text = await createAdminToken(store, { name: 'rescue', onlyFirst: false });
  expect(await store.tokens.findStanding(store.db, { hash: hashOfToken(text!) })).toMatchObject({
    name: 'rescue',
  });
});
