import type { Parameters } from '../../domain/job.ts';
import type { Assignment } from './worker-messages.ts';

/**
 * When a message of assignments has enough, in bytes; its last one may go above
 * it. Receivers limit a message: gRPC's own default is 4 MiB, the worker library
 * takes 64 MiB. The parameters of one assignment may have a few MiB.
 */
const batchBytes = 1_024 * 1_024;

/** How much more room a JSON object takes as google.protobuf.Struct, as a rule. */
const structFactor = 2;

/** Parts assignments that go out together into messages that can be received. */
export function batchesOf(assignments: readonly Assignment[]): readonly (readonly Assignment[])[] {
  const batches: Assignment[][] = [];
  let bytes = batchBytes;
  for (const assignment of assignments) {
    if (bytes >= batchBytes) {
      batches.push([]);
      bytes = 0;
    }
    batches.at(-1)!.push(assignment);
    bytes += sizeOf(assignment.parameters);
  }
  return batches;
}

/** About how many bytes parameters take, besides a few for all else that an assignment says. */
function sizeOf({ text, object, list }: Parameters): number {
  let bytes = 200;
  if (text !== undefined) bytes += Buffer.byteLength(text);
  if (object !== undefined) bytes += JSON.stringify(object).length * structFactor;
  for (const { name, value } of list ?? []) bytes += name.length + Buffer.byteLength(value);
  return bytes;
}
