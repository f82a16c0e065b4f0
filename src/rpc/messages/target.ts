import type * as pb from '../../../gen/carillon/v1/target_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { HttpTarget, Target } from '../../domain/job.ts';
import { durationFromMs, msOrDefault } from './times.ts';

/** The target with its defaults; `path` names the field in a refusal. */
export function targetFromMessage(target: pb.Target | undefined, path: string): Target {
  if (target === undefined) throw invalidField(path, 'must be set');
  if (target.kind.case !== 'http') throw invalidField(`${path}.kind`, 'must be set');
  const { url, method, headers, body, successCodes, timeout } = target.kind.value;
  return {
    kind: 'http',
    url,
    // The rule on the field lets only these methods and the empty text through.
    method: method === '' ? 'POST' : (method as HttpTarget['method']),
    headers,
    body,
    successCodes,
    timeoutMs: msOrDefault(timeout, undefined),
  };
}

/** A stored target. */
export function targetToMessage(target: Target): pb.Target {
  return {
    $typeName: 'carillon.v1.Target',
    kind: {
      case: 'http',
      value: {
        $typeName: 'carillon.v1.HttpTarget',
        url: target.url,
        method: target.method,
        headers: target.headers,
        body: target.body,
        successCodes: [...target.successCodes],
        timeout: target.timeoutMs === undefined ? undefined : durationFromMs(target.timeoutMs),
      },
    },
  };
}
