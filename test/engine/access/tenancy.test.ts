import { describe, expect, it } from 'vitest';
import { Access } from '../../../src/domain/access.ts';
import { Tenancy } from '../../../src/engine/access/tenancy.ts';
import type { Caller } from '../../../src/engine/operations.ts';

type TenancyStore = ConstructorParameters<typeof Tenancy>[0];

/** An editor of the namespaces a, b and c, who may not do it everywhere: then there would be nothing to look up. */
const caller: Caller = {
  actor: 'somebody',
  access: new Access(['a', 'b', 'c'].map((namespace) => ({ namespace, role: 'EDITOR' }))),
  requestId: '1',
  method: 'carillon.v1.JobService/Get',
  permission: 'VIEW',
  peer: '192.0.2.1:1000',
};

/** A tenancy that remembers two of each; notes what was looked up. Every job is in the namespace a. */
function tenancyOfTwo() {
  const looks: unknown[] = [];
  const store = {
    db: {},
    tenancy: {
      ofJobs: async (_: unknown, ids: readonly number[]) => {
        looks.push(ids);
        return new Map(ids.map((id) => [id, 'a']));
      },
    },
    namespaces: {
      find: async (_: unknown, name: string) => {
        looks.push(name);
        return { name };
      },
    },
  };
  return { looks, tenancy: new Tenancy(store as unknown as TenancyStore, 2) };
}

describe('what is in which namespace', () => {
  it('is looked up once, and again when newer jobs have pushed it out', async () => {
    const { looks, tenancy } = tenancyOfTwo();
    for (const id of [1, 2, 1, 3, 2, 1]) await tenancy.admitJob({ id }, caller);
    expect(looks).toEqual([[1], [2], [3], [1]]);
  });

  it('is remembered of as many namespaces, however many there are', async () => {
    const { looks, tenancy } = tenancyOfTwo();
    for (const name of ['a', 'b', 'a', 'c', 'b', 'a']) await tenancy.admitNamespace(name, caller);
    expect(looks).toEqual(['a', 'b', 'c', 'a']);
  });
});
