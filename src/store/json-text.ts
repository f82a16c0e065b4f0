import type { Json } from '../domain/job.ts';

/** What Postgres cannot keep in jsonb: NUL, and halves of surrogate pairs, as JSON writes them. */
const unstorable = /\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/**
 * Writes a value as JSON text that Postgres accepts. Callees may send any text:
 * NUL characters and lone surrogates become U+FFFD.
 */
export function jsonText(value: Json | object): string {
  const text = JSON.stringify(value);
  return unstorable.test(text) ? JSON.stringify(cleaned(value as Json)) : text;
}

/** Makes a text that Postgres accepts. */
export const storableText = (text: string): string =>
  text.includes('\0') ? text.replaceAll('\0', '\uFFFD').toWellFormed() : text.toWellFormed();

function cleaned(value: Json): Json {
  if (typeof value === 'string') return storableText(value);
  if (Array.isArray(value)) return value.map(cleaned);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [storableText(key), cleaned(member)]),
  );
}
