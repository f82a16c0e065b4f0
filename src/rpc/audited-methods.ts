import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import type { Method } from './services/service.ts';

/**
 * Which calls of a method have an event in the audit:
 *
 * - `all`: those that are carried out, by the transaction of the change, and
 *   those that are refused;
 * - `refused`: refused ones only;
 * - `denied`: only those that were refused because the caller may not;
 * - `none`.
 */
export type AuditedCalls = 'all' | 'refused' | 'denied' | 'none';

/** Methods that change something and are no operator's doing, and why not all their calls are audited. */
const exceptions: readonly (readonly [prefix: string, calls: AuditedCalls, why: string])[] = [
  [
    'carillon.v1.WorkerService/Connect',
    'refused',
    'what workers report is in the ledger; who connects, in the log',
  ],
  [
    'carillon.v1.AttemptService/',
    'none',
    'what callees report is in the ledger; its only credential is the token',
  ],
];

/** Which calls of a method are audited. One without side effects, as its proto says, changes nothing. */
export function auditedCallsOf({ name, desc }: Pick<Method, 'name' | 'desc'>): AuditedCalls {
  const exception = exceptions.find(([prefix]) => name.startsWith(prefix));
  if (exception) return exception[1];
  return desc.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ? 'denied' : 'all';
}
