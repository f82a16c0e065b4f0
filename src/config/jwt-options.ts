import { resolve } from 'node:path';
import type { JwtConfig } from './config.ts';
import { jwtAlgorithms } from './jwt-algorithms.ts';
import { isLoopbackHost } from './listen-address.ts';
import type { OptionReader } from './option-reader.ts';

/** Reads what JWTs have to be. */
export function readJwtConfig(read: OptionReader): JwtConfig {
  const jwksUrl = read.text('CARILLON_JWT_JWKS_URL');
  const keysFile = read.text('CARILLON_JWT_KEYS_FILE');
  return {
    issuer: read.text('CARILLON_JWT_ISSUER'),
    audience: read.text('CARILLON_JWT_AUDIENCE'),
    jwksUrl: jwksUrl === undefined ? undefined : urlOfKeys(read, jwksUrl),
    keysFile: keysFile === undefined ? undefined : resolve(keysFile),
    algorithms: read.someOf('CARILLON_JWT_ALGORITHMS', ['RS256', 'PS256', 'ES256', 'EdDSA'], jwtAlgorithms),
    type: read.text('CARILLON_JWT_TYPE') ?? 'at+jwt',
    clockToleranceMs: read.integer('CARILLON_JWT_CLOCK_TOLERANCE_MS', 30_000, { min: 0, max: 60_000 }),
    claim: read.text('CARILLON_JWT_CLAIM') ?? 'carillon',
  };
}

/** Refuses half a configuration: what is meant to ask for JWTs must not take none, or anybody's. */
export function checkJwtConfig(jwt: JwtConfig, isControlled: boolean, read: OptionReader): void {
  const { issuer, audience, jwksUrl, keysFile } = jwt;
  if ([issuer, audience, jwksUrl, keysFile].every((value) => value === undefined)) return;
  if (!isControlled) read.refuse('CARILLON_ACCESS_CONTROL', 'be true where JWTs are configured', 'false');
  if (issuer === undefined) read.refuse('CARILLON_JWT_ISSUER', 'be set where JWTs are taken');
  if (audience === undefined) read.refuse('CARILLON_JWT_AUDIENCE', 'be set where JWTs are taken');
  if ((jwksUrl === undefined) === (keysFile === undefined)) {
    read.refuse(
      'CARILLON_JWT_JWKS_URL',
      'be set where JWTs are taken, or CARILLON_JWT_KEYS_FILE in its place',
    );
  }
}

function urlOfKeys(read: OptionReader, text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isOnMachine = url?.protocol === 'http:' && isLoopbackHost(url.hostname.replace(/^\[|\]$/g, ''));
  if (url && (url.protocol === 'https:' || isOnMachine) && url.username === '' && url.password === '')
    return url;
  read.refuse('CARILLON_JWT_JWKS_URL', 'be an https URL without credentials; http is for loopback only');
  return undefined;
}
