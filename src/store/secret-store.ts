import type { JobKey } from '../domain/job.ts';
import type { Secret, SecretKind } from '../domain/secret.ts';
import { type Db, numberArray, run, type Tx } from './database.ts';

/** The values of a secret as they are kept: encrypted. */
export type SealedSecret = {
  readonly namespace: string;
  readonly name: string;
  readonly kind: SecretKind;
  readonly value: Buffer;
  /** The value before, while it still signs. */
  readonly previousValue: Buffer | null;
};

/** What a secret is made of. */
export type NewSecret = Pick<Secret, 'kind' | 'expiresAt'> & { readonly value: Buffer };

/** What to write of a secret. */
export type SecretChange = {
  readonly value: Buffer;
  /** Of a certificate. */
  readonly expiresAt?: Date;
  /** Absent: what is kept of the value before stays as it is. */
  readonly previous?: { readonly value: Buffer | null; readonly keepMs: number };
};

/** A secret as it is kept, to be sealed anew. */
export type StoredSecret = {
  readonly id: number;
  readonly namespace: string;
  readonly name: string;
  readonly value: Buffer;
  readonly previousValue: Buffer | null;
  /** Whether the value before still signs. */
  readonly previousSigns: boolean;
};

/** What to write of a secret that was sealed anew, if it still is as it was read. */
export type ResealedSecret = {
  readonly before: StoredSecret;
  readonly value: Buffer;
  /** Null where none signs. */
  readonly previousValue: Buffer | null;
};

/** What became of a secret that was to be removed; `jobs` are some of those that name it. */
export type SecretRemoval =
  | { readonly kind: 'deleted' | 'missing' }
  | { readonly kind: 'used'; readonly jobs: readonly JobKey[]; readonly count: number };

/** How many of the jobs that name a secret are told. */
const namedJobs = 5;

/**
 * Secrets, sealed. Which jobs name one is in their definitions: a job begins to
 * name a secret under a key-share lock on its row, and a secret is removed under
 * the lock that excludes this one; so none that is named is removed, whoever
 * comes first. Changing a value waits for neither.
 */
export class PgSecretStore {
  /** Makes a secret; false when there is one of this name. */
  async insert(
    tx: Tx,
    namespace: string,
    name: string,
    { kind, value, expiresAt }: NewSecret,
  ): Promise<boolean> {
    const made = await run(
      tx,
      `/* insert_secret */ insert into carillon.secret (namespace, name, kind, value, expires_at)
       values ($1, $2, $3, $4, $5) on conflict (namespace, name) do nothing returning id`,
      [namespace, name, kind, value, expiresAt ?? null],
    );
    return made.length > 0;
  }

  /** Locks a secret for a change, and returns its kind and sealed value; undefined when there is none of this name. */
  async lock(
    tx: Tx,
    namespace: string,
    name: string,
  ): Promise<{ readonly kind: SecretKind; readonly value: Buffer } | undefined> {
    const [row] = await run<{ kind: SecretKind; value: Buffer }>(
      tx,
      `/* lock_secret */
       select kind, value from carillon.secret where namespace = $1 and name = $2 for no key update`,
      [namespace, name],
    );
    return row;
  }

  /** Writes the values of a locked secret. `updated_at` moves when the one before is replaced, too. */
  async change(
    tx: Tx,
    namespace: string,
    name: string,
    { value, expiresAt, previous }: SecretChange,
  ): Promise<void> {
    const isReplaced = previous !== undefined;
    const kept = previous && previous.keepMs > 0 ? previous.value : null;
    await run(
      tx,
      `/* change_secret */
       update carillon.secret
          set value = $3, expires_at = $7, revision = revision + 1,
              previous_value = case when $4 then $5::bytea else previous_value end,
              previous_until = case when not $4 then previous_until
                                    when $5::bytea is not null then now() + $6::float8 * interval '1 ms' end,
              updated_at = case when $4 then now() else updated_at end
        where namespace = $1 and name = $2`,
      [namespace, name, value, isReplaced, kept, previous?.keepMs ?? 0, expiresAt ?? null],
    );
  }

  async find(db: Db, namespace: string, name: string): Promise<Secret | undefined> {
    const [row] = await run<SecretRow>(
      db,
      `/* find_secret */ ${selectSecret} where namespace = $1 and name = $2`,
      [namespace, name],
    );
    return row && secretFromRow(row);
  }

  /** The secrets of a namespace whose names come after one, in the order of the names. */
  async list(
    db: Db,
    {
      namespace,
      after,
      limit,
    }: { readonly namespace: string; readonly after?: string; readonly limit: number },
  ): Promise<readonly Secret[]> {
    const rows = await run<SecretRow>(
      db,
      `/* list_secrets */
       ${selectSecret} where namespace = $1 and ($2::text is null or name > $2) order by name limit $3`,
      [namespace, after ?? null, limit],
    );
    return rows.map(secretFromRow);
  }

  /** The kinds of secrets that a job may begin to name, which stay until the transaction ends; without those that there are none of. */
  async use(tx: Tx, namespace: string, names: readonly string[]): Promise<ReadonlyMap<string, SecretKind>> {
    const found = await run<{ name: string; kind: SecretKind }>(
      tx,
      `/* use_secrets */
       select name, kind from carillon.secret where namespace = $1 and name = any ($2::text[]) for key share`,
      [namespace, names],
    );
    return new Map(found.map(({ name, kind }) => [name, kind]));
  }

