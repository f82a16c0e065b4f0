import type { DescMessage, Message, MessageShape } from '@bufbuild/protobuf';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from '../../gen/google/rpc/error_details_pb.js';
import type { DomainErrorDetails, ErrorReason, FieldViolation } from '../domain/errors.ts';
import { durationFromMs } from './messages/times.ts';

/** One google.rpc detail with its type. */
export type Detail = { readonly desc: DescMessage; readonly value: Message };

function detail<Desc extends DescMessage>(desc: Desc, value: MessageShape<Desc>): Detail {
  return { desc, value };
}

/**
 * What the parts of an error may weigh, in bytes. Together with the base64 of
 * the details and the percent-encoding of the message they stay below the 8 KiB
 * of headers that grpc-java takes by default.
 */
const maxValueBytes = 200;
const maxResourceBytes = 150;
const metadataBudget = 1_000;
const violationsBudget = 1_600;

const encoder = new TextEncoder();

/**
 * Text that every protocol can carry: cut to `maxBytes` of UTF-8, without half
 * characters. Encoders throw on lone surrogates, and cutting can make some.
 */
export function cleanText(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text.toWellFormed();
  const { read } = encoder.encodeInto(text, new Uint8Array(maxBytes - 3));
  return `${text.slice(0, read).toWellFormed()}…`;
}

/** Names the reason; the metadata holds every variable part of the message, as much as fits. */
export function errorInfo(reason: ErrorReason, metadata: Readonly<Record<string, string>>): Detail {
  const kept: [string, string][] = [];
  let used = 0;
  for (const [key, value] of Object.entries(metadata)) {
    const entry: [string, string] = [cleanText(key, 64), cleanText(value, maxValueBytes)];
    used += bytesOf(entry);
    if (used <= metadataBudget) kept.push(entry);
  }
  return detail(ErrorInfoSchema, {
    $typeName: 'google.rpc.ErrorInfo',
    reason,
    domain: 'carillon',
    metadata: Object.fromEntries(kept),
  });
}

/** Names the fields that break their rules, as many as fit; a last entry counts the rest. */
export function badRequest(violations: readonly FieldViolation[]): Detail {
  const kept: FieldViolation[] = [];
  let used = 0;
  for (const violation of violations) {
    const field = cleanText(violation.field, maxValueBytes);
    const description = cleanText(violation.description, maxValueBytes);
    used += bytesOf([field, description]);
    if (used > violationsBudget) break;
    kept.push({ field, description });
  }
  const missing = violations.length - kept.length;
  if (missing > 0) kept.push({ field: '', description: `${missing} more violations` });
  return detail(BadRequestSchema, {
    $typeName: 'google.rpc.BadRequest',
    fieldViolations: kept.map((violation) => ({
      $typeName: 'google.rpc.BadRequest.FieldViolation' as const,
      ...violation,
    })),
  });
}

/** What an entry of two texts weighs, with the tags and lengths around it. */
function bytesOf(texts: readonly [string, string]): number {
  return Buffer.byteLength(texts[0]) + Buffer.byteLength(texts[1]) + 10;
}

/** Says which state of what forbids the call. */
export function preconditionFailure(precondition: NonNullable<DomainErrorDetails['precondition']>): Detail {
  return detail(PreconditionFailureSchema, {
    $typeName: 'google.rpc.PreconditionFailure',
    violations: [
      {
        $typeName: 'google.rpc.PreconditionFailure.Violation',
        type: cleanText(precondition.type, maxResourceBytes),
        subject: cleanText(precondition.subject, maxResourceBytes),
        description: cleanText(precondition.description, maxResourceBytes),
      },
    ],
  });
}

const resourceNames = {
  job: 'Job',
  execution: 'Execution',
  calendar: 'Calendar',
  secret: 'Secret',
  namespace: 'Namespace',
  token: 'Token',
} as const;

/** Names the resource that the error is about, by type and name. */
export function resourceInfo(
  resource: NonNullable<DomainErrorDetails['resource']>,
  description: string,
): Detail {
  return detail(ResourceInfoSchema, {
    $typeName: 'google.rpc.ResourceInfo',
    resourceType: `carillon.v1.${resourceNames[resource.type]}`,
    resourceName: cleanText(resource.name, maxResourceBytes),
    owner: '',
    description: cleanText(description, maxResourceBytes),
  });
}

/** Says when trying again makes sense. */
export function retryInfo(retryAfterMs: number): Detail {
  return detail(RetryInfoSchema, {
    $typeName: 'google.rpc.RetryInfo',
    retryDelay: durationFromMs(retryAfterMs),
  });
}

/** Names the limit that was reached. */
export function quotaFailure(quota: NonNullable<DomainErrorDetails['quota']>): Detail {
  return detail(QuotaFailureSchema, {
    $typeName: 'google.rpc.QuotaFailure',
    violations: [
      {
        $typeName: 'google.rpc.QuotaFailure.Violation',
        subject: cleanText(quota.subject, maxResourceBytes),
        description: cleanText(quota.description, maxResourceBytes),
      },
    ],
  });
}

/** Carries the id under which the server logged the call. */
export function requestInfo(requestId: string): Detail {
  return detail(RequestInfoSchema, { $typeName: 'google.rpc.RequestInfo', requestId, servingData: '' });
}
