import type { FieldViolation } from './errors.ts';
import { isHost, isIpv6, isPort } from './host.ts';
import type { GrpcTarget } from './job.ts';
import { isSecretName, secretNameRule } from './secret.ts';
import { validateTlsOptions } from './tls-options.ts';

/** The bounds of a gRPC target; the same numbers as in target.proto. */
export const grpcTargetLimits = {
  maxAddressLength: 260,
  maxMetadata: 64,
  maxMetadataNameLength: 256,
  maxMetadataValueLength: 8_192,
  maxMethodLength: 512,
  maxSecretMetadata: 16,
} as const;

/** The method that is called where the target does not say: the one of target_service.proto. */
export const defaultGrpcMethod = 'carillon.v1.TargetService/Run';

const reservedNames: ReadonlySet<string> = new Set([
  'host',
  'content-type',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'http2-settings',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'user-agent',
  'idempotency-key',
]);

const reservedPrefixes = ['grpc-', 'proxy-', 'carillon-', 'webhook-'] as const;

const metadataName = /^[0-9a-z_.-]+$/;
// A blank at an end would not arrive.
const metadataValue = /^(?:[!-~](?:[ -~]*[!-~])?)?$/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;
const methodPath = /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\/[A-Za-z_]\w*$/;

/** The host and the port of an address; undefined when it is none. */
export function hostAndPortFrom(
  address: string,
): { readonly host: string; readonly port: number } | undefined {
  const parts = /^(?:\[([^[\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(address);
  if (!parts) return undefined;
  const [, bracketed, plain, digits] = parts;
  const host = bracketed ?? plain ?? '';
  const port = Number(digits);
  const fits = bracketed === undefined ? isHost(host) : isIpv6(host);
  return fits && isPort(port) ? { host, port } : undefined;
}

/**
 * Everything that is wrong with a gRPC target, in the order of its fields;
 * empty when it can be called. Whether the address may be called is judged
 * when a connection is opened, never here: names change their meaning.
 */
export function validateGrpcTarget(target: GrpcTarget, path: string): FieldViolation[] {
  const violations: FieldViolation[] = [];
  const refuse = (field: string, description: string): void => {
    violations.push({ field: `${path}.${field}`, description });
  };
  const { maxAddressLength, maxMethodLength } = grpcTargetLimits;
  if (target.address.length > maxAddressLength) {
    refuse('address', `must have at most ${maxAddressLength} characters`);
  } else if (hostAndPortFrom(target.address) === undefined) {
    refuse('address', 'must be host:port without a scheme, such as callee.example:50051 or [::1]:50051');
  }
  if (target.tls) violations.push(...validateTlsOptions(target.tls, `${path}.tls`));
  refuseMetadata(target.metadata, refuse);
  refuseSecretMetadata(target, refuse);
  if (target.method.length > maxMethodLength) {
    refuse('method', `must have at most ${maxMethodLength} characters`);
  } else if (!methodPath.test(target.method)) {
    refuse('method', `must be package.Service/Method, such as ${defaultGrpcMethod}`);
  }
  return violations;
}

function refuseMetadata(
  metadata: GrpcTarget['metadata'],
  refuse: (field: string, description: string) => void,
): void {
  const { maxMetadata } = grpcTargetLimits;
  const entries = Object.entries(metadata);
  if (entries.length > maxMetadata) {
    refuse('metadata', `must have at most ${maxMetadata} entries`);
    return;
  }
  for (const [name, value] of entries) {
    const fault = nameFault(name) ?? valueFault(name, value);
    if (fault) refuse(`metadata[${JSON.stringify(name)}]`, fault);
  }
}

function refuseSecretMetadata(
  { metadata, secretMetadata = {} }: GrpcTarget,
  refuse: (field: string, description: string) => void,
): void {
  const { maxSecretMetadata } = grpcTargetLimits;
  const entries = Object.entries(secretMetadata);
  if (entries.length > maxSecretMetadata) {
    refuse('secret_metadata', `must have at most ${maxSecretMetadata} entries`);
    return;
  }
  for (const [name, secret] of entries) {
    const fault = nameFault(name) ?? secretFault(name, secret, metadata);
    if (fault) refuse(`secret_metadata[${JSON.stringify(name)}]`, fault);
  }
}

function secretFault(name: string, secret: string, metadata: GrpcTarget['metadata']): string | undefined {
  if (Object.hasOwn(metadata, name)) return 'is among the metadata, too; keep one of them';
  if (name.endsWith('-bin'))
    return 'the name must not end in -bin: the value of a secret is text, not base64';
  return isSecretName(secret) ? undefined : `the name of the secret ${secretNameRule}`;
}

function nameFault(name: string): string | undefined {
  const { maxMetadataNameLength } = grpcTargetLimits;
  if (name.length > maxMetadataNameLength) {
    return `the name must have at most ${maxMetadataNameLength} characters`;
  }
  if (!metadataName.test(name)) return 'the name must be of lower case letters, digits and _ . -';
  if (reservedNames.has(name) || reservedPrefixes.some((prefix) => name.startsWith(prefix))) {
    return 'is set by the connection or by Carillon; leave it out';
  }
  return undefined;
}

function valueFault(name: string, value: string): string | undefined {
  const { maxMetadataValueLength } = grpcTargetLimits;
  if (value.length > maxMetadataValueLength) {
    return `the value must have at most ${maxMetadataValueLength} characters`;
  }
  if (!metadataValue.test(value)) {
    return 'the value must be of printable ASCII characters without a blank at either end';
  }
  if (name.endsWith('-bin') && !base64.test(value))
    return 'the value must be base64, as the name ends in -bin';
  return undefined;
}
