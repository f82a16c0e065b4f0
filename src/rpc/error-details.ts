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

const maxValueLength = 256;
const maxMetadataEntries = 16;

/** What all violations of one error may weigh together, in UTF-16 units; the rest is counted. */
const violationsBudget = 3_000;

/**
 * Text that every protocol can carry: cut to `max` UTF-16 units, without half
 * characters. Encoders throw on lone surrogates, and cutting can make some.
 */
export function cleanText(text: string, max: number): string {
  const cut = text.length > max ? `${text.slice(0, max - 1)}…` : text;
  return cut.toWellFormed();
}

/** Names the reason; the metadata holds every variable part of the message. */
export function errorInfo(reason: ErrorReason, metadata: Readonly<Record<string, string>>): Detail {
  const kept = Object.entries(metadata).slice(0, maxMetadataEntries);
  const clean = Object.fromEntries(
    kept.map(([key, value]) => [cleanText(key, 64), cleanText(value, maxValueLength)]),
  );
  return detail(ErrorInfoSchema, {
    $typeName: 'google.rpc.ErrorInfo',
    reason,
    domain: 'carillon',
    metadata: clean,
  });
}

/** Names the fields that break their rules, as many as fit; a last entry counts the rest. */
export function badRequest(violations: readonly FieldViolation[]): Detail {
  const kept: FieldViolation[] = [];
  let used = 0;
  for (const violation of violations) {
    const field = cleanText(violation.field, maxValueLength);
    const description = cleanText(violation.description, maxValueLength);
    used += field.length + description.length;
    if (used > violationsBudget && kept.length > 0) break;
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

/** Says which state of what forbids the call. */
export function preconditionFailure(precondition: NonNullable<DomainErrorDetails['precondition']>): Detail {
  return detail(PreconditionFailureSchema, {
    $typeName: 'google.rpc.PreconditionFailure',
    violations: [
      {
        $typeName: 'google.rpc.PreconditionFailure.Violation',
        type: cleanText(precondition.type, maxValueLength),
        subject: cleanText(precondition.subject, maxValueLength),
        description: cleanText(precondition.description, maxValueLength),
      },
    ],
  });
}

/** Names the resource that the error is about, by type and name. */
export function resourceInfo(
  resource: NonNullable<DomainErrorDetails['resource']>,
  description: string,
): Detail {
  return detail(ResourceInfoSchema, {
    $typeName: 'google.rpc.ResourceInfo',
    resourceType: `carillon.v1.${resource.type === 'job' ? 'Job' : 'Execution'}`,
    resourceName: cleanText(resource.name, maxValueLength),
    owner: '',
    description: cleanText(description, maxValueLength),
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
        subject: cleanText(quota.subject, maxValueLength),
        description: cleanText(quota.description, maxValueLength),
      },
    ],
  });
}

/** Carries the id under which the server logged the call. */
export function requestInfo(requestId: string): Detail {
  return detail(RequestInfoSchema, { $typeName: 'google.rpc.RequestInfo', requestId, servingData: '' });
}
