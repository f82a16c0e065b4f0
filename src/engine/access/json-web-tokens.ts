/**
 * JSON Web Tokens (RFC 7519, 8725, 9068) as credentials. Which algorithms sign,
 * who issues, for whom, and of which type a token is comes from the
 * configuration alone; only asymmetric algorithms are known here at all, so a
 * public key can never serve as a shared secret. What the header says chooses
 * among the configured keys and nothing else.
 *
 * What was verified is believed for a minute, or until it expires: so long a
 * key that who signs has taken out goes on for tokens that were in use.
 */
import { createHash } from 'node:crypto';
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { Access, type Grant, type Role } from '../../domain/access.ts';
import { DomainError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Principal } from './authentication-operations.ts';
import { hasRepeatedKeys } from './repeated-keys.ts';

/** What JWTs have to be. */
export type WebTokenRules = {
  readonly issuer: string;
  readonly audience: string;
  readonly algorithms: readonly string[];
  /** The type in the header, such as `at+jwt`. */
  readonly type: string;
  /** How far the clocks of who signs and ours may be apart, in milliseconds. */
  readonly toleranceMs: number;
  /** The claim that says what the bearer may. */
  readonly claim: string;
};

export type JsonWebTokensOptions = {
  readonly rules: WebTokenRules;
  readonly keys: JWTVerifyGetKey;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** The longest JWT that is looked at, in characters. */
const maxLength = 8_192;

const believeMs = 60_000;
const maxKnown = 10_000;
const maxGrants = 100;

type Known = { readonly principal: Principal; readonly untilMs: number };

export class JsonWebTokens {
  readonly #options: JsonWebTokensOptions;
  /** By hash, the oldest first. */
  readonly #known = new Map<string, Known>();
  /** When principals expire, by the wall clock, tolerance included. */
  readonly #expiries = new WeakMap<Principal, number>();

  constructor(options: JsonWebTokensOptions) {
    this.#options = options;
  }

  /** Whose token this is, where it was verified just now. */
  findKnown(text: string): Principal | undefined {
    const known = this.#known.get(hashOf(text));
    return known && known.untilMs > this.#options.clock.monotonicMs() ? known.principal : undefined;
  }

  /**
   * Verifies a token; undefined for one that is not good.
   *
   * @throws DomainError UNAVAILABLE where the keys cannot be had
   */
  async find(text: string): Promise<Principal | undefined> {
    if (text.length > maxLength || text.split('.').length !== 3) return undefined;
    const { rules, keys, clock, logger } = this.#options;
    try {
      const { payload } = await jwtVerify(text, keys, {
        issuer: rules.issuer,
        audience: rules.audience,
        algorithms: [...rules.algorithms],
        typ: rules.type,
        clockTolerance: rules.toleranceMs / 1_000,
        requiredClaims: ['exp', 'sub'],
        currentDate: clock.now(),
      });
      if (text.split('.', 2).some((part) => hasRepeatedKeys(Buffer.from(part, 'base64url').toString()))) {
        return undefined;
      }
      return this.#keep(text, payload);
    } catch (error) {
      if (error instanceof errors.JOSEError && !isOfKeys(error)) return undefined;
      logger.debug({ error }, 'a JWT cannot be verified');
      throw new DomainError('UNAVAILABLE', 'the keys that JWTs are verified with cannot be had; try again', {
        retryAfterMs: 5_000,
        cause: error,
      });
    }
  }

  /** Calls back once when the token of a principal expires. Returns how to call it off. */
  watch(principal: Principal, onEnd: () => void): () => void {
    const expiryMs = this.#expiries.get(principal);
    if (expiryMs === undefined) return () => undefined;
    const { clock } = this.#options;
    let cancel = (): void => undefined;
    // Timers have a longest span, and the wall clock may be set: it is looked at again.
    const look = (): void => {
      const leftMs = expiryMs - clock.now().getTime();
      if (leftMs <= 0) onEnd();
      else cancel = clock.setTimer(Math.min(leftMs, believeMs), look);
    };
    look();
    return () => cancel();
  }

  #keep(text: string, payload: JWTPayload): Principal {
    const { rules, clock } = this.#options;
    const expiryMs = payload.exp! * 1_000 + rules.toleranceMs;
    const principal = {
      actor: `${cleanSubject(payload.sub!)} (jwt)`,
      access: new Access(grantsFromClaim(payload[rules.claim])),
    };
    this.#expiries.set(principal, expiryMs);
    const leftMs = Math.min(believeMs, expiryMs - clock.now().getTime());
    this.#known.set(hashOf(text), { principal, untilMs: clock.monotonicMs() + leftMs });
    if (this.#known.size > maxKnown) this.#known.delete(this.#known.keys().next().value!);
    return principal;
  }
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64');

/** Whether a failure says that the keys could not be had, and nothing of the token. */
const isOfKeys = (error: InstanceType<typeof errors.JOSEError>): boolean =>
  error instanceof errors.JWKSTimeout ||
  error instanceof errors.JWKSInvalid ||
  error.code === 'ERR_JOSE_GENERIC';

const cleanSubject = (subject: string): string => subject.replace(/\p{Cc}/gu, ' ').slice(0, 200);

const roles: ReadonlyMap<string, Role> = new Map(
  (['VIEWER', 'OPERATOR', 'EDITOR', 'ADMIN', 'WORKER'] as const).map((role) => [role.toLowerCase(), role]),
);

/**
 * What a claim grants: an object of namespaces and roles (`{"billing": "editor"}`)
 * or a list of `role:namespace` (`["editor:billing"]`), which is what groups of
 * directories can be. `*` is every namespace. What reads as neither grants
 * nothing.
 */
export function grantsFromClaim(claim: unknown): readonly Grant[] {
  const pairs: [unknown, unknown][] = [];
  if (Array.isArray(claim)) {
    for (const item of claim) {
      const [, role, namespace] = /^([^:]*):(.*)$/su.exec(String(item)) ?? [];
      pairs.push([namespace, role]);
    }
  } else if (typeof claim === 'object' && claim !== null) pairs.push(...Object.entries(claim));
  return pairs
    .flatMap(([namespace, name]): Grant[] => {
      const role = roles.get(String(name).toLowerCase());
      return role && typeof namespace === 'string' && namespace !== '' ? [{ namespace, role }] : [];
    })
    .slice(0, maxGrants);
}
