import type { Server, StatusObject } from '@grpc/grpc-js';
import { DomainError } from '../domain/errors.ts';
import { describeError } from './errors.ts';
import { grpcStatusFromDescription } from './grpc-call.ts';

/** What grpc-js does itself for a path that nobody serves. Private there; a conformance test holds it. */
type Inside = { _respondWithError?(status: Partial<StatusObject>, ...rest: unknown[]): void };

/**
 * Gives the answer to an unknown method its details. grpc-js refuses such
 * calls before any handler and knows no google.rpc details. Should the member
 * vanish, the refusals stay, with the code alone.
 */
export function describeUnknownMethods(server: Server): void {
  const inside = server as unknown as Inside;
  const respond = inside._respondWithError;
  if (respond === undefined) return;
  inside._respondWithError = function respondWithDetails(status, ...rest) {
    const error = new DomainError('UNIMPLEMENTED', 'no such method', { metadata: {} });
    respond.call(this, { ...status, ...grpcStatusFromDescription(describeError(error, '')) }, ...rest);
  };
}
