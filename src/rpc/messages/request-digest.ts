/**
 * A request that is repeated with its request_id must be the same request. The
 * digest is sha256 over the binary form without the request_id. Protobuf does
 * not order map entries, and Go shuffles them on purpose, so maps and Struct
 * objects are ordered by key first.
 */
import { createHash } from 'node:crypto';
import { type DescMessage, type Message, type MessageShape, toBinary } from '@bufbuild/protobuf';

/** The digest of a request, in hex; empty without a request_id, when nobody asks for it. */
export function digestRequest<Desc extends DescMessage>(
  desc: Desc,
  request: MessageShape<Desc> & { requestId: string },
): string {
  if (request.requestId === '') return '';
  const canonical = { ...ordered(request), requestId: '' } as MessageShape<Desc>;
  return createHash('sha256')
    .update(desc.typeName)
    .update('\0')
    .update(toBinary(desc, canonical))
    .digest('hex');
}

function ordered<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map(ordered) as Value;
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const entries = Object.entries(value as Readonly<Record<string, unknown>>).map(
    ([key, child]) => [key, ordered(child)] as const,
  );
  // Messages keep their own order of fields; what is left are maps, Struct
  // objects and oneofs, whose order says nothing. fromEntries defines a key
  // `__proto__` as data.
  if (!(('$typeName' satisfies keyof Message) in value)) entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries) as Value;
}
