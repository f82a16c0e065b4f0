import { type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2';
import { toBinary } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { ExecutionCause } from '../../../../gen/carillon/v1/execution_pb.js';
import type { Parameters as ParametersMessage } from '../../../../gen/carillon/v1/parameters_pb.js';
import {
  type TargetServiceRunRequest,
  TargetServiceRunRequestSchema,
} from '../../../../gen/carillon/v1/target_service_pb.js';
import { invalidField } from '../../../domain/errors.ts';
import type { ExecutionCause as Cause } from '../../../domain/execution.ts';
import { hostAndPortFrom, validateGrpcTarget } from '../../../domain/grpc-target.ts';
import type { GrpcTarget, Parameters } from '../../../domain/job.ts';
import type { SecretText } from '../../secrets/secret-texts.ts';
import type { Place } from '../dialer.ts';
import type { Delivery } from '../target.ts';

/** One attempt as it goes over the wire. */
export type GrpcRequest = {
  /** Whose connections it takes. */
  readonly place: Place;
  readonly headers: OutgoingHttpHeaders;
  /** The message with its prefix. */
  readonly body: Buffer;
};

/** A message is preceded by a byte that says whether it is compressed, and four with its length. */
export const prefixBytes = 5;

// A timeout has at most eight digits.
const maxTimeoutDigits = 100_000_000;

/**
 * The request that delivers one attempt to the target. Throws when the target
 * cannot be called: a stored one may be damaged or older than a rule, and what
 * goes into headers must not depend on what the database holds.
 */
export function requestFromDelivery(
  target: GrpcTarget,
  delivery: Delivery,
  timeoutMs: number,
  userAgent: string,
): GrpcRequest {
  const [violation] = validateGrpcTarget(target, 'target');
  if (violation) throw invalidField(violation.field, violation.description);
  const { host, port } = hostAndPortFrom(target.address) as { host: string; port: number };
  return {
    place: { host, port, tls: target.tls },
    headers: {
      ':method': 'POST',
      ':scheme': target.tls ? 'https' : 'http',
      ':authority': target.address,
      ':path': `/${target.method}`,
      te: 'trailers',
      'grpc-timeout':
        timeoutMs < maxTimeoutDigits ? `${Math.ceil(timeoutMs)}m` : `${Math.ceil(timeoutMs / 1_000)}S`,
      'content-type': 'application/grpc',
      // Nothing is inflated here, so that a few bytes cannot become gigabytes.
      'grpc-accept-encoding': 'identity',
      'user-agent': userAgent,
      ...target.metadata,
    },
    body: framed(toBinary(TargetServiceRunRequestSchema, messageFromDelivery(delivery))),
  };
}

/** The request with metadata that is secret, which HTTP/2 then keeps out of the tables that compress headers. */
export function withSecretMetadata(
  request: GrpcRequest,
  texts: readonly (readonly [name: string, text: SecretText])[],
): GrpcRequest {
  if (texts.length === 0) return request;
  const secret = Object.fromEntries(texts.map(([name, { value }]) => [name, value]));
  return { ...request, headers: { ...request.headers, ...secret, [sensitiveHeaders]: Object.keys(secret) } };
}

function framed(message: Uint8Array): Buffer {
  const body = Buffer.allocUnsafe(prefixBytes + message.length);
  body.writeUInt8(0, 0);
  body.writeUInt32BE(message.length, 1);
  body.set(message, prefixBytes);
  return body;
}

const causes: Readonly<Record<Cause, ExecutionCause>> = {
  SCHEDULE: ExecutionCause.SCHEDULE,
  MANUAL: ExecutionCause.MANUAL,
  API: ExecutionCause.API,
  BACKFILL: ExecutionCause.BACKFILL,
  CATCH_UP: ExecutionCause.CATCH_UP,
};

function messageFromDelivery(delivery: Delivery): TargetServiceRunRequest {
  const { executionId, attempt, jobId, jobKey, fireAt, cause, term, parameters } = delivery;
  return {
    $typeName: 'carillon.v1.TargetServiceRunRequest',
    executionId: BigInt(executionId),
    attempt,
    jobId: BigInt(jobId),
    jobKey: { $typeName: 'carillon.v1.JobKey', ...jobKey },
    fireTime: timestampFromDate(fireAt),
    cause: causes[cause],
    term: BigInt(term),
    parameters: messageFromParameters(parameters),
    idempotencyKey: String(executionId),
  };
}

function messageFromParameters({ text, object, list = [] }: Parameters): ParametersMessage | undefined {
  if (text === undefined && object === undefined && list.length === 0) return undefined;
  return {
    $typeName: 'carillon.v1.Parameters',
    text,
    object,
    list: list.map(({ name, value }) => ({ $typeName: 'carillon.v1.Parameter', name, value })),
  };
}
