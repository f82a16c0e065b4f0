import { resolve } from 'node:path';
import { spellZone } from '../domain/schedule/zone-names.ts';
import { type EgressRule, egressRuleFromText } from '../platform/egress-policy.ts';
import type { Config } from './config.ts';
import { type Environment, readEnvironment, type VariableName } from './env.ts';
import { checkJwtConfig, readJwtConfig } from './jwt-options.ts';
import { isLoopbackHost, type ListenAddress, listenAddressToText } from './listen-address.ts';
import { OptionReader } from './option-reader.ts';

const hourMs = 3_600_000;
const kib = 1_024;
const mib = 1_024 * kib;

/**
 * Makes the configuration from the variables of the process and the flags of the command line.
 *
 * @throws ConfigError that lists every problem, each with the variable, its value and what would be right.
 */
export function loadConfig(
  flags: { readonly insecure?: boolean } = {},
  environment: Environment = readEnvironment(),
): Config {
  const read = new OptionReader(environment);
  const grpcAddress = read.listenAddress('CARILLON_GRPC_ADDRESS', { host: '127.0.0.1', port: 50_051 });
  const httpAddress = read.listenAddress('CARILLON_HTTP_ADDRESS', { host: '127.0.0.1', port: 8_080 });
  const databaseUrl = read.text('DATABASE_URL');
  const isForThisMachine =
    databaseUrl === undefined && [grpcAddress, httpAddress].every(({ host }) => isLoopbackHost(host));
  const config: Config = {
    grpc: { address: grpcAddress },
    http: {
      address: httpAddress,
      corsOrigins: read.list(
        'CARILLON_HTTP_CORS_ORIGINS',
        [],
        'be a list of origins such as https://console.example.com',
        originFromText,
      ),
      hosts: read.list('CARILLON_HTTP_HOSTS', [], 'be a list of host names without ports', hostNameFromText),
    },
    server: {
      maxConnections: read.integer('CARILLON_SERVER_MAX_CONNECTIONS', 10_000, { min: 10, max: 1_000_000 }),
      maxConnectionsPerAddress: read.integer('CARILLON_SERVER_MAX_CONNECTIONS_PER_ADDRESS', 1_000, {
        min: 1,
        max: 1_000_000,
      }),
      maxConnectionAgeMs: read.integer('CARILLON_SERVER_MAX_CONNECTION_AGE_MS', 0, {
        min: 0,
        max: 30 * 24 * hourMs,
      }),
    },
    tls: {
      certFile: read.text('CARILLON_TLS_CERT_FILE'),
      keyFile: read.text('CARILLON_TLS_KEY_FILE'),
      clientCaFile: read.text('CARILLON_TLS_CLIENT_CA_FILE'),
      clientCrlFile: read.text('CARILLON_TLS_CLIENT_CRL_FILE'),
    },
    gateways: read.someOf('CARILLON_GATEWAYS', [], ['ruoyi', 'schedulerx', 'task-api', 'iuap', 'dataarts']),
    gatewayTimeZone: read.parsed(
      'CARILLON_GATEWAY_TIME_ZONE',
      'UTC',
      'be an IANA time zone such as Asia/Shanghai',
      spellZone,
    ),
    insecure: flags.insecure || read.flag('CARILLON_INSECURE', false),
    reflection: read.flag('CARILLON_REFLECTION', true),
    access: { control: read.flag('CARILLON_ACCESS_CONTROL', false) },
    jwt: readJwtConfig(read),
    databaseUrl,
    dataDir: resolve(read.text('CARILLON_DATA_DIR') ?? '.carillon'),
    secretKey: read.list(
      'CARILLON_SECRET_KEY',
      [],
      'be 32 bytes in base64, or several of them separated by commas; openssl rand -base64 32 makes one',
      keyFromText,
    ),
    database: { poolSize: read.integer('CARILLON_DATABASE_POOL_SIZE', 16, { min: 2, max: 1_000 }) },
    log: {
      level: read.oneOf('CARILLON_LOG_LEVEL', 'info', ['debug', 'info', 'warn', 'error', 'silent']),
    },
    roles: read.someOf(
      'CARILLON_ROLES',
      ['api', 'scheduler', 'dispatcher'],
      ['api', 'scheduler', 'dispatcher'],
    ),
    egress: { allow: egressRules(read, isForThisMachine ? '127.0.0.0/8,::1' : 'none') },
    engine: {
      leaseTtlMs: read.integer('CARILLON_ENGINE_LEASE_TTL_MS', 4_000, { min: 500, max: 300_000 }),
      leaseRenewMs: read.integer('CARILLON_ENGINE_LEASE_RENEW_MS', 1_000, { min: 50, max: 100_000 }),
      instanceTtlMs: read.integer('CARILLON_ENGINE_INSTANCE_TTL_MS', 5_000, { min: 500, max: 300_000 }),
      safetyIntervalMs: read.integer('CARILLON_ENGINE_SAFETY_INTERVAL_MS', 1_000, { min: 50, max: 60_000 }),
      maxRunning: read.integer('CARILLON_ENGINE_MAX_RUNNING', 1_000, { min: 1, max: 100_000 }),
      fireBatchSize: read.integer('CARILLON_ENGINE_FIRE_BATCH_SIZE', 2_000, { min: 1, max: 10_000 }),
      claimBatchSize: read.integer('CARILLON_ENGINE_CLAIM_BATCH_SIZE', 500, { min: 1, max: 10_000 }),
      connectionsPerOrigin: read.integer('CARILLON_ENGINE_CONNECTIONS_PER_ORIGIN', 256, {
        min: 1,
        max: 10_000,
      }),
      logBytesPerAttempt: read.integer('CARILLON_ENGINE_LOG_BYTES_PER_ATTEMPT', 16 * mib, {
        min: kib,
        max: 1_024 * mib,
      }),
      calleeCancelGraceMs: read.integer('CARILLON_ENGINE_CALLEE_CANCEL_GRACE_MS', 30_000, {
        min: 0,
        max: hourMs,
      }),
      shutdownGraceMs: read.integer('CARILLON_ENGINE_SHUTDOWN_GRACE_MS', 10_000, { min: 0, max: hourMs }),
    },
    worker: {
      heartbeatMs: read.integer('CARILLON_WORKER_HEARTBEAT_MS', 5_000, { min: 100, max: hourMs }),
      reconnectGraceMs: read.integer('CARILLON_WORKER_RECONNECT_GRACE_MS', 10_000, { min: 0, max: hourMs }),
      cancelGraceMs: read.integer('CARILLON_WORKER_CANCEL_GRACE_MS', 10_000, { min: 0, max: hourMs }),
    },
    stream: {
      heartbeatMs: read.integer('CARILLON_STREAM_HEARTBEAT_MS', 15_000, { min: 100, max: hourMs }),
      bufferBytes: read.integer('CARILLON_STREAM_BUFFER_BYTES', 4 * mib, { min: 16 * kib, max: 1_024 * mib }),
    },
    feed: {
      retentionMs: read.integer('CARILLON_FEED_RETENTION_MS', hourMs, { min: 60_000, max: 30 * 24 * hourMs }),
    },
  };
  checkRelations(config, read);
  read.throwProblems();
  return config;
}

