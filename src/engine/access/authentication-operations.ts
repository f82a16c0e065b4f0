import type { Access } from '../../domain/access.ts';

/** What a caller shows of itself. */
export type Credentials = {
  /** The header of that name, whatever is in it. */
  readonly authorization: string | undefined;
  /** The names in the verified client certificate of the connection, the most telling first. */
  readonly certificateNames: readonly string[];
  /** The caller's address and port. */
  readonly peer: string;
};

/** Who calls, and what it may. */
export type Principal = {
  /** In words for people: `ci (token 7316…)`, `alice (jwt)`, `anonymous`. */
  readonly actor: string;
  readonly access: Access;
};

/** Tells who calls. */
export type AuthenticationOperations = {
  /** At once where it knows already. Refuses with UNAUTHENTICATED. */
  authenticate(credentials: Credentials): Principal | Promise<Principal>;
  /** Calls back once when the credentials of a principal end: revoked or expired. Returns how to call it off. */
  watch(principal: Principal, onEnd: () => void): () => void;
};
