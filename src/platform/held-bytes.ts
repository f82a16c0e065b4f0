/** What an empty object or array takes, a member of one besides its name, and the head of a text, in bytes. */
const containerBytes = 64;
const memberBytes = 24;
const textBytes = 24;

/**
 * About what a value that JSON can write takes in memory, in bytes. Its text says little of that: `{},` are three
 * characters and twenty times as many bytes. Other values, such as undefined and dates, count as numbers do.
 */
export function heldBytes(value: unknown): number {
  if (typeof value === 'string') return textBytes + value.length;
  if (typeof value !== 'object' || value === null) return 0;
  let bytes = containerBytes;
  if (Array.isArray(value)) {
    for (const element of value) bytes += memberBytes + heldBytes(element);
    return bytes;
  }
  const members = value as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(members)) bytes += memberBytes + name.length + heldBytes(members[name]);
  return bytes;
}
