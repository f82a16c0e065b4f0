import { DomainError } from '../../domain/errors.ts';
import type { Caller, RefusalRecorder } from '../../engine/operations.ts';
import { auditedCallsOf } from '../audited-methods.ts';
import type { Call, Interceptor } from '../call.ts';
import { type NamedObject, namedObjectOf } from '../named-object.ts';

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
      const { failure } = call;
      if (!(failure instanceof DomainError)) return;
      const { deniedAccess } = failure.details;
      const reason: string = failure.reason;
      const isDropped = !isRecorded(call, deniedAccess === true || reason === 'PERMISSION_DENIED');
      // What is missing is noted as what is out of sight is, and dropped later: else their replies took different times.
      const isAlike = deniedAccess === false && isRecorded(call, true);
      if (unrecorded.has(reason) || (isDropped && !isAlike)) return;
      const named = namedObjectOf(call.method, call.firstRequest);
      const seen = seenBy(call.caller, named, deniedAccess === true);
      recorder.record({ ...seen, caller: call.caller, reason, isDropped });
    },
  };
}

/** What a refused call named; not as of a namespace that the caller does not see: nobody writes into the audit of others. */
function seenBy({ access }: Caller, named: NamedObject, deniedAccess: boolean): NamedObject {
  const { namespace } = named;
  const isHidden = namespace !== undefined && !access.sees(namespace);
  if (!isHidden && !deniedAccess) return named;
  const details = { ...named.details, ...(isHidden && { namespace }), ...(deniedAccess && { deniedAccess }) };
  return { ...named, namespace: isHidden ? undefined : namespace, details };
}

function isRecorded({ method, isAccepted }: Call, isDenied: boolean): boolean {
  const calls = auditedCallsOf(method);
  if (isAccepted) return false;
  return calls === 'denied' ? isDenied : calls !== 'none';
}
