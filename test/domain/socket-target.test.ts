import { describe, expect, it } from 'vitest';
import type { SocketTarget } from '../../src/domain/job.ts';
import { validateSocketTarget } from '../../src/domain/socket-target.ts';

const violations = (rest: Partial<SocketTarget>) =>
  validateSocketTarget({ kind: 'socket', host: 'callee.example', port: 9_000, ...rest }, 'job.target.socket');

const pem = '-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n';

describe('a socket target', () => {
  it.each(['localhost', '127.0.0.1', '::1', '2130706433', 'a'.repeat(253)])('accepts the host %s', (host) => {
    expect(violations({ host })).toEqual([]);
  });

  it.each(['', '[::1]', '::1%lo', 'a:1', 'unix:/x', '/var/run/x.sock', 'a b', 'ä.example', 'a'.repeat(254)])(
    'refuses the host %j',
    (host) => {
      expect(violations({ host })).toEqual([
        {
          field: 'job.target.socket.host',
          description:
            'must be a host name in ASCII or an address without brackets, without a port or a scheme',
        },
      ]);
    },
  );

  it.each([
    [1, true],
    [65_535, true],
    [0, false],
    [65_536, false],
    [1.5, false],
  ])('judges the port %d: %s', (port, fine) => {
    const expected = { field: 'job.target.socket.port', description: 'must be from 1 to 65535' };
    expect(violations({ port })).toEqual(fine ? [] : [expected]);
  });

  it.each([
    ['connectTimeoutMs', 1, 300_000, 'connect_timeout', 'must be from 1 millisecond to 5 minutes'],
    ['idleTimeoutMs', 1, 86_400_000, 'idle_timeout', 'must be from 1 millisecond to 24 hours'],
    ['heartbeatTimeoutMs', 1_000, 86_400_000, 'heartbeat_timeout', 'must be from 1 second to 24 hours'],
  ])('accepts a %s of %d to %d ms', (name, min, max, field, description) => {
    for (const ms of [min, max]) expect(violations({ [name]: ms })).toEqual([]);
    for (const ms of [min - 1, -1, max + 1, Number.NaN]) {
      expect(violations({ [name]: ms })).toEqual([{ field: `job.target.socket.${field}`, description }]);
    }
  });
});

describe('TLS options', () => {
  it.each([
    {},
    { serverName: 'other.example' },
    { serverName: '127.0.0.1' },
    { caPem: pem },
    { caPem: pem + pem },
    { clientCertificateSecretName: 'Zertifikat für Kunden' },
    { clientCertificateSecretName: '🔑'.repeat(200) },
  ])('accepts %j', (tls) => {
    expect(violations({ tls })).toEqual([]);
  });

  it.each([
    [{ serverName: '' }, 'server_name', 'must be a host name in ASCII of at most 253 characters'],
    [{ serverName: 'a b' }, 'server_name', 'must be a host name in ASCII of at most 253 characters'],
    [{ caPem: '' }, 'ca_pem', 'must hold certificates in PEM (-----BEGIN CERTIFICATE-----)'],
    [{ caPem: '/etc/ssl/ca.pem' }, 'ca_pem', 'must hold certificates in PEM (-----BEGIN CERTIFICATE-----)'],
    [
      { caPem: `${pem}-----BEGIN EC PRIVATE KEY-----\nAQID\n-----END EC PRIVATE KEY-----` },
      'ca_pem',
      'must not contain a private key; leave only the certificates',
    ],
    [{ caPem: pem.repeat(2_000) }, 'ca_pem', 'must have at most 65536 characters'],
  ])('refuses %j', (tls, field, description) => {
    expect(violations({ tls })).toEqual([{ field: `job.target.socket.tls.${field}`, description }]);
  });

  it.each(['', 'a\nb', 'a'.repeat(201)])(
    'refuses the client certificate %j',
    (clientCertificateSecretName) => {
      expect(violations({ tls: { clientCertificateSecretName } })).toEqual([
        {
          field: 'job.target.socket.tls.client_certificate_secret_name',
          description: 'must have 1 to 200 characters, none of them a control',
        },
      ]);
    },
  );
});
