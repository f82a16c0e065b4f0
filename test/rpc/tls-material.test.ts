import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import tls from 'node:tls';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../../src/platform/clock.ts';
import { TlsMaterial } from '../../src/rpc/tls-material.ts';
import { type LogLine, memoryLogger } from '../conformance/servers.ts';
import { expiredCertificate, testKey } from '../engine/targets/http/certificates.ts';
import { encryptedKey } from '../engine/targets/http/client-certificates.ts';
import { callerAuthority, firstListener, secondListener } from '../support/identities.ts';
import {
  emptyRevocationList,
  expiredRevocationList,
  otherRevocationList,
  revocationList,
  revokingAuthority,
} from '../support/revoked-identities.ts';
import { type MountedTls, type TlsContent, useMountedTls } from '../support/tls-files.ts';

const mountTls = useMountedTls();
const started: TlsMaterial[] = [];

afterEach(async () => {
  for (const material of started.splice(0)) await material.stop();
});

/** A material that reads again only when the test says so. */
function materialOf(files: MountedTls): { material: TlsMaterial; logged: LogLine[]; taken: unknown[] } {
  const logged: LogLine[] = [];
  const logger = memoryLogger(logged);
  const material = new TlsMaterial({ files, clock: systemClock, logger, rereadMs: 3_600_000 });
  started.push(material);
  const taken: unknown[] = [];
  material.onChange(({ cert }) => taken.push(cert));
  return { material, logged, taken };
}

async function start(content: TlsContent) {
  const files = await mountTls(content);
  const made = materialOf(files);
  await made.material.start();
  made.taken.length = 0;
  made.logged.length = 0;
  return { files, ...made };
}

const severe = (logged: readonly LogLine[]) => logged.filter(({ level }) => level !== 'info');