function egressRules(read: OptionReader, fallback: string): readonly EgressRule[] {
  const text = read.text('CARILLON_EGRESS_ALLOW') ?? fallback;
  const rules: EgressRule[] = [];
  for (const entry of text === 'none' ? [] : text.split(',')) {
    const rule = egressRuleFromText(entry.trim());
    if (rule.kind === 'problem') read.refuse('CARILLON_EGRESS_ALLOW', rule.requirement);
    else rules.push(rule);
  }
  return rules;
}

/** What no option can be judged on alone. */
function checkRelations(config: Config, read: OptionReader): void {
  const { grpc, http, tls, insecure, access, jwt, databaseUrl, engine } = config;
  const listeners: [VariableName, ListenAddress][] = [
    ['CARILLON_GRPC_ADDRESS', grpc.address],
    ['CARILLON_HTTP_ADDRESS', http.address],
  ];
  for (const [name, address] of insecure || access.control ? [] : listeners) {
    if (isLoopbackHost(address.host)) continue;
    const reason = 'because callers from other machines would need no credentials';
    const ways =
      'CARILLON_ACCESS_CONTROL=true asks for them, CARILLON_INSECURE=true (--insecure) does without';
    read.refuse(name, `name a loopback address ${reason}; ${ways}`);
  }
  if (
    grpc.address.port !== 0 &&
    grpc.address.port === http.address.port &&
    grpc.address.host === http.address.host
  ) {
    read.refuse(
      'CARILLON_HTTP_ADDRESS',
      'differ from CARILLON_GRPC_ADDRESS',
      listenAddressToText(http.address),
    );
  }
  checkJwtConfig(jwt, access.control, read);
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
    const [set, missing] = tls.certFile === undefined ? ['KEY', 'CERT'] : ['CERT', 'KEY'];
    read.refuse(`CARILLON_TLS_${set}_FILE` as VariableName, `come with CARILLON_TLS_${missing}_FILE`);
  } else if (tls.clientCaFile !== undefined && tls.certFile === undefined) {
    read.refuse('CARILLON_TLS_CLIENT_CA_FILE', 'come with CARILLON_TLS_CERT_FILE and CARILLON_TLS_KEY_FILE');
  }
  if (tls.clientCrlFile !== undefined && tls.clientCaFile === undefined) {
    read.refuse('CARILLON_TLS_CLIENT_CRL_FILE', 'come with CARILLON_TLS_CLIENT_CA_FILE');
  }
  if (databaseUrl !== undefined && !isPostgresUrl(databaseUrl)) {
    read.refuse('DATABASE_URL', 'have the form postgres://user:password@host:port/database');
  }
  const { leaseRenewMs, leaseTtlMs, instanceTtlMs } = engine;
  if (leaseRenewMs * 2 >= leaseTtlMs) {
    const limit = `half of CARILLON_ENGINE_LEASE_TTL_MS (${leaseTtlMs})`;
    read.refuse('CARILLON_ENGINE_LEASE_RENEW_MS', `be below ${limit}`, leaseRenewMs);
  }
  if (leaseRenewMs * 2 >= instanceTtlMs) {
    const limit = `twice CARILLON_ENGINE_LEASE_RENEW_MS (${leaseRenewMs})`;
    read.refuse('CARILLON_ENGINE_INSTANCE_TTL_MS', `be above ${limit}`, instanceTtlMs);
  }
}

/** 32 bytes in base64; undefined for anything else. */
function keyFromText(text: string): Uint8Array | undefined {
  return /^[A-Za-z0-9+/]{43}=?$/.test(text) ? Buffer.from(text, 'base64') : undefined;
}

const isPostgresUrl = (text: string): boolean =>
  URL.canParse(text) && ['postgres:', 'postgresql:'].includes(new URL(text).protocol);

/** A host name in lower case, without a port; undefined for anything else. */
const hostNameFromText = (text: string): string | undefined =>
  /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(text) ? text.toLowerCase() : undefined;

/** An origin is a scheme and a host, with a port or not, and nothing after it; undefined for anything else. */
function originFromText(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const { origin, protocol } = new URL(text);
  return ['http:', 'https:'].includes(protocol) && origin === text.toLowerCase() ? origin : undefined;
}
