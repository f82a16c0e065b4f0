/**
 * Execution ids in the form of UUIDs, for clients that know no other. An id is
 * below 2^53, 14 hexadecimal digits: they are the first 14 of a UUID of version
 * 8 that are free, so that the UUIDs of younger executions sort behind. The
 * rest is constant, and what differs from it is the UUID of nothing here.
 */

/** The last twelve digits: `carill` in ASCII. */
const tail = '636172696c6c';

/** The UUID of an execution. */
export function uuidFromExecutionId(id: bigint): string {
  const digits = id.toString(16).padStart(14, '0');
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-8${digits.slice(12)}0-8000-${tail}`;
}

const pattern = new RegExp(`^([0-9a-f]{8})-([0-9a-f]{4})-8([0-9a-f]{2})0-8000-${tail}$`, 'i');

/** The execution of a UUID, in any case; undefined where there cannot be one. */
export function executionIdFromUuid(uuid: string): bigint | undefined {
  const match = pattern.exec(uuid);
  const id = match ? BigInt(`0x${match[1]}${match[2]}${match[3]}`) : 0n;
  return id > 0n && id <= BigInt(Number.MAX_SAFE_INTEGER) ? id : undefined;
}
