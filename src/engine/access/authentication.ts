import { DomainError } from '../../domain/errors.ts';
import type { AuthenticationOperations, Credentials, Principal } from './authentication-operations.ts';
import type { GuessLimit } from './guess-limit.ts';
import type { JsonWebTokens } from './json-web-tokens.ts';
import type { StandingTokens } from './standing-tokens.ts';
import { hashOfToken, isTokenText } from './token-text.ts';

export type AuthenticationOptions = {
  readonly tokens: Pick<StandingTokens, 'findKnown' | 'find' | 'watch'>;
  /** Absent: JWTs are not taken. */
  readonly webTokens: Pick<JsonWebTokens, 'findKnown' | 'find' | 'watch'> | undefined;
  readonly guesses: GuessLimit;
};

/**
 * Tells who calls: by the bearer token, which is one of ours or a JWT, else by
 * the client certificate. A wrong token is refused also where the certificate
 * would do: whoever shows something wants to be judged by it.
 */
export class Authentication implements AuthenticationOperations {
  readonly #options: AuthenticationOptions;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
  }

  authenticate(credentials: Credentials): Principal | Promise<Principal> {
    const { guesses } = this.#options;
    const { peer } = credentials;
    const way = this.#wayOf(credentials);
    const known = way?.findKnown();
    if (known) return known;
    // A verified certificate is no guess: nobody can draw another until one is right.
    if (way && credentials.authorization === undefined) {
      return way.find().then((principal) => principal ?? refuse(notValid()));
    }
    if (guesses.wasWrong(credentials.authorization)) throw notValid();
    const waitMs = guesses.waitMs(peer);
    if (waitMs > 0) throw tooManyGuesses(waitMs);
    const refuseGuess = (): never => {
      guesses.noteFailure(peer, credentials.authorization);
      return refuse(notValid());
    };
    return way ? way.find().then((principal) => principal ?? refuseGuess()) : refuseGuess();
  }

  watch(principal: Principal, onEnd: () => void): () => void {
    const { tokens, webTokens } = this.#options;
    const release = tokens.watch(principal, onEnd);
    const releaseWeb = webTokens?.watch(principal, onEnd);
    return () => {
      release();
      releaseWeb?.();
    };
  }

  /** How what a caller shows is looked up; undefined for what cannot be right. */
  #wayOf({ authorization, certificateNames }: Credentials): Way | undefined {
    const { tokens, webTokens } = this.#options;
    if (authorization === undefined) {
      if (certificateNames.length === 0) throw noCredentials();
      return wayBy(tokens, { certificateNames });
    }
    const text = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
    if (text === undefined) return undefined;
    if (isTokenText(text)) return wayBy(tokens, { hash: hashOfToken(text) });
    return webTokens && wayBy(webTokens, text);
  }
}

type Way = { findKnown(): Principal | undefined; find(): Promise<Principal | undefined> };

const wayBy = <Proof>(
  known: {
    findKnown(proof: Proof): Principal | undefined;
    find(proof: Proof): Promise<Principal | undefined>;
  },
  proof: Proof,
): Way => ({ findKnown: () => known.findKnown(proof), find: () => known.find(proof) });

function refuse(error: DomainError): never {
  throw error;
}

function notValid(): DomainError {
  return new DomainError(
    'UNAUTHENTICATED',
    'the credentials are not valid: unknown, malformed, expired or revoked',
  );
}

function noCredentials(): DomainError {
  return new DomainError('UNAUTHENTICATED', 'no credentials; send `authorization: Bearer <token>`');
}

function tooManyGuesses(waitMs: number): DomainError {
  const retryAfterMs = Math.ceil(waitMs);
  return new DomainError('QUOTA_EXCEEDED', 'too many wrong credentials came from this address; try later', {
    quota: { subject: 'address', description: 'wrong credentials' },
    retryAfterMs,
  });
}
