import { createHmac, type KeyObject } from 'node:crypto';
import type { FindSigningKeys } from '../../secrets/signing-keys.ts';
import type { Delivery, DeliveryResult } from '../target.ts';
import { failed, failureFromMissingSecret } from './failure.ts';

/** What a request is signed with. */
export type Signing = {
  /** The present key first; while a secret is changed over, the one before it, too. */
  readonly keys: readonly KeyObject[];
  /** Equal over the attempts of an execution: callees drop what they have seen. */
  readonly id: string;
  /** When the attempt is made; callees refuse what is minutes old. */
  readonly at: Date;
};

/**
 * The headers that sign a body after Standard Webhooks, names and values in
 * turn: one HMAC-SHA256 for each key over `id.timestamp.body`. They stand for
 * this body only, so whatever changes it must come first.
 */
export function signatureHeaders({ keys, id, at }: Signing, body: string | null): string[] {
  const timestamp = String(Math.floor(at.getTime() / 1_000));
  const signatures = keys.map((key) => {
    const digest = createHmac('sha256', key)
      .update(`${id}.${timestamp}.`)
      .update(body ?? '', 'utf8');
    return `v1,${digest.digest('base64')}`;
  });
  return ['Webhook-Id', id, 'Webhook-Timestamp', timestamp, 'Webhook-Signature', signatures.join(' ')];
}

/** The keys of a target's secret, none where it names none; or how the attempt ends that cannot be signed. */
export async function signingKeysOf(
  name: string | undefined,
  { jobKey: { namespace } }: Delivery,
  find: FindSigningKeys,
): Promise<{ readonly keys: readonly KeyObject[] } | { readonly failure: DeliveryResult }> {
  if (name === undefined) return { keys: [] };
  const found = await find({ namespace, name }).catch(() => 'unknown' as const);
  if (found === 'unknown') {
    return { failure: failed('the signing secret could not be read from the database', true) };
  }
  return 'missing' in found
    ? { failure: failureFromMissingSecret('signing secret', name, found.missing) }
    : found;
}
