/** The parts of access control and how they hang together: made here, started by the composition root. */
import { readFileSync } from 'node:fs';
import type { JSONWebKeySet } from 'jose';
import type { Config, JwtConfig } from './config/config.ts';
import { Authentication } from './engine/access/authentication.ts';
import { checkOperations } from './engine/access/checked-operations.ts';
import { GuessLimit } from './engine/access/guess-limit.ts';
import { JsonWebTokens } from './engine/access/json-web-tokens.ts';
import { createKeySet, type KeySource } from './engine/access/key-set.ts';
import { PageSeal } from './engine/access/page-seal.ts';
import { StandingTokens } from './engine/access/standing-tokens.ts';
import { Tenancy } from './engine/access/tenancy.ts';
import type { AuthenticationOperations, Operations } from './engine/operations.ts';
import type { Clock } from './platform/clock.ts';
import type { Logger } from './platform/logger.ts';
import type { Service } from './platform/service.ts';
import { domainErrorFromDatabase } from './store/database-errors.ts';
import { guarded } from './store/guarded-operations.ts';
import type { Notifier } from './store/notifier.ts';
import type { Store } from './store/store.ts';

export type AccessOptions = {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: Store;
  readonly notifier: Notifier;
  readonly operations: Operations;
};

export type AccessControl = {
  /** What runs, in the order of the start. */
  readonly parts: readonly Service[];
  readonly authentication: AuthenticationOperations;
  /** The operations, each kept to the namespaces in which its caller may do it. */
  readonly operations: Operations;
};

/** Makes the access control of an instance that serves calls; nothing runs yet. */
export function createAccessControl(options: AccessOptions): AccessControl {
  const { config, clock, logger, store, notifier, operations } = options;
  const tokens = new StandingTokens({ store, notifier, clock, logger });
  const seal = new PageSeal(store);
  const checked = checkOperations(operations, new Tenancy(store), seal);
  return {
    parts: [seal, tokens],
    authentication: new Authentication({
      tokens: {
        findKnown: (proof) => tokens.findKnown(proof),
        find: (proof) =>
          tokens.find(proof).catch((error: unknown) => {
            throw domainErrorFromDatabase(error);
          }),
        watch: (principal, onEnd) => tokens.watch(principal, onEnd),
      },
      webTokens: createWebTokens(config.jwt, clock, logger),
      guesses: new GuessLimit(clock),
    }),
    operations: {
      ...checked,
      jobs: guarded(checked.jobs),
      executions: guarded(checked.executions),
      calendars: guarded(checked.calendars),
      secrets: guarded(checked.secrets),
      namespaces: guarded(checked.namespaces),
      workers: guarded(checked.workers),
      tokens: guarded(checked.tokens),
      audit: guarded(checked.audit),
    },
  };
}

/** Undefined where no JWTs are taken; the configuration was checked to be whole. */
function createWebTokens(jwt: JwtConfig, clock: Clock, logger: Logger): JsonWebTokens | undefined {
  const { issuer, audience, jwksUrl, keysFile } = jwt;
  if (issuer === undefined || audience === undefined) return undefined;
  const source: KeySource = jwksUrl ? { url: jwksUrl } : { keys: readKeySet(keysFile ?? '') };
  return new JsonWebTokens({
    rules: { ...jwt, issuer, audience, toleranceMs: jwt.clockToleranceMs },
    keys: createKeySet(source, { clock, logger }),
    clock,
    logger,
  });
}

/** Reads a JWKS; a symmetric key in it is refused, because whoever has it can sign. */
function readKeySet(file: string): JSONWebKeySet {
  const refuse = (why: string, cause?: unknown): Error =>
    new Error(`CARILLON_JWT_KEYS_FILE (${file}) ${why}`, { cause });
  let set: Partial<JSONWebKeySet>;
  try {
    set = JSON.parse(readFileSync(file, 'utf8')) as Partial<JSONWebKeySet>;
  } catch (error) {
    throw refuse('cannot be read as JSON', error);
  }
  const { keys } = set ?? {};
  if (!Array.isArray(keys) || keys.length === 0) throw refuse('is no JWKS: it has no list `keys`');
  if (keys.some(({ kty, d }) => kty === 'oct' || d !== undefined)) {
    throw refuse('must hold public keys only');
  }
  return { keys };
}
