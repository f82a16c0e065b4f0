import { editDistance } from '../platform/edit-distance.ts';

/** The names of the variables that Carillon reads, in the order of the reference in config.ts. */
export const variableNames = [
  'CARILLON_GRPC_ADDRESS',
  'CARILLON_HTTP_ADDRESS',
  'CARILLON_HTTP_CORS_ORIGINS',
  'CARILLON_HTTP_HOSTS',
  'CARILLON_SERVER_MAX_CONNECTIONS',
  'CARILLON_SERVER_MAX_CONNECTIONS_PER_ADDRESS',
  'CARILLON_SERVER_MAX_CONNECTION_AGE_MS',
  'CARILLON_TLS_CERT_FILE',
  'CARILLON_TLS_KEY_FILE',
  'CARILLON_TLS_CLIENT_CA_FILE',
  'CARILLON_TLS_CLIENT_CRL_FILE',
  'CARILLON_GATEWAYS',
  'CARILLON_GATEWAY_TIME_ZONE',
  'CARILLON_INSECURE',
  'CARILLON_REFLECTION',
  'CARILLON_ACCESS_CONTROL',
  'CARILLON_JWT_ISSUER',
  'CARILLON_JWT_AUDIENCE',
  'CARILLON_JWT_JWKS_URL',
  'CARILLON_JWT_KEYS_FILE',
  'CARILLON_JWT_ALGORITHMS',
  'CARILLON_JWT_TYPE',
  'CARILLON_JWT_CLOCK_TOLERANCE_MS',
  'CARILLON_JWT_CLAIM',
  'DATABASE_URL',
  'CARILLON_DATA_DIR',
  'CARILLON_SECRET_KEY',
  'CARILLON_DATABASE_POOL_SIZE',
  'CARILLON_LOG_LEVEL',
  'CARILLON_ROLES',
  'CARILLON_EGRESS_ALLOW',
  'CARILLON_ENGINE_LEASE_TTL_MS',
  'CARILLON_ENGINE_LEASE_RENEW_MS',
  'CARILLON_ENGINE_INSTANCE_TTL_MS',
  'CARILLON_ENGINE_SAFETY_INTERVAL_MS',
  'CARILLON_ENGINE_MAX_RUNNING',
  'CARILLON_ENGINE_FIRE_BATCH_SIZE',
  'CARILLON_ENGINE_CLAIM_BATCH_SIZE',
  'CARILLON_ENGINE_CONNECTIONS_PER_ORIGIN',
  'CARILLON_ENGINE_LOG_BYTES_PER_ATTEMPT',
  'CARILLON_ENGINE_CALLEE_CANCEL_GRACE_MS',
  'CARILLON_ENGINE_SHUTDOWN_GRACE_MS',
  'CARILLON_STREAM_HEARTBEAT_MS',
  'CARILLON_WORKER_CANCEL_GRACE_MS',
  'CARILLON_WORKER_HEARTBEAT_MS',
  'CARILLON_WORKER_RECONNECT_GRACE_MS',
  'CARILLON_STREAM_BUFFER_BYTES',
  'CARILLON_FEED_RETENTION_MS',
] as const;

/** The name of a variable that Carillon reads. */
export type VariableName = (typeof variableNames)[number];

/** The names of the variables that the command line reads as a client; a service that finds them passes them over. */
const clientVariableNames = ['CARILLON_ADDRESS', 'CARILLON_TOKEN', 'CARILLON_CA_FILE'] as const;

/** Takes the variables of clients that are set to nothing out of the process: the command line's options read them, too. */
export function dropEmptyClientVariables(): void {
  for (const name of clientVariableNames) if (process.env[name]?.trim() === '') delete process.env[name];
}

/** What the command line reads as a client; a variable that is set to nothing counts as not set. */
export function readClientEnvironment(
  source: Readonly<Record<string, string | undefined>> = process.env,
): Readonly<Partial<Record<(typeof clientVariableNames)[number], string>>> {
  return Object.fromEntries(
    clientVariableNames.flatMap((name) => (source[name]?.trim() ? [[name, source[name].trim()]] : [])),
  );
}

/** What was set, as text. A variable that is set to nothing counts as not set. */
export type Environment = {
  readonly values: Readonly<Partial<Record<VariableName, string>>>;
  /** One sentence for each variable that begins with `CARILLON_` and is not known. */
  readonly problems: readonly string[];
};

/**
 * Reads the variables of the process. A misspelt variable would silently leave
 * its option at the default, so an unknown one is a problem. Kubernetes sets
 * variables named after services (`CARILLON_SERVICE_HOST` beside a service
 * `carillon`); those are nobody's mistake and are passed over.
 */
export function readEnvironment(
  source: Readonly<Record<string, string | undefined>> = process.env,
): Environment {
  const values: Partial<Record<VariableName, string>> = {};
  const problems: string[] = [];
  for (const [name, value] of Object.entries(source)) {
    if (isKnown(name)) {
      if (value?.trim()) values[name] = value.trim();
    } else if (name.startsWith('CARILLON_') && !isOfClients(name) && !isServiceLink(name, value ?? '')) {
      problems.push(`${name} is not a variable of Carillon; did you mean ${nearestName(name)}?`);
    }
  }
  return { values, problems };
}

const isOfClients = (name: string): boolean => clientVariableNames.some((known) => known === name);

const knownNames: ReadonlySet<string> = new Set(variableNames);

const isKnown = (name: string): name is VariableName => knownNames.has(name);

const serviceLinkName =
  /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;

/** `CARILLON_PORT` could be somebody's guess at an option; only its value tells. */
const isServiceLink = (name: string, value: string): boolean =>
  serviceLinkName.test(name) || (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value));

function nearestName(name: string): VariableName {
  const distance = (known: VariableName): number => editDistance(name.toUpperCase(), known);
  return variableNames.reduce((best, known) => (distance(known) < distance(best) ? known : best));
}
