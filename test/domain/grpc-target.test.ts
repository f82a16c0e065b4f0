import { describe, expect, it } from 'vitest';
import { defaultGrpcMethod, hostAndPortFrom, validateGrpcTarget } from '../../src/domain/grpc-target.ts';
import type { GrpcTarget } from '../../src/domain/job.ts';

const violations = (rest: Partial<GrpcTarget>) =>
  validateGrpcTarget(
    { kind: 'grpc', address: 'callee.example:50051', metadata: {}, method: defaultGrpcMethod, ...rest },
    'job.target.grpc',
  );

const wrongAddress = 'must be host:port without a scheme, such as callee.example:50051 or [::1]:50051';

describe('address', () => {
  it.each([
    ['callee.example:50051', 'callee.example', 50_051],
    ['localhost:1', 'localhost', 1],
    ['a_b-c.example.:65535', 'a_b-c.example.', 65_535],
    ['127.0.0.1:80', '127.0.0.1', 80],
    ['[::1]:50051', '::1', 50_051],
    ['[::ffff:127.0.0.1]:50051', '::ffff:127.0.0.1', 50_051],
    ['0x7f.1:80', '0x7f.1', 80],
  ])('accepts %s', (address, host, port) => {
    expect(violations({ address })).toEqual([]);
    expect(hostAndPortFrom(address)).toEqual({ host, port });
  });

  it.each([
    '',
    'callee.example',
    'callee.example:',
    ':50051',
    'callee.example:0',
    'callee.example:65536',
    'callee.example:5005x',
    'dns:callee.example:50051',
    'dns:///callee.example:50051',
    'unix:/var/run/docker.sock',
    'unix:///var/run/docker.sock:1',
    'ipv4:127.0.0.1:50051',
    'http://callee.example:50051',
    'user@callee.example:50051',
    '::1:50051',
    '[::1]',
    '[::1%eth0]:50051',
    '[localhost]:50051',
    '[1:2]:50051',
    'callee..example:50051',
    'callee example:50051',
    'callee.example:50051\n',
    'bücher.example:50051',
    'callee.example:50051/path',
    'a,b:50051',
  ])('refuses %j', (address) => {
    expect(violations({ address })).toEqual([
      { field: 'job.target.grpc.address', description: wrongAddress },
    ]);
  });

  it('refuses more than 260 characters, and a host of more than 253', () => {
    expect(violations({ address: `${'a'.repeat(253)}:65535` })).toEqual([]);
    expect(violations({ address: `${'a'.repeat(254)}:6553` })[0]?.description).toBe(wrongAddress);
    expect(violations({ address: `${'a'.repeat(260)}:1` })[0]?.description).toBe(
      'must have at most 260 characters',
    );
  });
});

describe('secret metadata', () => {
  it.each(['authorization', 'x-api-key', '__proto__'])('accepts %s', (name) => {
    expect(violations({ secretMetadata: Object.fromEntries([[name, 'crm token']]) })).toEqual([]);
  });

  it.each([
    ['grpc-timeout', 'is set by the connection or by Carillon; leave it out'],
    ['user-agent', 'is set by the connection or by Carillon; leave it out'],
    ['X-Upper', 'the name must be of lower case letters, digits and _ . -'],
    ['a'.repeat(257), 'the name must have at most 256 characters'],
    ['x-plain', 'is among the metadata, too; keep one of them'],
    ['x-key-bin', 'the name must not end in -bin: the value of a secret is text, not base64'],
  ])('refuses %j', (name, description) => {
    expect(violations({ metadata: { 'x-plain': 'a' }, secretMetadata: { [name]: 'crm' } })).toEqual([
      { field: `job.target.grpc.secret_metadata[${JSON.stringify(name)}]`, description },
    ]);
  });

  it.each(['', 'a\nb', 'a'.repeat(201)])('refuses %j as the name of a secret', (name) => {
    expect(violations({ secretMetadata: { 'x-a': name } })).toEqual([
      {
        field: 'job.target.grpc.secret_metadata["x-a"]',
        description: 'the name of the secret must have 1 to 200 characters, none of them a control',
      },
    ]);
  });

  it('refuses more than 16', () => {
    const some = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`x-${i}`, 'crm']));
    expect(violations({ secretMetadata: some(16) })).toEqual([]);
    expect(violations({ secretMetadata: some(17) })).toEqual([
      { field: 'job.target.grpc.secret_metadata', description: 'must have at most 16 entries' },
    ]);
  });
});

