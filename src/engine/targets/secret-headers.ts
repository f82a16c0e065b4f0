/** Headers and metadata whose values are secrets: found at delivery, and nowhere before. */
import type { FindSecretText, SecretText } from '../secrets/secret-texts.ts';
import { failed, failureFromMissingSecret } from './http/failure.ts';
import type { Delivery, DeliveryResult } from './target.ts';

/** What a callee is sent, by name, or how the attempt ends without it. */
export type SecretHeaders =
  | { readonly texts: readonly (readonly [name: string, text: SecretText])[] }
  | { readonly failure: DeliveryResult };

/** For a client that was given no secrets: attempts that need one fail. */
export const noSecretTexts: FindSecretText = async () => ({ missing: 'secret' });

/**
 * The texts of secrets of the job's namespace. One that is missing ends the
 * attempt, so that no callee is asked without its credential.
 */
export async function secretHeadersOf(
  named: Readonly<Record<string, string>> | undefined,
  { jobKey: { namespace } }: Delivery,
  find: FindSecretText,
): Promise<SecretHeaders> {
  if (named === undefined) return { texts: [] };
  const found = await Promise.all(
    Object.entries(named).map(async ([header, name]) => ({
      header,
      name,
      found: await find({ namespace, name }).catch(() => 'unknown' as const),
    })),
  );
  const texts: (readonly [string, SecretText])[] = [];
  for (const { header, name, found: each } of found) {
    if (each === 'unknown') {
      return { failure: failed(`the secret of ${header} could not be read from the database`, true) };
    }
    if ('missing' in each) {
      return { failure: failureFromMissingSecret(`secret of ${header}`, name, each.missing) };
    }
    texts.push([header, each.text]);
  }
  return { texts };
}
