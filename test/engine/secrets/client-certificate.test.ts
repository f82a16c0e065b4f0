/** What a client certificate has to be, and that nothing of it is told. */
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../../../src/domain/errors.ts';
import { certificateFromBytes, certificateFromText } from '../../../src/engine/secrets/client-certificate.ts';
import { testKey } from '../targets/http/certificates.ts';
import * as pem from '../targets/http/client-certificates.ts';

const { bundleOf, firstCertificate, firstKey, intermediateAuthority } = pem;
const now = new Date('2026-11-21T10:00:00Z');
const read = (text: string) => certificateFromText(text, now, 'value');

/** What would give a text away: its lines of base64. */
const words = (text: string): readonly string[] => text.match(/[A-Za-z0-9+/=]{40,}/g) ?? [];

describe('a client certificate', () => {
  it.each([
    ['with the authority in between', pem.firstBundle],
    ['with its key first', bundleOf(firstKey, firstCertificate, intermediateAuthority)],
    ['alone', bundleOf(firstCertificate, firstKey)],
    ['with CRLF and blanks at the ends', pem.firstBundle.replaceAll('\n', ' \r\n')],
    [
      'with words in between',
      bundleOf('Bag Attributes: x\n', firstCertificate, 'subject=CN = x\n', firstKey),
    ],
    ['with a key behind the parameters of its curve', bundleOf(firstCertificate, pem.keyWithParameters)],
    ['of ten certificates', bundleOf(firstCertificate, intermediateAuthority.repeat(9), firstKey)],
  ])('is read %s, and again from what is kept', (_, text) => {
    const certificate = read(text);
    expect(certificate.expiresAt).toEqual(new Date('2120-01-01T00:00:00Z'));
    const again = certificateFromBytes(certificate.toBytes());
    expect(again.id).toBe(certificate.id);
    expect(again.credentials).toEqual(certificate.credentials);
    expect(again.credentials.cert.startsWith(firstCertificate)).toBe(true);
  });

  it('is another one with other certificates', () => {
    expect(read(pem.secondBundle).id).not.toBe(read(pem.firstBundle).id);
    expect(read(bundleOf(firstCertificate, firstKey)).id).not.toBe(read(pem.firstBundle).id);
  });

  it.each([
    ['no PEM', 'whsec_abc', 'must hold a certificate in PEM (-----BEGIN CERTIFICATE-----)'],
    ['a key alone', firstKey, 'must hold a certificate in PEM (-----BEGIN CERTIFICATE-----)'],
    [
      'a certificate alone',
      firstCertificate,
      'must hold the private key of the certificate in PEM (-----BEGIN PRIVATE KEY-----)',
    ],
    ['two keys', bundleOf(firstCertificate, firstKey, pem.secondKey), 'must hold one private key'],
    [
      'eleven certificates',
      bundleOf(firstCertificate, intermediateAuthority.repeat(10), firstKey),
      'must hold at most 10 certificates',
    ],
    [
      'a key under a passphrase',
      bundleOf(firstCertificate, pem.encryptedKey),
      'the private key must not be encrypted; openssl pkey takes its passphrase off',
    ],
    [
      'a key under a passphrase, the old way',
      bundleOf(firstCertificate, pem.encryptedOldKey),
      'the private key must not be encrypted; openssl pkey takes its passphrase off',
    ],
    [
      'the key of another certificate',
      bundleOf(firstCertificate, pem.secondKey),
      'the private key is not that of the first certificate',
    ],
    [
      'the certificates in the wrong order',
      bundleOf(intermediateAuthority, firstCertificate, firstKey),
      'the private key is not that of the first certificate',
    ],
    [
      'an expired certificate',
      bundleOf(pem.expiredClientCertificate, firstKey),
      'the certificate has expired at 2020-01-02T00:00:00.000Z',
    ],
    [
      'a certificate of the future',
      bundleOf(pem.futureClientCertificate, firstKey),
      'the certificate is not valid before 2119-01-01T00:00:00.000Z',
    ],
    ['a block without its end', pem.firstBundle.slice(0, -30), 'holds a block of PEM without its end'],
    [
      'a block within another',
      bundleOf(firstCertificate.slice(0, 100), '\n', firstKey),
      'holds a block of PEM without its end',
    ],
    [
      'a damaged certificate',
      bundleOf(firstCertificate, intermediateAuthority.replace('MII', 'AAA'), firstKey),
      'the certificate number 2 cannot be read',
    ],
    [
      'a damaged key',
      bundleOf(firstCertificate, firstKey.replace('MIG', 'AAA')),
      'the private key cannot be read',
    ],
  ])('is refused for %s, without repeating any of it', (_, text, description) => {
    let error: unknown;
    try {
      read(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(DomainError);
    const { reason, message, details, stack, cause } = error as DomainError;
    expect({ reason, message }).toEqual({ reason: 'INVALID_ARGUMENT', message: `value: ${description}` });
    expect(details.violations).toEqual([{ field: 'value', description }]);
    const told = inspect([message, details, stack, cause], { depth: 10 });
    for (const word of words(text)) expect(told).not.toContain(word);
  });

  it('does not show its key where it is logged or written as JSON', () => {
    const certificate = read(pem.firstBundle);
    for (const shown of [
      inspect(certificate, { depth: 10, showHidden: true }),
      JSON.stringify(certificate),
    ]) {
      for (const word of words(firstKey)) expect(shown).not.toContain(word);
      expect(shown).not.toContain('PRIVATE KEY');
    }
  });

  it('is read in time that grows with its length only', () => {
    const text = '-----BEGIN A-----\n-----END B-----\n'.repeat(2_000);
    expect(() => read(text)).toThrow('holds a block of PEM without its end');
    expect(() => read(`${'-'.repeat(65_536)}\n${testKey}`)).toThrow('must hold a certificate');
  });
});
