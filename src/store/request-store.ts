import { type Db, numberArray, run, type Tx } from './database.ts';

/** A request that was made before under the same id. */
export type EarlierRequest = { readonly digest: string; readonly subjectId: number };

/** One use of a request id. */
export type RequestUse = {
  readonly namespace: string;
  readonly method: string;
  readonly requestId: string;
  readonly digest: string;
  readonly subjectId: number;
};

/** How long a request id is remembered. */
const window = "interval '24 hours'";

/** Request ids: what makes a call safe to repeat. An id counts within its namespace and method. */
export class PgRequestStore {
  async find(
    db: Db,
    namespace: string,
    method: string,
    requestId: string,
  ): Promise<EarlierRequest | undefined> {
    const rows = await run<EarlierRequest>(
      db,
      `select digest, subject_id as "subjectId" from carillon.request
        where namespace = $1 and method = $2 and request_id = $3 and created_at > now() - ${window}`,
      [namespace, method, requestId],
    );
    return rows[0];
  }

  /**
   * Notes uses of request ids, which must be distinct. Returns, for each, the
   * earlier use or undefined when this is the first. Another transaction that
   * notes the same id at this moment is waited for.
   */
  async use(tx: Tx, uses: readonly RequestUse[]): Promise<readonly (EarlierRequest | undefined)[]> {
    if (uses.length === 0) return [];
    const parameters = [
      uses.map((use) => use.namespace),
      uses.map((use) => use.method),
      uses.map((use) => use.requestId),
      uses.map((use) => use.digest),
      numberArray(uses.map((use) => use.subjectId)),
    ];
    // Sorted, so that two transactions that note the same ids wait in one order.
    const first = await run<{ place: number }>(
      tx,
      `/* use_requests */
       with asked as (
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
           with ordinality as a (namespace, method, request_id, digest, subject_id, place)
       ), noted as (
         insert into carillon.request (namespace, method, request_id, digest, subject_id)
         select namespace, method, request_id, digest, subject_id from asked
          order by namespace, method, request_id
         on conflict (namespace, method, request_id) do update
            set digest = excluded.digest, subject_id = excluded.subject_id, created_at = now()
          where request.created_at <= now() - ${window}
         returning namespace, method, request_id
       )
       select a.place from asked a join noted n using (namespace, method, request_id)`,
      parameters,
    );
    const earlier: (EarlierRequest | undefined)[] = uses.map(() => undefined);
    if (first.length === uses.length) return earlier;
    const fresh = new Set(first.map((row) => row.place));
    // A statement of its own: it sees what the transaction waited for above has committed.
    const rows = await run<EarlierRequest & { place: number }>(
      tx,
      `select a.place, r.digest, r.subject_id as "subjectId"
         from unnest($1::text[], $2::text[], $3::text[]) with ordinality as a (namespace, method, request_id, place)
         join carillon.request r using (namespace, method, request_id)`,
      parameters.slice(0, 3),
    );
    for (const { place, digest, subjectId } of rows) {
      if (!fresh.has(place)) earlier[place - 1] = { digest, subjectId };
    }
    return earlier;
  }

  /** Takes back uses that this transaction has noted: their calls are refused after all, and may be made again. */
  async forget(
    tx: Tx,
    uses: readonly Pick<RequestUse, 'namespace' | 'method' | 'requestId'>[],
  ): Promise<void> {
    if (uses.length === 0) return;
    await run(
      tx,
      `/* forget_requests */
       delete from carillon.request r using unnest($1::text[], $2::text[], $3::text[]) as u (namespace, method, request_id)
        where r.namespace = u.namespace and r.method = u.method and r.request_id = u.request_id`,
      [uses.map((use) => use.namespace), uses.map((use) => use.method), uses.map((use) => use.requestId)],
    );
  }

  /** Cleans away the ids whose window is over. */
  async clean(db: Db): Promise<void> {
    await run(db, `delete from carillon.request where created_at <= now() - ${window}`);
  }
}

/** Request ids as the engine sees them. */
export type RequestStore = Pick<PgRequestStore, keyof PgRequestStore>;
