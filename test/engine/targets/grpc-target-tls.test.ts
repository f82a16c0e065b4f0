import { describe, expect, it } from 'vitest';
import { deliverTo, grpcTarget } from './grpc/attempt.ts';
import { bytesOf, log, startGrpcCallee, startTcpCallee } from './grpc/callee.ts';
import { startCallee } from './http/callee.ts';
import { expiredCertificate, localhostCertificate, testKey } from './http/certificates.ts';

const targetError = { outcome: 'FAILED', reason: 'TARGET_ERROR' };

describe('TLS', () => {
  const startTls = (cert: string) =>
    startGrpcCallee(
      (call) => {
        call.write(bytesOf(log('over TLS')));
        call.end();
      },
      { tls: { key: testKey, cert } },
    );

  it.each([
    ['self-signed', localhostCertificate, {}, 'it is self-signed'],
    ['expired', expiredCertificate, { caPem: expiredCertificate }, 'it has expired'],
    ['for another name', localhostCertificate, { caPem: localhostCertificate }, 'it is for another name'],
    [
      'not for the name of the target',
      localhostCertificate,
      { caPem: localhostCertificate, serverName: 'callee.example' },
      'it is for another name',
    ],
  ])('with a certificate that is %s fails the attempt for good', async (_what, cert, tls, why) => {
    const callee = await startTls(cert);
    expect((await deliverTo(grpcTarget(callee.address, { tls }))).result).toEqual({
      ...targetError,
      message: `certificate not accepted: ${why}`,
      retryable: false,
    });
    expect(callee.calls).toEqual([]);
  });

  it.each([
    ['localhost', {}],
    ['127.0.0.1', { serverName: 'localhost' }],
  ])('of %s with a certificate that the target trusts succeeds (%j)', async (host, tls) => {
    const callee = await startTls(localhostCertificate);
    const target = grpcTarget(`${host}:${callee.port}`, { tls: { ...tls, caPem: localhostCertificate } });
    const { result, lines } = await deliverTo(target);
    expect(result.outcome).toBe('SUCCEEDED');
    expect(lines).toEqual([{ level: 'INFO', message: 'over TLS' }]);
  });

  it('trusts what the instance trusts where the target says nothing', async () => {
    const callee = await startTls(localhostCertificate);
    const target = grpcTarget(`localhost:${callee.port}`, { tls: {} });
    expect((await deliverTo(target, { ca: localhostCertificate })).result.outcome).toBe('SUCCEEDED');
  });

  it('towards a callee that has none fails the attempt, retryable', async () => {
    const address = await startTcpCallee((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    const { result } = await deliverTo(grpcTarget(address, { tls: {} }));
    expect(result).toEqual({ ...targetError, message: 'TLS handshake failed', retryable: true });
  });

  it('to a callee that speaks only HTTP/1.1 fails the attempt', async () => {
    const callee = await startCallee((_request, response) => response.end(), {
      key: testKey,
      cert: localhostCertificate,
    });
    const target = grpcTarget(`localhost:${callee.port}`, { tls: { caPem: localhostCertificate } });
    const { result } = await deliverTo(target);
    expect(result).toMatchObject({ ...targetError, retryable: true });
    expect(callee.received).toEqual([]);
  });

  it('of a callee that asks for a certificate ends the attempt at its alert, not when time is up', async () => {
    const tls = { key: testKey, cert: localhostCertificate, clientCa: localhostCertificate };
    const callee = await startGrpcCallee((call) => call.end(), { tls });
    const target = grpcTarget(`localhost:${callee.port}`, { tls: { caPem: localhostCertificate } });
    const { result } = await deliverTo(target, { connectTimeoutMs: 60_000 });
    // What was on its way to the callee may break the connection before the alert is read.
    expect(result).toMatchObject({
      ...targetError,
      message: expect.stringMatching(
        /^(callee asks for a client certificate|connection (reset|closed) by callee)/,
      ),
    });
  });

  it('is not used where the target does not ask for it', async () => {
    const callee = await startTls(localhostCertificate);
    const { result } = await deliverTo(grpcTarget(callee.address));
    expect(result).toMatchObject({ ...targetError, retryable: true });
    expect(callee.calls).toEqual([]);
  });
});
