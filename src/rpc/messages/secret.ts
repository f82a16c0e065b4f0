import type * as adminPb from '../../../gen/carillon/v1/admin_service_pb.js';
import type * as pb from '../../../gen/carillon/v1/secret_pb.js';
import { jobDefaults } from '../../domain/job.ts';
import type { Secret } from '../../domain/secret.ts';
import type { PutSecret } from '../../engine/operations.ts';
import { secretKinds } from './enums.ts';
import { msOrDefault, optionalTimestamp, timestampFromDate } from './times.ts';

/** The namespace of a request about secrets; an empty one is `default`. */
export const secretNamespace = (namespace: string): string =>
  namespace === '' ? jobDefaults.namespace : namespace;

/** What PutSecret asks for, with its defaults. */
export function putSecretFromMessage(request: adminPb.AdminServicePutSecretRequest): PutSecret {
  return {
    namespace: secretNamespace(request.namespace),
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