describe('the TLS files at the start', () => {
  it.each<[string, TlsContent, string]>([
    [
      'a certificate file that is missing',
      { key: firstListener.key },
      'the certificate file of TLS cannot be read: ENOENT',
    ],
    [
      'a key file that is missing',
      { cert: firstListener.cert },
      'the key file of TLS cannot be read: ENOENT',
    ],
    [
      'a key that is not the certificate’s',
      { cert: firstListener.cert, key: secondListener.key },
      'is not that of the first certificate in',
    ],
    ['a certificate that is none', { ...firstListener, cert: 'none' }, 'there is no certificate in PEM in'],
    [
      'a key that is none',
      { ...firstListener, key: firstListener.cert },
      'there is no private key in PEM without a passphrase in',
    ],
    [
      'a key under a passphrase',
      { ...firstListener, key: encryptedKey },
      'there is no private key in PEM without a passphrase in',
    ],
    ['authorities without a certificate', { ...firstListener, ca: '' }, 'there is no certificate in PEM in'],
    [
      'authorities of which one cannot be read',
      {
        ...firstListener,
        ca: `${callerAuthority}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
      },
      'the certificate number 2 in',
    ],
    [
      'a file of revocation lists without one',
      { ...firstListener, ca: revokingAuthority, crl: revokingAuthority },
      'there is no revocation list in PEM in',
    ],
    [
      'revocation lists of which one cannot be read',
      {
        ...firstListener,
        ca: revokingAuthority,
        crl: `${revocationList}-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n`,
      },
      'the revocation list number 2 in',
    ],
    [
      'authorities of which one is cut off',
      { ...firstListener, ca: `${callerAuthority}${revokingAuthority.slice(0, 300)}` },
      'of 2 blocks CERTIFICATE in',
    ],
  ])('are refused for %s', async (_what, content, reason) => {
    const { material } = materialOf(await mountTls(content));
    await expect(material.start()).rejects.toThrow(reason);
  });

  it('may hold a certificate that has expired: the log says so, and callers judge it themselves', async () => {
    const { material, logged } = materialOf(await mountTls({ cert: expiredCertificate, key: testKey }));
    await material.start();
    expect(severe(logged)).toMatchObject([
      {
        level: 'error',
        message: 'callers will refuse the tls certificate',
        error: { message: expect.stringContaining('has expired') },
      },
    ]);
  });
});

it('the TLS files at the start may hold a revocation list that has expired, which the log says once', async () => {
  const content = { ...firstListener, ca: revokingAuthority, crl: expiredRevocationList };
  const { material, logged } = materialOf(await mountTls(content));
  await material.start();
  for (let i = 0; i < 3; i++) await material.reread();
  expect(severe(logged)).toMatchObject([
    {
      level: 'error',
      message: 'callers with a certificate of this issuer are refused',
      issuer: 'CN=revoking authority',
      error: {
        message: 'the revocation list of CN=revoking authority has expired at 2020-02-01T00:00:00.000Z',
      },
    },
  ]);
});

it('of several revocation lists the one that has run out is named, and only that', async () => {
  const content = {
    ...firstListener,
    ca: revokingAuthority,
    crl: `${otherRevocationList}${expiredRevocationList}`,
  };
  const { material, logged } = materialOf(await mountTls(content));
  await material.start();
  await material.reread();
  expect(severe(logged)).toMatchObject([{ issuer: 'CN=revoking authority' }]);
});

describe('what is out of date and in use already', () => {
  const ca = revokingAuthority;

  it('lets a new certificate be taken, when it is a revocation list', async () => {
    const { files, material, taken } = await start({ ...firstListener, ca, crl: expiredRevocationList });
    await files.swap({ ...secondListener, ca, crl: expiredRevocationList.replaceAll('\n', '\r\n') });
    await material.reread();
    expect(taken).toEqual([secondListener.cert]);
  });

  it('lets new authorities and lists be taken, when it is the certificate', async () => {
    const old = { cert: expiredCertificate, key: testKey };
    const { files, material, taken } = await start({ ...old, ca, crl: revocationList });
    await files.swap({ ...old, ca: `${ca}${callerAuthority}`, crl: revocationList });
    await material.reread();
    await files.swap({ ...old, ca: `${ca}${callerAuthority}`, crl: emptyRevocationList });
    await material.reread();
    expect(taken).toHaveLength(2);
    expect(material.context).toMatchObject({
      ca: `${ca}${callerAuthority}`,
      crl: [emptyRevocationList.trim()],
    });
  });

  it('lets the list of another authority be taken, when it is a list', async () => {
    const { files, material } = await start({ ...firstListener, ca, crl: expiredRevocationList });
    const both = `${expiredRevocationList}${otherRevocationList}`;
    await files.swap({ ...firstListener, ca, crl: both });
    await material.reread();
    expect(material.context.crl).toHaveLength(2);
  });
});

describe('the TLS files later on', () => {
  it('are taken when their time has come, though nobody writes them again', async () => {
    let now = new Date('2026-01-01T00:00:00Z');
    const files = await mountTls({ cert: expiredCertificate, key: testKey });
    const clock = { ...systemClock, now: () => now };
    const material = new TlsMaterial({ files, clock, logger: memoryLogger([]), rereadMs: 3_600_000 });
    started.push(material);
    await material.start();
    await files.swap(firstListener);
    for (let i = 0; i < 3; i++) await material.reread();
    expect(material.context.cert).toBe(expiredCertificate);
    now = new Date('2027-01-01T00:00:00Z');
    await material.reread();
    expect(material.context.cert).toBe(firstListener.cert);
  });

  it('are not read anew as long as they hold the same, be it good or bad', async () => {
    const content = { ...firstListener, ca: revokingAuthority, crl: revocationList };
    const { files, material } = await start(content);
    const made = vi.spyOn(tls, 'createSecureContext');
    const parsed = vi.spyOn(crypto, 'createPrivateKey');
    syncBuiltinESMExports();
    onTestFinished(() => {
      vi.restoreAllMocks();
      syncBuiltinESMExports();
    });
    const readBy = async (): Promise<readonly number[]> => {
      for (let i = 0; i < 3; i++) await material.reread();
      const calls = [made.mock.calls.length, parsed.mock.calls.length];
      vi.clearAllMocks();
      return calls;
    };
    expect(await readBy()).toEqual([0, 0]);
    await files.swap({ ...content, crl: emptyRevocationList });
    expect(await readBy()).toEqual([1, 1]);
    await files.swap({ ...content, crl: expiredRevocationList });
    expect(await readBy()).toEqual([1, 1]);
    await files.swap({ ...content, crl: 'none' });
    expect(await readBy()).toEqual([0, 1]);
  });

  it('are taken when they hold something else, and only then', async () => {
    const { files, material, taken, logged } = await start(firstListener);
    await files.swap(firstListener);
    await material.reread();
    expect(taken).toEqual([]);
    await files.swap(secondListener);
    await material.reread();
    await material.reread();
    expect(taken).toEqual([secondListener.cert]);
    expect(material.context.key).toBe(secondListener.key);
    expect(logged).toMatchObject([
      { level: 'info', message: 'tls certificate in use', subject: 'CN=second listener' },
    ]);
  });

  it('are taken with new authorities of callers', async () => {
    const { files, material, taken } = await start({ ...firstListener, ca: callerAuthority });
    await files.swap({ ...firstListener, ca: firstListener.cert });
    await material.reread();
    expect(taken).toHaveLength(1);
    expect(material.context.ca).toBe(firstListener.cert);
  });

  it.each<[string, TlsContent]>([
    ['do not fit together', { cert: secondListener.cert, key: firstListener.key }],
    ['are gone', {}],
    ['hold a certificate that has expired', { cert: expiredCertificate, key: testKey }],
  ])('leave what was read before when they %s, which is logged once', async (_what, content) => {
    const { files, material, taken, logged } = await start(firstListener);
    await files.swap(content);
    for (let i = 0; i < 5; i++) await material.reread();
    expect(taken).toEqual([]);
    expect(material.context.cert).toBe(firstListener.cert);
    expect(logged).toMatchObject([
      {
        level: 'error',
        message: 'new tls files cannot be used, the ones before go on',
        error: expect.any(Error),
      },
    ]);
    await files.swap(secondListener);
    await material.reread();
    expect(taken).toEqual([secondListener.cert]);
  });

  it.each([
    ['is none', 'none', 'there is no revocation list in PEM in'],
    ['is cut off', revocationList.replace(/-----\n.*\n/, '-----\n'), 'the revocation list number 1 in'],
    [
      'has expired',
      expiredRevocationList,
      'the revocation list of CN=revoking authority has expired at 2020-02-01T00:00:00.000Z',
    ],
    [
      'is written to its half, behind a whole one',
      `${otherRevocationList}${revocationList.slice(0, 200)}`,
      'of 2 blocks X509 CRL in',
    ],
    [
      'has only begun, behind a whole one',
      `${otherRevocationList}${revocationList.slice(0, 9)}`,
      'of 2 blocks X509 CRL in',
    ],
    [
      'is written to its half, before a whole one',
      `${revocationList.slice(0, 200)}\n${otherRevocationList}`,
      'of 2 blocks X509 CRL in',
    ],
  ])(
    'leave the revocation lists of before when a new one %s, which is logged once',
    async (_what, crl, why) => {
      const ca = revokingAuthority;
      const { files, material, taken, logged } = await start({ ...firstListener, ca, crl: revocationList });
      await files.swap({ ...firstListener, ca, crl });
      for (let i = 0; i < 5; i++) await material.reread();
      expect(taken).toEqual([]);
      expect(material.context.crl).toEqual([revocationList.trim()]);
      expect(severe(logged)).toMatchObject([
        {
          message: 'new tls files cannot be used, the ones before go on',
          error: { message: expect.stringContaining(why) },
        },
      ]);
      await files.swap({ ...firstListener, ca, crl: emptyRevocationList });
      await material.reread();
      expect(material.context.crl).toEqual([emptyRevocationList.trim()]);
    },
  );

  it('may not fit together for one look: whoever writes two files writes one first', async () => {
    const { files, material, taken, logged } = await start(firstListener);
    await files.swap({ cert: secondListener.cert, key: firstListener.key });
    await material.reread();
    await files.swap(secondListener);
    await material.reread();
    expect(taken).toEqual([secondListener.cert]);
    expect(severe(logged)).toEqual([]);
  });

  it('are warned of once when nine tenths of their time are over', async () => {
    const clock = { ...systemClock, now: () => new Date('2125-01-01T00:00:00Z') };
    const logged: LogLine[] = [];
    const files = await mountTls(firstListener);
    const material = new TlsMaterial({ files, clock, logger: memoryLogger(logged), rereadMs: 3_600_000 });
    started.push(material);
    await material.start();
    for (let i = 0; i < 3; i++) await material.reread();
    expect(severe(logged)).toMatchObject([{ level: 'warn', message: 'the tls certificate expires soon' }]);
  });
});

it('stops before it has started, and when it could not', async () => {
  const { material } = materialOf(await mountTls(firstListener));
  await material.stop();
  const { material: broken } = materialOf(await mountTls({}));
  await expect(broken.start()).rejects.toThrow('ENOENT');
  await broken.stop();
});
