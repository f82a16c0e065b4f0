/**
 * Reads lists of revoked certificates (CRL, RFC 5280) in PEM. OpenSSL judges by
 * them; what is read here is what it does not tell: how many there are, because
 * it takes the first of a text and passes over the others, and until when each
 * holds, because behind that time it refuses every certificate of the list's
 * authority.
 */
import { createSecureContext } from 'node:tls';

/** One list of an authority. */
export type RevocationList = {
  readonly pem: string;
  /** From when on it holds. */
  readonly issuedAt: Date;
  /** When the next one is due, and this one holds no longer; undefined where it does not say. */
  readonly expiresAt: Date | undefined;
};

/** The lists of a file. Throws when there is none, or one that cannot be read. */
export function revocationListsFrom(text: string, path: string): readonly RevocationList[] {
  const pems = text.match(/-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g) ?? [];
  if (pems.length === 0) throw new Error(`there is no revocation list in PEM in ${path}`);
  return pems.map((pem, i) => {
    try {
      createSecureContext({ crl: pem });
      return { pem, ...timesOf(pem) };
    } catch (error) {
      throw new Error(`the revocation list number ${i + 1} in ${path} cannot be read`, { cause: error });
    }
  });
}

const integerTag = 0x02;
const utcTimeTag = 0x17;
const generalizedTimeTag = 0x18;

/** thisUpdate and nextUpdate: of the list to be signed, what follows version, algorithm and issuer. */
function timesOf(pem: string): Pick<RevocationList, 'issuedAt' | 'expiresAt'> {
  const der = Buffer.from(pem.replace(/-----[^-]*-----/g, ''), 'base64');
  const signed = elementAt(der, elementAt(der, 0).start);
  let at = elementAt(der, signed.start);
  if (at.tag === integerTag) at = elementAt(der, at.end);
  const issuer = elementAt(der, at.end);
  const thisUpdate = elementAt(der, issuer.end);
  const nextUpdate = thisUpdate.end < signed.end ? elementAt(der, thisUpdate.end) : undefined;
  const issuedAt = timeOf(der, thisUpdate);
  if (issuedAt === undefined) throw new Error('it does not say since when it holds');
  return { issuedAt, expiresAt: nextUpdate && timeOf(der, nextUpdate) };
}

/** An element of DER: its tag, and where its content is. */
type Element = { readonly tag: number; readonly start: number; readonly end: number };

function elementAt(der: Buffer, offset: number): Element {
  const tag = der.readUInt8(offset);
  const first = der.readUInt8(offset + 1);
  if (first < 0x80) return { tag, start: offset + 2, end: offset + 2 + first };
  const bytes = first & 0x7f;
  const start = offset + 2 + bytes;
  return { tag, start, end: start + der.readUIntBE(offset + 2, bytes) };
}

/** The instant of an element; undefined when it is none. RFC 5280 has both forms in UTC with seconds. */
function timeOf(der: Buffer, { tag, start, end }: Element): Date | undefined {
  if (tag !== utcTimeTag && tag !== generalizedTimeTag) return undefined;
  const text = der.toString('latin1', start, end);
  const century = tag === generalizedTimeTag ? '' : Number(text.slice(0, 2)) < 50 ? '20' : '19';
  const iso = `${century}${text}`.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
  const instant = new Date(iso);
  if (Number.isNaN(instant.getTime())) throw new Error('it has a time that cannot be read');
  return instant;
}
