import { describe, expect, it } from 'vitest';
import { deliverTo, httpTarget } from './http/attempt.ts';
import { answerWith, startCallee, startRawCallee } from './http/callee.ts';
import { expiredCertificate, localhostCertificate, testKey } from './http/certificates.ts';

const targetError = { outcome: 'FAILED', reason: 'TARGET_ERROR' };

describe('TLS', () => {
  const startTls = (cert: string) =>
    startCallee((_request, response) => response.end('{"tls":true}'), { key: testKey, cert });

  it.each([
    ['self-signed', localhostCertificate, undefined, 'it is self-signed'],
    ['expired', expiredCertificate, expiredCertificate, 'it has expired'],
    ['for another name', localhostCertificate, localhostCertificate, 'it is for another name'],
  ])('with a certificate that is %s fails the attempt for good', async (_what, cert, ca, why) => {
    const callee = await startTls(cert);
    expect((await deliverTo(httpTarget(callee.origin), { ca })).result).toEqual({
      ...targetError,
      message: `certificate not accepted: ${why}`,
      retryable: false,
    });
    expect(callee.received).toEqual([]);
  });

  it('with a trusted certificate succeeds', async () => {
    const callee = await startTls(localhostCertificate);
    const target = httpTarget(callee.origin.replace('127.0.0.1', 'localhost'));
    expect((await deliverTo(target, { ca: [localhostCertificate] })).result).toEqual({
      outcome: 'SUCCEEDED',
      message: '',
      retryable: false,
      result: { tls: true },
    });
  });

  it('towards a port without it fails the attempt, retryable', async () => {
    const callee = await startRawCallee((socket) => answerWith(socket, 'HTTP/1.1 400 Bad Request\r\n\r\n'));
    const { result } = await deliverTo(httpTarget(callee.origin.replace('http', 'https')));
    expect(result).toMatchObject({ message: 'TLS handshake failed', retryable: true });
  });
});