describe('metadata', () => {
  it.each([
    ['authorization', 'Bearer abc'],
    ['x-empty', ''],
    ['x_a.b-1', 'printable ~!'],
    ['x-bin', 'AQID'],
    ['x-bin', 'AQ'],
    ['x-bin', ''],
    ['x-grpc-', 'not the prefix'],
    ['__proto__', 'a name like any other'],
  ])('accepts %s: %j', (name, value) => {
    expect(violations({ metadata: Object.fromEntries([[name, value]]) })).toEqual([]);
  });

  it.each([
    'grpc-timeout',
    'grpc-encoding',
    'content-type',
    'content-length',
    'te',
    'user-agent',
    'host',
    'connection',
    'keep-alive',
    'transfer-encoding',
    'upgrade',
    'http2-settings',
    'proxy-authorization',
    'carillon-attempt',
    'webhook-signature',
    'idempotency-key',
  ])('refuses %s, which belongs to the connection or to Carillon', (name) => {
    expect(violations({ metadata: { [name]: 'x' } })).toEqual([
      {
        field: `job.target.grpc.metadata["${name}"]`,
        description: 'is set by the connection or by Carillon; leave it out',
      },
    ]);
  });

  it.each(['', 'X-Upper', ':path', 'a b', 'a:b', 'x\r\nhost', 'größe', 'a'.repeat(257)])(
    'refuses the name %j',
    (name) => {
      const [violation, ...others] = violations({ metadata: { [name]: 'x' } });
      expect(others).toEqual([]);
      expect(violation?.field).toBe(`job.target.grpc.metadata[${JSON.stringify(name)}]`);
      expect(violation?.description).toMatch(/^the name must /);
    },
  );

  it.each([
    ['x-a', 'a\r\nhost: evil'],
    ['x-a', 'a\0b'],
    ['x-a', 'tab\there'],
    ['x-a', ' before'],
    ['x-a', 'behind '],
    ['x-a', ' '],
    ['x-a', 'grüße'],
    ['x-a', 'a'.repeat(8_193)],
    ['x-bin', 'not base64!'],
    ['x-bin', 'A'],
  ])('refuses %s with the value %j', (name, value) => {
    const [violation, ...others] = violations({ metadata: { [name]: value } });
    expect(others).toEqual([]);
    expect(violation?.description).toMatch(/^the value must /);
  });

  it('refuses more than 64', () => {
    const metadata = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`x-${i}`, '']));
    expect(violations({ metadata: metadata(64) })).toEqual([]);
    expect(violations({ metadata: metadata(65) })).toEqual([
      { field: 'job.target.grpc.metadata', description: 'must have at most 64 entries' },
    ]);
  });
});

describe('the rest', () => {
  it.each(['carillon.v1.TargetService/Run', 'Jobs/Run', 'a.b_c.D1/run_2'])(
    'accepts the method %s',
    (method) => {
      expect(violations({ method })).toEqual([]);
    },
  );

  it.each(['', 'Run', '/carillon.v1.TargetService/Run', 'a/b/c', 'a./b', '../x', 'a b/c', 'a/b?c', 'a/b\n'])(
    'refuses the method %j',
    (method) => {
      expect(violations({ method })).toEqual([
        {
          field: 'job.target.grpc.method',
          description: 'must be package.Service/Method, such as carillon.v1.TargetService/Run',
        },
      ]);
    },
  );

  it('refuses a method of more than 512 characters', () => {
    expect(violations({ method: `a/${'b'.repeat(511)}` })[0]?.description).toBe(
      'must have at most 512 characters',
    );
  });

  it('names every violation at once, in the order of the fields', () => {
    const all = violations({
      address: 'x',
      tls: { serverName: 'a b', caPem: 'x' },
      metadata: { te: 'x' },
      method: 'x',
    });
    expect(all.map(({ field }) => field)).toEqual([
      'job.target.grpc.address',
      'job.target.grpc.tls.server_name',
      'job.target.grpc.tls.ca_pem',
      'job.target.grpc.metadata["te"]',
      'job.target.grpc.method',
    ]);
  });
});
