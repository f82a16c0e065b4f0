import type { FieldViolation } from './errors.ts';
import { hostLimits, isHost } from './host.ts';
import type { TlsOptions } from './job.ts';
import { isSecretName, secretNameRule } from './secret.ts';

const certificate = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/;

/** Everything that is wrong with TLS options; `path` is where they stand in the request. */
export function validateTlsOptions(
  { serverName, caPem, clientCertificateSecretName: secret }: TlsOptions,
  path: string,
): FieldViolation[] {
  const violations: FieldViolation[] = [];
  const { maxServerNameLength, maxCaPemLength } = hostLimits;
  if (serverName !== undefined && !isHost(serverName)) {
    const description = `must be a host name in ASCII of at most ${maxServerNameLength} characters`;
    violations.push({ field: `${path}.server_name`, description });
  }
  const wrongPem = caPem === undefined ? undefined : pemFault(caPem, maxCaPemLength);
  if (wrongPem) violations.push({ field: `${path}.ca_pem`, description: wrongPem });
  if (secret !== undefined && !isSecretName(secret)) {
    violations.push({ field: `${path}.client_certificate_secret_name`, description: secretNameRule });
  }
  return violations;
}

function pemFault(pem: string, maxLength: number): string | undefined {
  if (pem.length > maxLength) return `must have at most ${maxLength} characters`;
  // It would be shown in replies.
  if (pem.includes('PRIVATE KEY')) return 'must not contain a private key; leave only the certificates';
  if (!certificate.test(pem)) return 'must hold certificates in PEM (-----BEGIN CERTIFICATE-----)';
  return undefined;
}
