import type { Grant } from './access.ts';

/** What proves who calls, without its text. */
export type Token = {
  readonly id: number;
  readonly name: string;
  readonly grants: readonly Grant[];
  readonly expiresAt?: Date;
  /** Of a client certificate: the name that it carries. */
  readonly certificateName?: string;
  /** How its text begins; empty for a certificate. */
  readonly prefix: string;
  readonly creator: string;
  readonly createdAt: Date;
  readonly lastUsedAt?: Date;
  readonly revokedAt?: Date;
};

/** A token that is to be made. */
export type TokenDraft = Pick<Token, 'name' | 'grants' | 'expiresAt' | 'certificateName'>;
