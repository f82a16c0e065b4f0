/**
 * Reads lists of revoked certificates (CRL, RFC 5280) in PEM. OpenSSL judges by
 * them; what is read here is what it does not tell: how many there are, because
 * it takes the first of a text and passes over the others, whose each is, and
 * until when it holds, because behind that time OpenSSL refuses every
 * certificate of the list's authority.
 */
import { createHash } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { pemBlocksOf } from './pem-blocks.ts';

/** One list of an authority. */
export type RevocationList = {
  readonly pem: string;
  /** Tells lists apart, however their PEM is written. */
  readonly fingerprint: string;
  /** The name of the authority, as `CN=callers, O=Example`. */
  readonly issuer: string;
  /** From when on it holds. */
  readonly issuedAt: Date;
  /** When the next one is due, and this one holds no longer; undefined where it does not say. */
  readonly expiresAt: Date | undefined;
};

const label = 'X509 CRL';

/**
 * The lists of a file. Throws when there is none, one that is cut off, or one whose head cannot be read. Whether OpenSSL
 * takes their entries it tells when they are used; `checkLists` says then which it is.
 */
export function revocationListsFrom(text: string, path: string): readonly RevocationList[] {
  const pems = pemBlocksOf(text, label, path);
  if (pems.length === 0) throw new Error(`there is no revocation list in PEM in ${path}`);
  return pems.map((pem, i) => {
    try {
      return listFrom(pem);
    } catch (error) {
      throw unreadable(i, path, error);
    }
  });
}

/** Throws for the first list that OpenSSL does not take. It reads each of them whole. */
export function checkLists(lists: readonly RevocationList[], path: string): void {
  for (const [i, { pem }] of lists.entries()) {
    try {
      createSecureContext({ crl: pem });
    } catch (error) {
      throw unreadable(i, path, error);
    }
  }
}

const unreadable = (i: number, path: string, cause: unknown): Error =>
  new Error(`the revocation list number ${i + 1} in ${path} cannot be read`, { cause });

const integerTag = 0x02;
const utcTimeTag = 0x17;
const generalizedTimeTag = 0x18;

/** Of the list to be signed, issuer, thisUpdate and nextUpdate follow version and algorithm. */
function listFrom(pem: string): RevocationList {
  const der = Buffer.from(pem.replace(/-----[^-]*-----/g, ''), 'base64');
  const signed = elementAt(der, elementAt(der, 0).start);
  let at = elementAt(der, signed.start);
  if (at.tag === integerTag) at = elementAt(der, at.end);
  const issuer = elementAt(der, at.end);
  const thisUpdate = elementAt(der, issuer.end);
  const nextUpdate = thisUpdate.end < signed.end ? elementAt(der, thisUpdate.end) : undefined;
  const issuedAt = timeOf(der, thisUpdate);
  if (issuedAt === undefined) throw new Error('it does not say since when it holds');
  return {
    pem,
    fingerprint: createHash('sha256').update(der).digest('hex'),
    issuer: nameOf(der, issuer),
    issuedAt,
    expiresAt: nextUpdate && timeOf(der, nextUpdate),
  };
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

/** The parts of names that have a short word, by the hex of their object identifier. */
const words: Readonly<Record<string, string>> = {
  '550403': 'CN',
  '550406': 'C',
  '550407': 'L',
  '550408': 'ST',
  '55040a': 'O',
  '55040b': 'OU',
  '0992268993f22c640119': 'DC',
};

/** A distinguished name as text; a part without a word goes by the hex of its object identifier. */
function nameOf(der: Buffer, name: Element): string {
  return childrenOf(der, name)
    .flatMap((set) => childrenOf(der, set))
    .map((part) => {
      const [type, value] = childrenOf(der, part);
      if (type === undefined || value === undefined) throw new Error('it has a name that cannot be read');
      const key = der.toString('hex', type.start, type.end);
      return `${words[key] ?? key}=${der.toString('utf8', value.start, value.end)}`;
    })
    .join(', ');
}

function childrenOf(der: Buffer, { start, end }: Element): readonly Element[] {
  const children: Element[] = [];
  for (let at = start; at < end; at = children.at(-1)!.end) children.push(elementAt(der, at));
  return children;
}
