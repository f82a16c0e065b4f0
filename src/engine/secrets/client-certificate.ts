/** Certificates that callees are shown: taken apart and judged when they are put, and kept so that no log shows a key. */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { type DomainError, invalidField } from '../../domain/errors.ts';

/** The certificate of the key, and the authorities between it and one that callees trust. */
const maxCertificates = 10;

/** A certificate with its private key, which it gives to TLS alone. */
export class ClientCertificate {
  /** Equal for the same certificates: connections that showed others are not used. */
  readonly id: string;
  readonly expiresAt: Date;
  readonly #chain: string;
  readonly #key: string;

  constructor(chain: string, key: string) {
    this.id = createHash('sha256').update(chain).digest('hex');
    this.expiresAt = new X509Certificate(chain).validToDate;
    this.#chain = chain;
    this.#key = key;
  }

  /** What TLS takes. */
  get credentials(): { readonly cert: string; readonly key: string } {
    return { cert: this.#chain, key: this.#key };
  }

  /** How it is kept: PEM, the certificates first. To be sealed. */
  toBytes(): Buffer {
    return Buffer.from(this.#chain + this.#key);
  }
}

/** The certificate that `toBytes` wrote. */
export function certificateFromBytes(bytes: Buffer): ClientCertificate {
  const blocks = blocksOf(bytes.toString()) ?? [];
  const isKey = ({ label }: Block): boolean => label.endsWith('PRIVATE KEY');
  return new ClientCertificate(textOf(blocks.filter((block) => !isKey(block))), textOf(blocks.filter(isKey)));
}

/**
 * Reads a bundle of PEM: certificates, the key's first, and one private key in
 * any place. What else stands between the blocks is left out. What is refused
 * is never repeated.
 *
 * @throws DomainError that names `field`.
 */
export function certificateFromText(text: string, now: Date, field: string): ClientCertificate {
  const refuse = (description: string): DomainError => invalidField(field, description);
  const blocks = blocksOf(text);
  if (!blocks) throw refuse('holds a block of PEM without its end');
  const certificates = blocks.filter(({ label }) => label === 'CERTIFICATE');
  const keys = blocks.filter(({ label }) => label.endsWith('PRIVATE KEY'));
  if (certificates.length === 0) throw refuse('must hold a certificate in PEM (-----BEGIN CERTIFICATE-----)');
  if (certificates.length > maxCertificates)
    throw refuse(`must hold at most ${maxCertificates} certificates`);
  const [first] = certificates.map((block, i) => certificateOf(block, i, refuse));
  const key = keyOf(keys, refuse);
  if (!first!.checkPrivateKey(key)) throw refuse('the private key is not that of the first certificate');
  if (first!.validToDate <= now) {
    throw refuse(`the certificate has expired at ${first!.validToDate.toISOString()}`);
  }
  if (first!.validFromDate > now) {
    throw refuse(`the certificate is not valid before ${first!.validFromDate.toISOString()}`);
  }
  const certificate = new ClientCertificate(textOf(certificates), textOf(keys));
  try {
    createSecureContext(certificate.credentials);
  } catch (error) {
    const { reason = 'for a reason that is not told' } = error as { readonly reason?: string };
    throw refuse(`TLS does not take the certificate and its key: ${reason}`);
  }
  return certificate;
}

type Block = { readonly label: string; readonly lines: readonly string[] };

/** The blocks of a text, in their order; undefined when one has no end. */
function blocksOf(text: string): readonly Block[] | undefined {
  const blocks: Block[] = [];
  let open: { readonly label: string; readonly lines: string[] } | undefined;
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    const [, word, label] = /^-----(BEGIN|END) ([A-Z0-9 ]+)-----$/.exec(line) ?? [];
    if (word === 'BEGIN' && label) {
      if (open) return undefined;
      open = { label, lines: [line] };
    } else {
      open?.lines.push(line);
      if (word !== 'END' || !open) continue;
      if (label !== open.label) return undefined;
      blocks.push(open);
      open = undefined;
    }
  }
  return open ? undefined : blocks;
}

const textOf = (blocks: readonly Block[]): string =>
  blocks.map(({ lines }) => `${lines.join('\n')}\n`).join('');

function certificateOf(
  block: Block,
  index: number,
  refuse: (description: string) => DomainError,
): X509Certificate {
  try {
    return new X509Certificate(textOf([block]));
  } catch {
    throw refuse(`the certificate number ${index + 1} cannot be read`);
  }
}

function keyOf(blocks: readonly Block[], refuse: (description: string) => DomainError): KeyObject {
  const [block] = blocks;
  if (!block)
    throw refuse('must hold the private key of the certificate in PEM (-----BEGIN PRIVATE KEY-----)');
  if (blocks.length > 1) throw refuse('must hold one private key');
  if (block.label.startsWith('ENCRYPTED') || block.lines.some((line) => line.startsWith('Proc-Type:'))) {
    throw refuse('the private key must not be encrypted; openssl pkey takes its passphrase off');
  }
  try {
    return createPrivateKey(textOf([block]));
  } catch {
    throw refuse('the private key cannot be read');
  }
}
