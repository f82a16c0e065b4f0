import type { JsonObject } from '@bufbuild/protobuf';
import type * as adminPb from '../../../gen/carillon/v1/admin_service_pb.js';
import type * as pb from '../../../gen/carillon/v1/audit_event_pb.js';
import type { AuditEvent, AuditFilter } from '../../engine/operations.ts';
import { textOrAbsent } from './job-key.ts';
import { optionalDate, timestampFromDate } from './times.ts';

/** ListAuditEvents: conditions that are empty are not set. */
export function auditFilterFromMessage(filter: adminPb.AuditFilter | undefined): AuditFilter {
  if (filter === undefined) return {};
  const { methods, outcomes } = filter;
  return {
    namespace: textOrAbsent(filter.namespace),
    actor: textOrAbsent(filter.actor),
    methods: methods.length > 0 ? methods : undefined,
    objectType: textOrAbsent(filter.objectType),
    objectId: filter.objectId > 0n ? Number(filter.objectId) : undefined,
    objectName: textOrAbsent(filter.objectName),
    outcomes: outcomes.length > 0 ? outcomes : undefined,
    startAt: optionalDate(filter.startTime),
    endAt: optionalDate(filter.endTime),
    requestId: textOrAbsent(filter.requestId),
  };
}

/** An event as it is shown. What it holds of before and after came out of the database as JSON. */
export function auditEventToMessage(event: AuditEvent): pb.AuditEvent {
  const { id, at, namespace, objectId, objectName, before, after, details } = event;
  const { actor, method, objectType, peer, requestId, outcome } = event;
  return {
    $typeName: 'carillon.v1.AuditEvent',
    id: BigInt(id),
    time: timestampFromDate(at),
    actor,
    method,
    namespace: namespace ?? '',
    objectType,
    objectId: BigInt(objectId ?? 0),
    objectName: objectName ?? '',
    peer,
    requestId,
    outcome,
    before: (before ?? undefined) as JsonObject | undefined,
    after: (after ?? undefined) as JsonObject | undefined,
    details: (details ?? undefined) as JsonObject | undefined,
  };
}
