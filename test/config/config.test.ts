import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { readEnvironment, variableNames } from '../../src/config/env.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { ConfigError } from '../../src/config/option-reader.ts';
import { EgressPolicy } from '../../src/platform/egress-policy.ts';

type Variables = Record<string, string>;

const load = (variables: Variables, flags = {}): Config => loadConfig(flags, readEnvironment(variables));

function problemsOf(variables: Variables, flags = {}): readonly string[] {
  try {
    load(variables, flags);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('loadConfig', () => {
  it('has a default for every option', () => {
    expect(load({})).toEqual({
      grpc: { address: { host: '127.0.0.1', port: 50_051 } },
      http: { address: { host: '127.0.0.1', port: 8_080 }, corsOrigins: [], hosts: [] },
      server: { maxConnections: 10_000, maxConnectionsPerAddress: 1_000, maxConnectionAgeMs: 0 },
      tls: { certFile: undefined, keyFile: undefined, clientCaFile: undefined, clientCrlFile: undefined },
      gateways: [],
      gatewayTimeZone: 'UTC',
      insecure: false,
      reflection: true,
      access: { control: false },
      jwt: {
        issuer: undefined,
        audience: undefined,
        jwksUrl: undefined,
        keysFile: undefined,
        algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
        type: 'at+jwt',
        clockToleranceMs: 30_000,
        claim: 'carillon',
      },
      databaseUrl: undefined,
      dataDir: resolve('.carillon'),
      secretKey: [],
      database: { poolSize: 16 },
      log: { level: 'info' },
      roles: ['api', 'scheduler', 'dispatcher'],
      egress: load({ CARILLON_EGRESS_ALLOW: '127.0.0.0/8,::1' }).egress,
      engine: {
        leaseTtlMs: 4_000,
        leaseRenewMs: 1_000,
        instanceTtlMs: 5_000,
        safetyIntervalMs: 1_000,
        maxRunning: 1_000,
        fireBatchSize: 2_000,
        claimBatchSize: 500,
        connectionsPerOrigin: 256,
        logBytesPerAttempt: 16_777_216,
        calleeCancelGraceMs: 30_000,
        shutdownGraceMs: 10_000,
      },
      worker: { heartbeatMs: 5_000, reconnectGraceMs: 10_000, cancelGraceMs: 10_000 },
      stream: { heartbeatMs: 15_000, bufferBytes: 4_194_304 },
      feed: { retentionMs: 3_600_000 },
    });
  });

  it('mirrors every key in a variable, DATABASE_URL excepted', () => {
    const namesOf = (value: object, path: string): string[] =>
      Object.entries(value).flatMap(([key, inner]) => {
        const name = `${path}_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
        const isGroup = typeof inner === 'object' && !Array.isArray(inner) && !('port' in inner);
        return isGroup ? namesOf(inner, name) : [name];
      });
    const expected = namesOf(load({}), 'CARILLON').map((name) =>
      name.replace('CARILLON_DATABASE_URL', 'DATABASE_URL'),
    );
    expect([...variableNames].sort()).toEqual(expected.sort());
  });

  it.each<[string, string, (config: Config) => unknown, unknown]>([
    ['CARILLON_GRPC_ADDRESS', '[::1]:0', (c) => c.grpc.address, { host: '::1', port: 0 }],
    ['CARILLON_HTTP_ADDRESS', 'localhost:9000', (c) => c.http.address, { host: 'localhost', port: 9_000 }],
    [
      'CARILLON_HTTP_CORS_ORIGINS',
      'https://a.example, http://B.example:81,https://a.example',
      (c) => c.http.corsOrigins,
      ['https://a.example', 'http://b.example:81'],
    ],
    ['CARILLON_GATEWAYS', 'task-api, ruoyi', (c) => c.gateways, ['task-api', 'ruoyi']],
    ['CARILLON_GATEWAY_TIME_ZONE', 'asia/shanghai', (c) => c.gatewayTimeZone, 'Asia/Shanghai'],
    ['CARILLON_HTTP_HOSTS', 'Ops.Example,carillon', (c) => c.http.hosts, ['ops.example', 'carillon']],
    ['CARILLON_INSECURE', 'TRUE', (c) => c.insecure, true],
    ['CARILLON_INSECURE', '0', (c) => c.insecure, false],
    ['CARILLON_REFLECTION', 'false', (c) => c.reflection, false],
    ['DATABASE_URL', 'postgresql://u:p@h:5432/d', (c) => c.databaseUrl, 'postgresql://u:p@h:5432/d'],
    ['CARILLON_DATA_DIR', '/var/lib/carillon', (c) => c.dataDir, '/var/lib/carillon'],
    ['CARILLON_DATABASE_POOL_SIZE', '2', (c) => c.database.poolSize, 2],
    ['CARILLON_LOG_LEVEL', 'silent', (c) => c.log.level, 'silent'],
    ['CARILLON_ROLES', 'scheduler, api', (c) => c.roles, ['scheduler', 'api']],
    ['CARILLON_EGRESS_ALLOW', 'none', (c) => c.egress.allow, []],
    [
      'CARILLON_EGRESS_ALLOW',
      '10.0.0.0/8, callee.internal,*.svc.cluster.local',
      (c) => c.egress.allow.map((rule) => rule.kind),
      ['range', 'name', 'suffix'],
    ],
    ['CARILLON_ENGINE_LEASE_TTL_MS', '10000', (c) => c.engine.leaseTtlMs, 10_000],
    ['CARILLON_ENGINE_LEASE_RENEW_MS', '500', (c) => c.engine.leaseRenewMs, 500],
    ['CARILLON_ENGINE_INSTANCE_TTL_MS', '300000', (c) => c.engine.instanceTtlMs, 300_000],
    ['CARILLON_ENGINE_SHUTDOWN_GRACE_MS', '0', (c) => c.engine.shutdownGraceMs, 0],
    ['CARILLON_STREAM_BUFFER_BYTES', '16384', (c) => c.stream.bufferBytes, 16_384],
    ['CARILLON_SERVER_MAX_CONNECTIONS', '100', (c) => c.server.maxConnections, 100],
    ['CARILLON_SERVER_MAX_CONNECTIONS_PER_ADDRESS', '20', (c) => c.server.maxConnectionsPerAddress, 20],
    ['CARILLON_SERVER_MAX_CONNECTION_AGE_MS', '3600000', (c) => c.server.maxConnectionAgeMs, 3_600_000],
    ['CARILLON_FEED_RETENTION_MS', '60000', (c) => c.feed.retentionMs, 60_000],
  ])('reads %s=%s', (name, value, option, expected) => {
    expect(option(load({ [name]: value }))).toEqual(expected);
  });

  it.each([
    ['CARILLON_GRPC_ADDRESS', ':50051', 'host:port'],
    ['CARILLON_HTTP_ADDRESS', '127.0.0.1:70000', '65535'],
    ['CARILLON_HTTP_CORS_ORIGINS', '*', 'origins such as'],
    ['CARILLON_HTTP_CORS_ORIGINS', 'https://a.example/path', 'origins such as'],
    ['CARILLON_HTTP_CORS_ORIGINS', 'https://a.example,', 'origins such as'],
    ['CARILLON_HTTP_CORS_ORIGINS', 'file:///a', 'origins such as'],
    [
      'CARILLON_GATEWAYS',
      'ruoyi,quartz',
      'be a list, separated by commas, of ruoyi, schedulerx, task-api, iuap, dataarts',
    ],
    ['CARILLON_GATEWAY_TIME_ZONE', 'CST', 'be an IANA time zone such as Asia/Shanghai'],
    ['CARILLON_HTTP_HOSTS', 'ops.example:8080', 'host names without ports'],
    ['CARILLON_INSECURE', 'yes', 'true or false'],
    ['CARILLON_DATABASE_POOL_SIZE', '1', 'from 2 to 1000'],
    ['CARILLON_DATABASE_POOL_SIZE', '1.5', 'whole number'],
    ['CARILLON_DATABASE_POOL_SIZE', '1e2', 'whole number'],
    ['CARILLON_DATABASE_POOL_SIZE', '-4', 'whole number'],
    ['CARILLON_LOG_LEVEL', 'verbose', 'debug, info, warn, error, silent'],
    ['CARILLON_ROLES', 'api,worker', 'api, scheduler, dispatcher'],
    ['CARILLON_EGRESS_ALLOW', '10.0.0.0/33', 'addresses, ranges such as 10.0.0.0/8, host names'],
    ['CARILLON_EGRESS_ALLOW', '10.0.0.1/8', 'have 10.0.0.0/8 in place of "10.0.0.1/8"'],
    ['CARILLON_EGRESS_ALLOW', '10.0.0.0/8,', '"" is none of them'],
    ['CARILLON_EGRESS_ALLOW', 'all', 'name what it opens'],
    ['CARILLON_EGRESS_ALLOW', 'none,localhost', 'none alone'],
    ['CARILLON_ENGINE_LEASE_TTL_MS', '4s', 'from 500 to 300000'],
    ['CARILLON_ENGINE_LEASE_RENEW_MS', '2000', 'below half of CARILLON_ENGINE_LEASE_TTL_MS (4000)'],
    ['CARILLON_ENGINE_INSTANCE_TTL_MS', '2000', 'above twice CARILLON_ENGINE_LEASE_RENEW_MS (1000)'],
    ['CARILLON_ENGINE_LOG_BYTES_PER_ATTEMPT', '16MiB', 'whole number'],
    ['CARILLON_HTTP_ADDRESS', '127.0.0.1:50051', 'differ from CARILLON_GRPC_ADDRESS'],
    ['CARILLON_TLS_CERT_FILE', '/a.pem', 'come with CARILLON_TLS_KEY_FILE'],
    ['CARILLON_TLS_KEY_FILE', '/a.key', 'come with CARILLON_TLS_CERT_FILE'],
    ['CARILLON_TLS_CLIENT_CRL_FILE', '/ca.crl', 'come with CARILLON_TLS_CLIENT_CA_FILE'],
    ['CARILLON_TLS_CLIENT_CA_FILE', '/ca.pem', 'come with CARILLON_TLS_CERT_FILE and CARILLON_TLS_KEY_FILE'],
  ])('refuses %s=%s and says what would be right', (name, value, requirement) => {
    const problems = problemsOf({ [name]: value });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`${name} is ${JSON.stringify(value)} but must `);
    expect(problems[0]).toContain(requirement);
  });

  it.each<[string, Variables, boolean]>([
    ['with the embedded Postgres and both listeners on loopback', {}, true],
    ['also when they are elsewhere on loopback', { CARILLON_GRPC_ADDRESS: '[::1]:0' }, true],
    ['not on a Postgres that others may share', { DATABASE_URL: 'postgres://u@h/d' }, false],
    ['not when others reach the gRPC port', { CARILLON_GRPC_ADDRESS: '0.0.0.0:50051' }, false],
    ['not when others reach the HTTP port', { CARILLON_HTTP_ADDRESS: '0.0.0.0:8080' }, false],
    ['not when something else is opened', { CARILLON_EGRESS_ALLOW: '10.0.0.0/8' }, false],
    ['not when nothing is', { CARILLON_EGRESS_ALLOW: 'none' }, false],
  ])('lets targets call loopback %s', (_when, variables, expected) => {
    const policy = new EgressPolicy(load(variables, { insecure: true }).egress.allow);
    expect(['127.0.0.1', '127.9.9.9', '::1'].map((address) => policy.allows('localhost', address))).toEqual([
      expected,
      expected,
      expected,
    ]);
    expect(policy.allows('localhost', '192.168.0.1')).toBe(false);
  });

  it('shows the default where it is what breaks a relation', () => {
    expect(problemsOf({ CARILLON_ENGINE_LEASE_TTL_MS: '2000' })).toEqual([
      'CARILLON_ENGINE_LEASE_RENEW_MS is 1000 by default but must be below half of CARILLON_ENGINE_LEASE_TTL_MS (2000)',
    ]);
  });

  it('never shows the value of DATABASE_URL', () => {
    const problems = problemsOf({ DATABASE_URL: 'mysql://u:secret@h/d' });
    expect(problems).toEqual(['DATABASE_URL must have the form postgres://user:password@host:port/database']);
  });

  it.each(['secret', 'c2VjcmV0', `${'A'.repeat(43)}=,`, `${'A'.repeat(43)}=,secret`])(
    'refuses a CARILLON_SECRET_KEY of other than 32 bytes, and never shows it: %s',
    (value) => {
      const [problem, ...more] = problemsOf({ CARILLON_SECRET_KEY: value });
      expect(problem).toMatch(/^CARILLON_SECRET_KEY must be 32 bytes in base64, or several of them/);
      expect(more).toEqual([]);
      expect(problem).not.toContain(value);
    },
  );

  it('reads keys in their order', () => {
    const keys = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    const text = keys.map((key) => key.toString('base64')).join(', ');
    expect(load({ CARILLON_SECRET_KEY: text }).secretKey).toEqual(keys);
  });

  it('lists all problems at once', () => {
    const variables = {
      CARILLON_ROLES: 'x',
      CARILLON_LOG_LEVEL: 'y',
      CARILLON_LOGLEVEL: 'z',
      DATABASE_URL: 'w',
    };
    expect(problemsOf(variables)).toHaveLength(4);
    expect(() => load(variables)).toThrow(
      /the configuration is wrong:\n {2}- .*\n {2}- .*\n {2}- .*\n {2}- /,
    );
  });

  it('cuts a long value', () => {
    const [problem] = problemsOf({ CARILLON_ROLES: 'x'.repeat(10_000) });
    expect(problem!.length).toBeLessThan(300);
  });

  it.each(['0.0.0.0:8080', '[::]:8080', '10.1.2.3:8080', 'my-machine:8080'])(
    'refuses to listen on %s without credentials, unless insecure',
    (address) => {
      const variables = { CARILLON_HTTP_ADDRESS: address };
      expect(problemsOf(variables)).toEqual([
        `CARILLON_HTTP_ADDRESS is "${address}" but must name a loopback address because callers from other machines ` +
          'would need no credentials; CARILLON_ACCESS_CONTROL=true asks for them, CARILLON_INSECURE=true (--insecure) ' +
          'does without',
      ]);
      expect(problemsOf({ ...variables, CARILLON_ACCESS_CONTROL: 'true' })).toEqual([]);
      expect(problemsOf({ ...variables, CARILLON_INSECURE: 'true' })).toEqual([]);
      expect(problemsOf(variables, { insecure: true })).toEqual([]);
    },
  );

  it.each([
    [{ ISSUER: 'https://id.example' }, ['ACCESS_CONTROL', 'JWT_AUDIENCE', 'JWT_JWKS_URL']],
    [{ JWKS_URL: 'https://id.example/jwks' }, ['ACCESS_CONTROL', 'JWT_ISSUER', 'JWT_AUDIENCE']],
    [{ JWKS_URL: 'http://id.example/jwks' }, ['JWT_JWKS_URL']],
    [{ JWKS_URL: 'https://me:pw@id.example/jwks' }, ['JWT_JWKS_URL']],
    [{ ALGORITHMS: 'HS256' }, ['JWT_ALGORITHMS']],
    [{ ALGORITHMS: 'none' }, ['JWT_ALGORITHMS']],
    [{ CLOCK_TOLERANCE_MS: '60001' }, ['JWT_CLOCK_TOLERANCE_MS']],
  ])('refuses half of what JWTs need, and what is not safe: %j', (jwt, refused) => {
    const variables = Object.entries(jwt).map(([name, value]) => [`CARILLON_JWT_${name}`, value]);
    const problems = problemsOf(Object.fromEntries(variables));
    expect(problems.map((problem) => problem.replace(/^CARILLON_(\w+).*$/s, '$1'))).toEqual(refused);
  });

  it('takes JWTs where all that they need is there', () => {
    const { jwt } = load({
      CARILLON_ACCESS_CONTROL: 'true',
      CARILLON_JWT_ISSUER: 'https://id.example',
      CARILLON_JWT_AUDIENCE: 'carillon',
      CARILLON_JWT_JWKS_URL: 'http://127.0.0.1:9/jwks',
    });
    expect(jwt).toMatchObject({ issuer: 'https://id.example', jwksUrl: new URL('http://127.0.0.1:9/jwks') });
  });
});
