import { invalidField } from './errors.ts';

/** The bounds of a secret; the same numbers as in admin_service.proto. */
export const secretLimits = {
  minBytes: 24,
  maxBytes: 64,
  /** How many bytes are drawn where no value is given. */
  generatedBytes: 32,
  defaultKeepPreviousMs: 86_400_000,
  /** Of a text that is sent as a header: as many as of a header that is no secret. */
  maxTextLength: 8_192,
  maxNameLength: 200,
} as const;

/**
 * What a secret is for: it signs the requests of HTTP targets, proves to gRPC and socket callees who calls, or is the
 * value of a header.
 */
export type SecretKind = 'SIGNING' | 'CLIENT_CERTIFICATE' | 'TEXT';

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

/** What is said of a name that no secret can have. */
export const secretNameRule = `must have 1 to ${secretLimits.maxNameLength} characters, none of them a control`;

/** Whether a secret can have this name. Characters are counted as the proto does: by code point. */
export function isSecretName(name: string): boolean {
  const { maxNameLength } = secretLimits;
  if (name === '' || name.length > 2 * maxNameLength || /\p{Cc}/u.test(name)) return false;
  return name.length <= maxNameLength || [...name].length <= maxNameLength;
}

// A blank at an end would not arrive.
const headerText = /^[!-~](?:[ -~]*[!-~])?$/;

/**
 * Reads the value of a secret that is sent as a header. What is refused is never repeated.
 *
 * @throws DomainError that names `field`.
 */
export function secretHeaderText(text: string, field: string): string {
  const { maxTextLength } = secretLimits;
  if (text.length > maxTextLength) throw invalidField(field, `must have at most ${maxTextLength} characters`);
  if (!headerText.test(text)) {
    throw invalidField(
      field,
      'must be one line of visible ASCII characters, with blanks between them at most, as a header takes it',
    );
  }
  return text;
}

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