  /** Removes a secret that no job names. Waits for transactions in which a job begins to. */
  async remove(tx: Tx, namespace: string, name: string): Promise<SecretRemoval> {
    const locked = await run(
      tx,
      '/* lock_secret_to_remove */ select id from carillon.secret where namespace = $1 and name = $2 for update',
      [namespace, name],
    );
    if (locked.length === 0) return { kind: 'missing' };
    // A statement of its own: it sees the jobs that were committed while the one above waited. By
    // job_signing_secret_idx, job_client_certificate_idx and job_text_secrets_idx.
    const [users] = await run<{ count: number; jobs: JobKey[] }>(
      tx,
      `/* find_users_of_secret */
       with users as (
         select j.id, j.namespace, j.group_name as "group", j.name from carillon.job j
          where j.namespace = $1 and j.target ->> 'signingSecretName' = $2 and j.deleted_at is null
         union all
         select j.id, j.namespace, j.group_name as "group", j.name from carillon.job j
          where j.namespace = $1 and j.target #>> '{tls,clientCertificateSecretName}' = $2 and j.deleted_at is null
         union all
         select j.id, j.namespace, j.group_name as "group", j.name from carillon.job j
          where j.namespace = $1 and ${textSecretsOf('j')} ? $2 and j.deleted_at is null
       ), some_users as (select namespace, "group", name from users order by id limit $3)
       select (select count(*) from users) as count,
              (select coalesce(json_agg(s), '[]') from some_users s) as jobs`,
      [namespace, name, namedJobs],
    );
    if (users!.count > 0) return { kind: 'used', ...users! };
    await run(tx, '/* remove_secret */ delete from carillon.secret where namespace = $1 and name = $2', [
      namespace,
      name,
    ]);
    return { kind: 'deleted' };
  }

  /** The sealed values of secrets in no order; names that no secret has are left out. */
  async load(
    db: Db,
    wanted: readonly { readonly namespace: string; readonly name: string }[],
  ): Promise<readonly SealedSecret[]> {
    if (wanted.length === 0) return [];
    return run<SealedSecret>(
      db,
      `/* load_secrets */
       select s.namespace, s.name, s.kind, s.value,
              case when s.previous_until > now() then s.previous_value end as "previousValue"
         from unnest($1::text[], $2::text[]) as w (namespace, name)
         join carillon.secret s on s.namespace = w.namespace and s.name = w.name`,
      [wanted.map(({ namespace }) => namespace), wanted.map(({ name }) => name)],
    );
  }

  /** The secrets of all namespaces whose ids come after one, in the order of their ids. */
  async listStored(db: Db, afterId: number, limit: number): Promise<readonly StoredSecret[]> {
    return run<StoredSecret>(
      db,
      `/* list_stored_secrets */
       select id, namespace, name, value, previous_value as "previousValue",
              coalesce(previous_until > now(), false) as "previousSigns"
         from carillon.secret where id > $1 order by id limit $2`,
      [afterId, limit],
    );
  }

  /**
   * Writes secrets that were sealed anew, and returns the ids of those that it
   * has written. By compare-and-set on the bytes: what was put anew meanwhile
   * stays, and what another transaction has locked is left to a later pass, so
   * that two instances never wait for each other. No time of a secret moves.
   */
  async reseal(db: Db, resealed: readonly ResealedSecret[]): Promise<ReadonlySet<number>> {
    const rows = await run<{ id: number }>(
      db,
      `/* reseal_secrets */
       with wanted as (
         select * from unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])
           as w (id, value_before, previous_before, value, previous_value)
       ), locked as (
         select s.id from carillon.secret s join wanted w on w.id = s.id
          where s.value = w.value_before and s.previous_value is not distinct from w.previous_before
          order by s.id for no key update of s skip locked
       )
       update carillon.secret s
          set value = w.value, previous_value = w.previous_value, revision = s.revision + 1,
              previous_until = case when w.previous_value is not null then s.previous_until end
         from wanted w join locked l on l.id = w.id
        where s.id = w.id
       returning s.id`,
      [
        numberArray(resealed.map(({ before }) => before.id)),
        resealed.map(({ before }) => before.value),
        resealed.map(({ before }) => before.previousValue),
        resealed.map(({ value }) => value),
        resealed.map(({ previousValue }) => previousValue),
      ],
    );
    return new Set(rows.map(({ id }) => id));
  }
}

/** The names of the secrets that are headers or metadata of a job, as job_text_secrets_idx has them. */
const textSecretsOf = (job: string): string =>
  `jsonb_path_query_array(coalesce(${job}.target -> 'secretHeaders', ${job}.target -> 'secretMetadata'), '$.*')`;

/** Secrets as the engine sees them. */
export type SecretStore = Pick<PgSecretStore, keyof PgSecretStore>;

type SecretRow = Omit<Secret, 'previousUntilAt' | 'expiresAt'> & {
  readonly previousUntilAt: Date | null;
  readonly expiresAt: Date | null;
};

const selectSecret = `
  select namespace, name, kind, created_at as "createdAt", updated_at as "updatedAt", expires_at as "expiresAt",
         case when previous_until > now() then previous_until end as "previousUntilAt"
    from carillon.secret`;

const secretFromRow = ({ previousUntilAt, expiresAt, ...row }: SecretRow): Secret => ({
  ...row,
  previousUntilAt: previousUntilAt ?? undefined,
  expiresAt: expiresAt ?? undefined,
});
