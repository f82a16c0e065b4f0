import type { Grant } from '../domain/access.ts';
import type { Token, TokenDraft } from '../domain/token.ts';
import { type Db, numberArray, run, type Tx } from './database.ts';

/** What a token is known by: the SHA-256 of its text, or the name in a client certificate. */
export type TokenProof = { readonly hash: Buffer } | { readonly certificateNames: readonly string[] };

/** A token that stands: neither revoked nor expired. */
export type StandingToken = Pick<Token, 'id' | 'name' | 'grants'>;

/** Only one process makes the first token. "firsttok" in ASCII, cut to 63 bits. */
const firstTokenLockKey = '7379577265281134443';

/** Tokens: what proves who calls. Whether one has expired is judged by the database's clock. */
export class PgTokenStore {
  /** Makes a token; undefined when there is one for this certificate. */
  async insert(
    db: Db,
    { name, grants, expiresAt, certificateName }: TokenDraft,
    { hash, prefix, creator }: { readonly hash?: Buffer; readonly prefix: string; readonly creator: string },
  ): Promise<Token | undefined> {
    const [row] = await run<TokenRow>(
      db,
      `/* insert_token */
       insert into carillon.token (name, hash, certificate_name, prefix, grants, creator, expires_at)
       values ($1, $2, $3, $4, $5, $6, $7) on conflict (certificate_name) where revoked_at is null do nothing
       returning ${tokenColumns}`,
      [
        name,
        hash ?? null,
        certificateName ?? null,
        prefix,
        JSON.stringify(grants),
        creator,
        expiresAt ?? null,
      ],
    );
    return row && tokenFromRow(row);
  }

  /** Whether an instant has passed. */
  async isPast(db: Db, at: Date): Promise<boolean> {
    const [row] = await run<{ past: boolean }>(db, 'select $1::timestamptz <= clock_timestamp() as past', [
      at,
    ]);
    return row!.past;
  }

  /** Locks out other processes that would make the first token; false when there is or was any token. */
  async lockFirst(tx: Tx): Promise<boolean> {
    await run(tx, `select pg_advisory_xact_lock(${firstTokenLockKey})`);
    const found = await run(tx, 'select 1 from carillon.token limit 1');
    return found.length === 0;
  }

  /** The token that a proof is of, if it stands; by token_hash_idx or token_certificate_name_idx. */
  async findStanding(db: Db, proof: TokenProof): Promise<StandingToken | undefined> {
    const isText = 'hash' in proof;
    const [row] = await run<StandingToken>(
      db,
      `/* ${isText ? 'find_token_by_text' : 'find_token_by_certificate'} */
       select id, name, grants from carillon.token
        where ${isText ? 'hash = $1' : 'certificate_name = any ($1::text[])'}
          and revoked_at is null and (expires_at is null or expires_at > clock_timestamp())
        order by id limit 1`,
      [isText ? proof.hash : proof.certificateNames],
    );
    return row;
  }

  /** Which of these tokens stand. */
  async listStanding(db: Db, ids: readonly number[]): Promise<ReadonlySet<number>> {
    const rows = await run<{ id: number }>(
      db,
      `/* standing_tokens */
       select id from carillon.token
        where id = any ($1::bigint[]) and revoked_at is null
          and (expires_at is null or expires_at > clock_timestamp())`,
      [numberArray(ids)],
    );
    return new Set(rows.map(({ id }) => id));
  }

  /** Notes that tokens are in use; no more often than every minute, so that it costs nothing. */
  async touch(db: Db, ids: readonly number[]): Promise<void> {
    await run(
      db,
      `/* touch_tokens */
       update carillon.token set last_used_at = clock_timestamp()
        where id = any ($1::bigint[]) and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')`,
      [numberArray(ids)],
    );
  }

  /** Locks a token for a change. */
  async lock(tx: Tx, id: number): Promise<Token | undefined> {
    const [row] = await run<TokenRow>(
      tx,
      `/* lock_token */ select ${tokenColumns} from carillon.token where id = $1 for no key update`,
      [id],
    );
    return row && tokenFromRow(row);
  }

  /** Revokes a locked token for good; the second time changes nothing. */
  async revoke(tx: Tx, id: number): Promise<Token> {
    const [row] = await run<TokenRow>(
      tx,
      `/* revoke_token */
       update carillon.token set revoked_at = coalesce(revoked_at, clock_timestamp()) where id = $1
       returning ${tokenColumns}`,
      [id],
    );
    return tokenFromRow(row!);
  }

  /** Tokens whose grants all lie in some namespaces, or in any, from the newest on behind one. */
  async list(
    db: Db,
    {
      within,
      includeEnded,
    }: { readonly within: readonly string[] | undefined; readonly includeEnded: boolean },
    beforeId: number | undefined,
    limit: number,
  ): Promise<readonly Token[]> {
    const rows = await run<TokenRow>(
      db,
      `/* list_tokens */
       select ${tokenColumns} from carillon.token t
        where ($1::text[] is null or not exists (
                select 1 from jsonb_array_elements(t.grants) g where g ->> 'namespace' <> all ($1::text[])))
          and ($2 or (revoked_at is null and (expires_at is null or expires_at > clock_timestamp())))
          and ($3::bigint is null or id < $3)
        order by id desc limit $4`,
      [within ?? null, includeEnded, beforeId ?? null, limit],
    );
    return rows.map(tokenFromRow);
  }
}

/** Tokens as the engine sees them. */
export type TokenStore = Pick<PgTokenStore, keyof PgTokenStore>;

type TokenRow = {
  readonly id: number;
  readonly name: string;
  readonly grants: readonly Grant[];
  readonly prefix: string;
  readonly creator: string;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly certificateName: string | null;
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
};

const tokenColumns = `id, name, grants, prefix, creator, created_at as "createdAt", expires_at as "expiresAt",
  certificate_name as "certificateName", last_used_at as "lastUsedAt", revoked_at as "revokedAt"`;

const tokenFromRow = ({ expiresAt, certificateName, lastUsedAt, revokedAt, ...row }: TokenRow): Token => ({
  ...row,
  expiresAt: expiresAt ?? undefined,
  certificateName: certificateName ?? undefined,
  lastUsedAt: lastUsedAt ?? undefined,
  revokedAt: revokedAt ?? undefined,
});
