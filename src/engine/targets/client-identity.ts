/** Who Carillon is to a callee that asks: the certificate that its target names. */
import type { ClientCertificate } from '../secrets/client-certificate.ts';
import type { FindClientCertificate } from '../secrets/client-certificates.ts';
import { failed, failureFromMissingSecret } from './http/failure.ts';
import type { Delivery, DeliveryResult } from './target.ts';

/** What a callee is shown, or how the attempt ends without it. */
export type Identity =
  | { readonly identity: ClientCertificate | undefined }
  | { readonly failure: DeliveryResult };

/** That of a target which names no certificate. */
export const anonymous: Identity = { identity: undefined };

/** For a client that was given no secrets: attempts that need one fail. */
export const noClientCertificates: FindClientCertificate = async () => ({ missing: 'secret' });

/** The certificate of a secret of the job's namespace. */
export async function identityOf(
  name: string,
  { jobKey: { namespace } }: Delivery,
  find: FindClientCertificate,
): Promise<Identity> {
  const found = await find({ namespace, name }).catch(() => 'unknown' as const);
  if (found === 'unknown') {
    return { failure: failed('the client certificate could not be read from the database', true) };
  }
  if ('missing' in found) {
    return { failure: failureFromMissingSecret('client certificate', name, found.missing) };
  }
  return { identity: found.certificate };
}
