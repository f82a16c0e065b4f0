import { type Db, numberArray, run, type Tx } from './database.ts';

/** A Carillon process that is up, or was until a moment ago. */
export type InstanceRow = {
  readonly id: number;
  readonly name: string;
  readonly version: string;
  readonly startedAt: Date;
  readonly seenAt: Date;
};

/**
 * The processes on this database. Each renews a lease by the database's clock;
 * attempts belong to an instance and live as long as its lease, so that nobody
 * writes per attempt to keep it.
 */
export class PgInstanceStore {
  async register(
    db: Db,
    instance: {
      readonly name: string;
      readonly roles: string;
      readonly version: string;
      /** Which keys of secrets it has, the first one first; absent: it does not say. */
      readonly secretKeys?: readonly string[];
    },
    ttlMs: number,
  ): Promise<number> {
    const rows = await run<{ id: number }>(
      db,
      `insert into carillon.instance (name, roles, version, lease_expires_at, secret_keys)
       values ($1, $2, $3, clock_timestamp() + $4 * interval '1 millisecond', $5) returning id`,
      [instance.name, instance.roles, instance.version, ttlMs, instance.secretKeys ?? null],
    );
    return rows[0]!.id;
  }

  /**
   * Renews an instance's lease. False when its row is gone: its attempts were
   * given to others and it must register anew. An expired lease whose attempts
   * nobody took is revived.
   */
  async renew(db: Db, id: number, ttlMs: number): Promise<boolean> {
    const rows = await run(
      db,
      `/* renew_instance */
       update carillon.instance
          set seen_at = clock_timestamp(), lease_expires_at = clock_timestamp() + $2 * interval '1 millisecond'
        where id = $1 returning id`,
      [id, ttlMs],
    );
    return rows.length > 0;
  }

  /** The instances whose lease has expired. */
  async listExpired(db: Db): Promise<readonly number[]> {
    const rows = await run<{ id: number }>(
      db,
      `/* expired_instances */ select id from carillon.instance where lease_expires_at < clock_timestamp()`,
    );
    return rows.map((row) => row.id);
  }

  /**
   * The names of the instances that live and could not open what is sealed
   * under a key: they have others, or do not say. One without any opens nothing.
   */
  async listWithoutSecretKey(db: Db, key: string): Promise<readonly string[]> {
    const rows = await run<{ name: string }>(
      db,
      `/* instances_without_secret_key */
       select name from carillon.instance
        where lease_expires_at > clock_timestamp()
          and not coalesce(secret_keys = '{}' or secret_keys @> array[$1::text], false)
        order by id`,
      [key],
    );
    return rows.map((row) => row.name);
  }

  /** Locks those of these instances whose lease has expired, so that none comes back until the transaction ends. */
  async lockExpired(tx: Tx, ids: readonly number[]): Promise<readonly number[]> {
    const rows = await run<{ id: number }>(
      tx,
      `select id from carillon.instance
        where id = any ($1::bigint[]) and lease_expires_at < clock_timestamp() order by id for update`,
      [numberArray(ids)],
    );
    return rows.map((row) => row.id);
  }

  /** Removes instances that hold no attempt any more. */
  async remove(db: Db, ids: readonly number[]): Promise<void> {
    await run(
      db,
      `delete from carillon.instance i
        where i.id = any($1::bigint[])
          and not exists (select 1 from carillon.open_execution o where o.instance_id = i.id)`,
      [numberArray(ids)],
    );
  }

  async list(db: Db): Promise<readonly InstanceRow[]> {
    return run<InstanceRow>(
      db,
      `select id, name, version, started_at as "startedAt", seen_at as "seenAt" from carillon.instance order by id`,
    );
  }
}

/** Instances as the engine sees them. */
export type InstanceStore = Pick<PgInstanceStore, keyof PgInstanceStore>;
