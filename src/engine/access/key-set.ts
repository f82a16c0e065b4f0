/**
 * The keys that JWTs are signed with: a fixed set, or one behind a URL.
 *
 * Behind a URL there is one fetch at a time, at most one each 30 s for a key id
 * that is not in the set, one each 5 s while fetches fail, and one each ten
 * minutes otherwise. A set that cannot be renewed goes on for a day: an outage
 * of who signs must not lock out everybody, and a key that was taken out must
 * not be good for ever. Answers are bounded in size and time, and redirects are
 * not followed.
 */
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from 'jose';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';

/** Where the keys are. */
export type KeySource = { readonly url: URL } | { readonly keys: JSONWebKeySet };

/** The longest answer of who signs, in bytes. */
const maxSetBytes = 256 * 1_024;

/** How long a set that cannot be renewed goes on, in milliseconds. */
const lastGoodMs = 24 * 3_600_000;

/** How long a failed fetch stands for the next ones, in milliseconds. */
const failedMs = 5_000;

/** Finds the key of a JWT. */
export function createKeySet(
  source: KeySource,
  { clock, logger, fetch: fetchSet = fetch }: { clock: Clock; logger: Logger; fetch?: typeof fetch },
): JWTVerifyGetKey {
  if ('keys' in source) return createLocalJWKSet(source.keys);
  let renewedMs = 0;
  let failed: { readonly ms: number; readonly error: unknown } | undefined;
  const remote = createRemoteJWKSet(source.url, {
    cooldownDuration: 30_000,
    cacheMaxAge: 600_000,
    timeoutDuration: 5_000,
    [customFetch]: async (url, options) => {
      if (failed && clock.monotonicMs() - failed.ms < failedMs) throw failed.error;
      try {
        const bounded = await boundedAnswer(await fetchSet(url, options));
        renewedMs = clock.monotonicMs();
        failed = undefined;
        return bounded;
      } catch (error) {
        if (!failed) logger.warn({ error, url: source.url.origin }, 'the keys of JWTs cannot be fetched');
        failed = { ms: clock.monotonicMs(), error };
        throw error;
      }
    },
  });
  return async (header, token) => {
    try {
      return await remote(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
        throw error;
      }
      const last = remote.jwks();
      if (!last || clock.monotonicMs() - renewedMs > lastGoodMs) throw error;
      return createLocalJWKSet(last)(header, token);
    }
  };
}

/** An answer whose body is as long as it may be; throws for a longer one, and for any but 200. */
async function boundedAnswer(answer: Response): Promise<Response> {
  if (answer.status !== 200) {
    await answer.body?.cancel();
    throw new Error(`the keys were answered with status ${answer.status}`);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    size += chunk.byteLength;
    if (size > maxSetBytes) throw new Error(`the keys take more than ${maxSetBytes} bytes`);
    chunks.push(chunk);
  }
  return new Response(Buffer.concat(chunks), {
    status: 200,
    headers: { 'content-type': 'application/json' },
  });
}
