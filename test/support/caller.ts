import { unrestricted } from '../../src/domain/access.ts';
import type { Caller } from '../../src/engine/operations.ts';
import type { TriggerAudit } from '../../src/store/trigger-store.ts';

/** Somebody who may everything. */
export const caller: Caller = {
  actor: 'ann',
  access: unrestricted,
  requestId: 'r',
  method: 'carillon.v1.JobService/Add',
  permission: 'EDIT',
  peer: '127.0.0.1:50000',
};

/** What the audit says of a Trigger by them. */
export const triggerAudit: TriggerAudit = {
  actor: caller.actor,
  method: 'carillon.v1.JobService/Trigger',
  peer: caller.peer,
  requestId: caller.requestId,
  after: {},
};
