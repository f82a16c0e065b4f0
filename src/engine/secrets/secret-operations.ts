import type { Secret, SecretKind } from '../../domain/secret.ts';
import type { Caller, Page } from '../operations.ts';

/** A secret that is to be made, or to get another value. */
export type PutSecret = {
  readonly namespace: string;
  readonly name: string;
  /** Absent: the one that the secret has; SIGNING for a new one. */
  readonly kind?: SecretKind;
  /** As its kind says; absent: one is generated, for a secret that signs. */
  readonly value?: string;
  /** How long the value before goes on signing, in milliseconds; absent: a day, of a secret that signs. */
  readonly keepPreviousMs?: number;
};

/** What the outside may ask of secrets. */
export type SecretOperations = {
  /** Makes a secret or gives it another value; `value` is the one that was generated. */
  put(
    request: PutSecret,
    caller: Caller,
  ): Promise<{ readonly secret: Secret; readonly created: boolean; readonly value?: string }>;
  /** By name. */
  list(
    namespace: string,
    page: Page,
    caller: Caller,
  ): Promise<{ readonly secrets: readonly Secret[]; readonly nextPageToken: string }>;
  /** Refuses while a job names it. */
  delete(namespace: string, name: string, caller: Caller): Promise<{ existed: boolean }>;
};
