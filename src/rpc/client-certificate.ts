/**
 * Who is at the other end of a TLS connection. A certificate that none of the
 * trusted authorities has signed never gets this far: its connection is refused
 * (tls-material.ts). What a certificate says is read once for each connection.
 */
import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { type PeerCertificate, TLSSocket } from 'node:tls';

/** What a verified client certificate says. */
export type ClientCertificate = {
  /** The common name of its subject; undefined when it has none, or several. */
  readonly subjectName: string | undefined;
  /** The DNS names among its alternative names. */
  readonly dnsNames: readonly string[];
  /** The URIs among its alternative names, such as `spiffe://example.org/worker`. */
  readonly uris: readonly string[];
  /** SHA-256 over all of it, as upper-case hexadecimal pairs with colons between them. */
  readonly fingerprint256: string;
  /** Until when it is valid. It was when the connection began, which may be long ago. */
  readonly validTo: Date;
};

const known = new WeakMap<ServerHttp2Session | Socket, ClientCertificate | 'none'>();

/**
 * The certificate that a caller has shown on this connection; undefined when
 * the connection is not TLS or is gone, or the caller showed none that could be
 * verified.
 */
export function clientCertificateOf(connection: ServerHttp2Session | Socket): ClientCertificate | undefined {
  let found = known.get(connection);
  if (found === undefined) {
    // What is gone cannot be asked any more, and nobody hears the answer.
    if (connection.destroyed) return undefined;
    const socket = 'socket' in connection ? connection.socket : connection;
    found = (socket instanceof TLSSocket ? verifiedCertificate(socket) : undefined) ?? 'none';
    known.set(connection, found);
  }
  return found === 'none' ? undefined : found;
}

function verifiedCertificate(socket: TLSSocket): ClientCertificate | undefined {
  const shown = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  if (shown === undefined) return undefined;
  const { subject } = shown.toLegacyObject() as Partial<PeerCertificate>;
  const names = alternativeNames(shown.subjectAltName ?? '');
  const commonName: unknown = subject?.CN;
  return {
    subjectName: typeof commonName === 'string' && commonName !== '' ? commonName : undefined,
    dnsNames: names.flatMap(([kind, value]) => (kind === 'DNS' ? [value] : [])),
    uris: names.flatMap(([kind, value]) => (kind === 'URI' ? [value] : [])),
    fingerprint256: shown.fingerprint256,
    validTo: shown.validToDate,
  };
}

/**
 * Takes apart the text that Node makes of alternative names:
 * `DNS:a.example, URI:"spiffe://b, DNS:c"`. A value with a comma, a quote or
 * anything else that could be taken for the next name stands there as a JSON
 * string; cutting at commas would let whoever chose one name choose others.
 */
export function alternativeNames(text: string): readonly (readonly [kind: string, value: string])[] {
  const names: (readonly [string, string])[] = [];
  const name = /([A-Za-z][A-Za-z0-9 ]*):(?:("(?:[^"\\]|\\.)*")|([^",]*))(?:, |$)/y;
  while (name.lastIndex < text.length) {
    const [, kind, quoted, plain] = name.exec(text) ?? [];
    // Text of another form names nobody.
    if (kind === undefined) return [];
    names.push([kind, quoted === undefined ? (plain ?? '') : (JSON.parse(quoted) as string)]);
  }
  return names;
}
