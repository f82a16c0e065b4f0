import { DomainError } from '../../domain/errors.ts';
import type { RefusalRecorder } from '../../engine/operations.ts';
import { auditedCallsOf } from '../audited-methods.ts';
import type { Call, Interceptor } from '../call.ts';
import { namedObjectOf } from '../named-object.ts';

/**
 * Failures that are no refusals: nobody knows, or nobody was there. A call
 * without credentials is nobody's, and strangers could fill the table: it is
 * in the log.
 */
const unrecorded: ReadonlySet<string> = new Set([
  'UNAVAILABLE',
  'INTERNAL',
  'CANCELED',
  'DEADLINE_EXCEEDED',
  'UNAUTHENTICATED',
]);

/**
 * Has refused calls recorded in the audit: of methods that change something all
 * of them, of others those that the caller may not make. Those that were
 * carried out have their event from the transaction of their change.
 */
export function recordRefusals(recorder: RefusalRecorder): Interceptor {
  return {
    name: 'audit',
    check(call, request) {
      call.firstRequest ??= request;
    },
    close(call) {
      const { failure, deniedAccess } = call;
      if (!(failure instanceof DomainError)) return;
      const reason: string = failure.reason;
      if (unrecorded.has(reason) || !isRecorded(call, reason)) return;
      const named = namedObjectOf(call.method, call.firstRequest);
      const details = deniedAccess ? { ...named.details, deniedAccess } : named.details;
      recorder.record({ ...named, details, caller: call.caller, reason });
    },
  };
}

function isRecorded({ method, deniedAccess, isAccepted }: Call, reason: string): boolean {
  const calls = auditedCallsOf(method);
  if (calls === 'none' || isAccepted) return false;
  return calls !== 'denied' || deniedAccess || reason === 'PERMISSION_DENIED';
}
