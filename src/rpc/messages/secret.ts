import type * as adminPb from '../../../gen/carillon/v1/admin_service_pb.js';
import type * as pb from '../../../gen/carillon/v1/secret_pb.js';
import type { Secret } from '../../domain/secret.ts';
import type { PutSecret } from '../../engine/operations.ts';
import { secretKinds } from './enums.ts';
import { namespaceFromMessage } from './job-key.ts';
import { msOrDefault, optionalTimestamp, timestampFromDate } from './times.ts';

/** What PutSecret asks for, with its defaults. */
export function putSecretFromMessage(request: adminPb.AdminServicePutSecretRequest): PutSecret {
  return {
    namespace: namespaceFromMessage(request.namespace),
    name: request.name,
    kind: secretKinds.fromMessage(request.kind),
    value: request.value === '' ? undefined : request.value,
    keepPreviousMs: msOrDefault(request.keepPrevious, undefined),
  };
}

/** A secret without its value. */
export function secretToMessage(secret: Secret): pb.Secret {
  return {
    $typeName: 'carillon.v1.Secret',
    namespace: secret.namespace,
    name: secret.name,
    kind: secretKinds.toMessage(secret.kind),
    createTime: timestampFromDate(secret.createdAt),
    updateTime: timestampFromDate(secret.updatedAt),
    previousUntilTime: optionalTimestamp(secret.previousUntilAt),
    expireTime: optionalTimestamp(secret.expiresAt),
  };
}
