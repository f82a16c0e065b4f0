import { type ClientCertificate, certificateFromBytes } from './client-certificate.ts';
import { type MissingSecret, OpenedSecrets, type OpenedSecretsOptions } from './opened-secrets.ts';
import type { SecretName } from './secret-box.ts';

/** Finds the certificate of a secret, or tells why there is none. */
export type FindClientCertificate = (
  name: SecretName,
) => Promise<{ readonly certificate: ClientCertificate } | MissingSecret>;

/** The certificates that callees are shown. */
export class ClientCertificates extends OpenedSecrets<{ readonly certificate: ClientCertificate }> {
  constructor(options: OpenedSecretsOptions) {
    super('CLIENT_CERTIFICATE', (value) => ({ certificate: certificateFromBytes(value) }), options);
  }
}
