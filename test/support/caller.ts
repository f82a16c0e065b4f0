import { unrestricted } from '../../src/domain/access.ts';
import type { Caller } from '../../src/engine/operations.ts';

/** Somebody who may everything. */
export const caller: Caller = {
  actor: 'ann',
  access: unrestricted,
  requestId: 'r',
  method: 'carillon.v1.JobService/Add',
  permission: 'EDIT',
  peer: '127.0.0.1:50000',
};
