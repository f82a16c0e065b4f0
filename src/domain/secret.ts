import { invalidField } from './errors.ts';

/** The bounds of a secret; the same numbers as in admin_service.proto. */
export const secretLimits = {
  minBytes: 24,
  maxBytes: 64,
  /** How many bytes are drawn where no value is given. */
  generatedBytes: 32,
  defaultKeepPreviousMs: 86_400_000,
} as const;

/** What a secret is for: it signs the requests of HTTP targets, or proves to gRPC and socket callees who calls. */
export type SecretKind = 'SIGNING' | 'CLIENT_CERTIFICATE';

/** A secret as it is shown: everything but its value. */
export type Secret = {
  readonly namespace: string;
  readonly name: string;
  /** It stays the same. */
  readonly kind: SecretKind;
  readonly createdAt: Date;
  /** When its value last changed. */
  readonly updatedAt: Date;
  /** Until when the value before signs, too; absent when none does. */
  readonly previousUntilAt?: Date;
  /** When the certificate expires, where it is one. */
  readonly expiresAt?: Date;
};

const prefix = 'whsec_';

/**
 * Reads the value of a signing secret as Standard Webhooks writes it: `whsec_` and base64, or the
 * base64 alone. What is refused is never repeated.
 *
 * @throws DomainError that names `field`.
 */
export function secretBytesFromText(text: string, field: string): Buffer {
  const { minBytes, maxBytes } = secretLimits;
  const base64 = text.startsWith(prefix) ? text.slice(prefix.length) : text;
  const bytes = Buffer.from(base64, 'base64');
  // The decoder passes over what is no base64; only what it writes back the same was base64.
  const isBase64 = bytes.toString('base64').replace(/=+$/, '') === base64.replace(/=+$/, '');
  if (!isBase64 || bytes.length < minBytes || bytes.length > maxBytes) {
    throw invalidField(
      field,
      `must be ${minBytes} to ${maxBytes} bytes in base64, after ${prefix} or alone; without a value one is generated`,
    );
  }
  return bytes;
}

/** Writes a value as Standard Webhooks does. */
export const secretBytesToText = (bytes: Buffer): string => prefix + bytes.toString('base64');
