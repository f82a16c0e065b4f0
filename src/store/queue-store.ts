import { type Db, run } from './database.ts';

/** Queues: names in a namespace, as numbers. They are made when first named and stay. */
export class PgQueueStore {
  /** The ids of queues, made where they do not exist, in the order of the names. */
  async ensure(db: Db, namespace: string, names: readonly string[]): Promise<readonly number[]> {
    const find = (): Promise<{ name: string; id: number }[]> =>
      run(db, 'select name, id from carillon.queue where namespace = $1 and name = any ($2::text[])', [
        namespace,
        names,
      ]);
    let found = await find();
    if (found.length < new Set(names).size) {
      // In the order of names, so that two who make the same ones wait in one order.
      await run(
        db,
        `with made as (insert into carillon.namespace (name) values ($1) on conflict (name) do nothing)
         insert into carillon.queue (namespace, name) select $1, n from unnest($2::text[]) as n order by n
         on conflict (namespace, name) do nothing`,
        [namespace, names],
      );
      found = await find();
    }
    const ids = new Map(found.map(({ name, id }) => [name, id]));
    return names.map((name) => ids.get(name)!);
  }
}

/** Queues as the engine sees them. */
export type QueueStore = Pick<PgQueueStore, keyof PgQueueStore>;
