import type * as pb from '../../../gen/carillon/v1/target_pb.js';
import { invalidField } from '../../domain/errors.ts';
import { defaultGrpcMethod } from '../../domain/grpc-target.ts';
import type {
  GrpcTarget,
  HttpTarget,
  Placement,
  SocketTarget,
  Target,
  TlsOptions,
} from '../../domain/job.ts';
import { durationFromMs, msOrDefault } from './times.ts';

/** The target with its defaults; `path` names the field in a refusal. */
export function targetFromMessage(target: pb.Target | undefined, path: string): Target {
  if (target === undefined) throw invalidField(path, 'must be set');
  switch (target.kind.case) {
    case 'http':
      return httpTargetFromMessage(target.kind.value);
    case 'grpc':
      return grpcTargetFromMessage(target.kind.value, `${path}.grpc`);
    case 'socket':
      return socketTargetFromMessage(target.kind.value, `${path}.socket`);
    case 'worker': {
      const { queue, labels } = target.kind.value;
      return { kind: 'worker', queue, labels };
    }
    default:
      throw invalidField(`${path}.kind`, 'must be set');
  }
}

/** Who is to run an execution; undefined where nothing is said. */
export function placementFromMessage(placement: pb.Placement | undefined): Placement | undefined {
  switch (placement?.kind.case) {
    case 'workerId':
      return { workerId: placement.kind.value };
    case 'labels':
      return { labels: placement.kind.value.labels };
    default:
      return undefined;
  }
}

function httpTargetFromMessage(target: pb.HttpTarget): HttpTarget {
  const { url, method, headers, body, successCodes, timeout, signingSecretName, template } = target;
  const { heartbeatTimeout, secretHeaders } = target;
  return {
    kind: 'http',
    url,
    // The rule on the field lets only these methods and the empty text through.
    method: method === '' ? 'POST' : (method as HttpTarget['method']),
    headers,
    body,
    successCodes,
    timeoutMs: msOrDefault(timeout, undefined),
    signingSecretName: signingSecretName === '' ? undefined : signingSecretName,
    template: template || undefined,
    heartbeatTimeoutMs: msOrDefault(heartbeatTimeout, undefined),
    secretHeaders: undefinedIfEmpty(secretHeaders),
  };
}

function grpcTargetFromMessage(target: pb.GrpcTarget, path: string): GrpcTarget {
  const { address, tls, metadata, method, secretMetadata } = target;
  return {
    kind: 'grpc',
    address,
    tls: tlsFromMessage(tls, `${path}.tls`),
    metadata,
    method: method === '' ? defaultGrpcMethod : method,
    secretMetadata: undefinedIfEmpty(secretMetadata),
  };
}

/** So that a target which names none is stored as before there were any. */
const undefinedIfEmpty = (
  map: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> | undefined => (Object.keys(map).length === 0 ? undefined : map);

function socketTargetFromMessage(target: pb.SocketTarget, path: string): SocketTarget {
  const { host, port, tls, connectTimeout, idleTimeout, heartbeatTimeout } = target;
  return {
    kind: 'socket',
    host,
    port,
    tls: tlsFromMessage(tls, `${path}.tls`),
    connectTimeoutMs: msOrDefault(connectTimeout, undefined),
    idleTimeoutMs: msOrDefault(idleTimeout, undefined),
    heartbeatTimeoutMs: msOrDefault(heartbeatTimeout, undefined),
  };
}

/** The options; absent where TLS is not enabled, which is refused when other options say something about it. */
function tlsFromMessage(tls: pb.TlsOptions | undefined, path: string): TlsOptions | undefined {
  if (tls === undefined) return undefined;
  const { enabled, serverName, caPem, clientCertificateSecretName: secret } = tls;
  if (!enabled) {
    if (serverName === '' && caPem === '' && secret === '') return undefined;
    throw invalidField(`${path}.enabled`, 'must be true where another TLS option is set');
  }
  return {
    serverName: serverName === '' ? undefined : serverName,
    caPem: caPem === '' ? undefined : caPem,
    clientCertificateSecretName: secret === '' ? undefined : secret,
  };
}

/** A stored target. */
export function targetToMessage(target: Target): pb.Target {
  switch (target.kind) {
    case 'http':
      return { $typeName: 'carillon.v1.Target', kind: { case: 'http', value: httpTargetToMessage(target) } };
    case 'grpc':
      return { $typeName: 'carillon.v1.Target', kind: { case: 'grpc', value: grpcTargetToMessage(target) } };
    case 'socket':
      return {
        $typeName: 'carillon.v1.Target',
        kind: { case: 'socket', value: socketTargetToMessage(target) },
      };
    case 'worker': {
      const { queue, labels } = target;
      const value: pb.WorkerTarget = { $typeName: 'carillon.v1.WorkerTarget', queue, labels };
      return { $typeName: 'carillon.v1.Target', kind: { case: 'worker', value } };
    }
  }
}

function httpTargetToMessage(target: HttpTarget): pb.HttpTarget {
  return {
    $typeName: 'carillon.v1.HttpTarget',
    url: target.url,
    method: target.method,
    headers: target.headers,
    body: target.body,
    successCodes: [...target.successCodes],
    timeout: optionalDuration(target.timeoutMs),
    signingSecretName: target.signingSecretName ?? '',
    template: target.template ?? false,
    heartbeatTimeout: optionalDuration(target.heartbeatTimeoutMs),
    secretHeaders: target.secretHeaders ?? {},
  };
}

function grpcTargetToMessage(target: GrpcTarget): pb.GrpcTarget {
  const { address, tls, metadata, method, secretMetadata = {} } = target;
  return {
    $typeName: 'carillon.v1.GrpcTarget',
    address,
    tls: tlsToMessage(tls),
    metadata,
    method,
    secretMetadata,
  };
}

function socketTargetToMessage(target: SocketTarget): pb.SocketTarget {
  return {
    $typeName: 'carillon.v1.SocketTarget',
    host: target.host,
    port: target.port,
    tls: tlsToMessage(target.tls),
    connectTimeout: optionalDuration(target.connectTimeoutMs),
    idleTimeout: optionalDuration(target.idleTimeoutMs),
    heartbeatTimeout: optionalDuration(target.heartbeatTimeoutMs),
  };
}

function tlsToMessage(tls: TlsOptions | undefined): pb.TlsOptions | undefined {
  if (tls === undefined) return undefined;
  const { serverName = '', caPem = '', clientCertificateSecretName = '' } = tls;
  return {
    $typeName: 'carillon.v1.TlsOptions',
    enabled: true,
    serverName,
    caPem,
    clientCertificateSecretName,
  };
}

const optionalDuration = (ms: number | undefined) => (ms === undefined ? undefined : durationFromMs(ms));
