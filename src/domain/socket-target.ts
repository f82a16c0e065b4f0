import type { FieldViolation } from './errors.ts';
import { isHost, isPort } from './host.ts';
import type { SocketTarget } from './job.ts';
import { validateTlsOptions } from './tls-options.ts';

/** The bounds of a socket target; the same numbers as in target.proto. */
export const socketTargetLimits = {
  maxConnectTimeoutMs: 300_000,
  maxIdleTimeoutMs: 86_400_000,
  minHeartbeatTimeoutMs: 1_000,
  maxHeartbeatTimeoutMs: 86_400_000,
} as const;

/**
 * Everything that is wrong with a socket target, in the order of its fields;
 * empty when it can be called. Whether the address may be called is judged
 * when the connection is opened, never here: names change their meaning.
 */
export function validateSocketTarget(target: SocketTarget, path: string): FieldViolation[] {
  const violations: FieldViolation[] = [];
  const refuse = (field: string, description: string): void => {
    violations.push({ field: `${path}.${field}`, description });
  };
  const { host, port, tls, connectTimeoutMs, idleTimeoutMs, heartbeatTimeoutMs } = target;
  const { maxConnectTimeoutMs, maxIdleTimeoutMs, minHeartbeatTimeoutMs, maxHeartbeatTimeoutMs } =
    socketTargetLimits;
  if (!isHost(host)) {
    refuse('host', 'must be a host name in ASCII or an address without brackets, without a port or a scheme');
  }
  if (!isPort(port)) refuse('port', 'must be from 1 to 65535');
  if (tls) violations.push(...validateTlsOptions(tls, `${path}.tls`));
  if (!isSpan(connectTimeoutMs, maxConnectTimeoutMs)) {
    refuse('connect_timeout', 'must be from 1 millisecond to 5 minutes');
  }
  if (!isSpan(idleTimeoutMs, maxIdleTimeoutMs)) {
    refuse('idle_timeout', 'must be from 1 millisecond to 24 hours');
  }
  if (!isSpan(heartbeatTimeoutMs, maxHeartbeatTimeoutMs, minHeartbeatTimeoutMs)) {
    refuse('heartbeat_timeout', 'must be from 1 second to 24 hours');
  }
  return violations;
}

function isSpan(ms: number | undefined, maxMs: number, minMs = 1): boolean {
  return ms === undefined || (ms >= minMs && ms <= maxMs);
}
