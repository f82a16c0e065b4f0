/**
 * The tokens by which callees report on their attempts.
 *
 * A token is `cat_` and, in base64url, a version byte (1), the execution's id
 * (8 bytes), the attempt's number (4 bytes), and an HMAC-SHA256 over these, the
 * job's id and the term, which the ledger knows and never changes. So nothing
 * is written for a token, and any instance on the database can tell a true one.
 * The key is the database's: whoever has that needs no token.
 *
 * A token dies with its attempt: whoever takes a report finds the attempt over
 * or not there. It is compared in constant time, and not written to the log.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { Store } from '../../store/store.ts';

/** What a token is made for. */
export type TokenSubject = {
  readonly executionId: number;
  readonly attempt: number;
  readonly jobId: number;
  readonly term: number;
};

/** What a token says of itself, not yet believed. */
export type TokenClaim = Pick<TokenSubject, 'executionId' | 'attempt'> & { readonly mac: Buffer };

const prefix = 'cat_';
const version = 1;
const macBytes = 32;
const claimBytes = 1 + 8 + 4;
const tokenPattern = /^cat_[A-Za-z0-9_-]{60}$/;

export class AttemptTokens {
  readonly #store: Pick<Store, 'db' | 'reports'>;
  #key: KeyObject | undefined;

  constructor(store: Pick<Store, 'db' | 'reports'>) {
    this.#store = store;
  }

  /** Reads the key; before that there are no tokens. */
  async start(): Promise<void> {
    this.#key ??= createSecretKey(await this.#store.reports.readTokenKey(this.#store.db));
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** The token of an attempt. */
  create(subject: TokenSubject): string {
    const message = messageOf(subject);
    return (
      prefix + Buffer.concat([message.subarray(0, claimBytes), this.#mac(message)]).toString('base64url')
    );
  }

  /** Whether a token that claims to be of this attempt is. */
  isTrue({ mac }: TokenClaim, subject: TokenSubject): boolean {
    return timingSafeEqual(mac, this.#mac(messageOf(subject)));
  }

  #mac(message: Buffer): Buffer {
    if (!this.#key) throw new Error('the key of the attempt tokens has not been read');
    return createHmac('sha256', this.#key).update(message).digest();
  }
}

/** What a token claims; undefined for a text that is none. */
export function claimFromToken(token: string): TokenClaim | undefined {
  if (!tokenPattern.test(token)) return undefined;
  const bytes = Buffer.from(token.slice(prefix.length), 'base64url');
  const executionId = Number(bytes.readBigUInt64BE(1));
  const attempt = bytes.readUInt32BE(9);
  if (bytes[0] !== version || !Number.isSafeInteger(executionId) || attempt > 0x7fffffff) return undefined;
  return { executionId, attempt, mac: bytes.subarray(claimBytes, claimBytes + macBytes) };
}

function messageOf({ executionId, attempt, jobId, term }: TokenSubject): Buffer {
  const message = Buffer.allocUnsafe(claimBytes + 8 + 8);
  message.writeUInt8(version, 0);
  message.writeBigUInt64BE(BigInt(executionId), 1);
  message.writeUInt32BE(attempt, 9);
  message.writeBigUInt64BE(BigInt(jobId), claimBytes);
  message.writeBigUInt64BE(BigInt(term), claimBytes + 8);
  return message;
}
