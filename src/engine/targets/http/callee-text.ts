/**
 * Text and JSON as callees send them, made safe to keep. A callee is not
 * trusted: its text may hold NUL (which Postgres refuses in text and jsonb),
 * lone surrogates (which jsonb refuses), terminal escapes, or nesting deep
 * enough to exhaust the stack of whoever walks it.
 */
import type { Json } from '../../../domain/job.ts';

/**
 * How many objects and lists a JSON value may hold within each other. A
 * google.protobuf.Struct takes three messages for one level, and readers in
 * several languages stop at a hundred.
 */
export const maxJsonDepth = 32;

// Escapes that JSON.parse turns into NUL or into half of a surrogate pair.
const riskyEscape = /\\u(?:0000|[dD][89a-fA-F])/;

/** The text without NUL; everything else stays, since whoever shows it knows what it must escape. */
export function storableText(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', '\ufffd') : text;
}

/** The JSON object that the text is, fit to be stored; undefined when it is none or nests too deeply. */
export function jsonObjectFrom(text: string): { [key: string]: Json } | undefined {
  // Most lines are plain words; a failed parse costs fifty times this look.
  if (!/^\s*\{/.test(text)) return undefined;
  let value: { [key: string]: Json };
  try {
    value = JSON.parse(text) as { [key: string]: Json };
  } catch {
    return undefined;
  }
  if (isDeeper(value, maxJsonDepth)) return undefined;
  return riskyEscape.test(text) ? (storableJson(value) as { [key: string]: Json }) : value;
}

/** A JSON object that did not come as text, fit to be stored; undefined when it nests too deeply. */
export function storableJsonObject(value: { [key: string]: Json }): { [key: string]: Json } | undefined {
  return isDeeper(value, maxJsonDepth) ? undefined : (storableJson(value) as { [key: string]: Json });
}

/** Whether the value is a JSON object rather than a list or a scalar. */
export function isJsonObject(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isDeeper(value: Json, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  for (const member of Array.isArray(value) ? value : Object.values(value)) {
    if (isDeeper(member, levels - 1)) return true;
  }
  return false;
}

function storableJson(value: Json): Json {
  if (typeof value === 'string') return storableText(value.toWellFormed());
  if (Array.isArray(value)) return value.map(storableJson);
  if (!isJsonObject(value)) return value;
  // fromEntries defines members, so that one named __proto__ stays a member.
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [storableText(key.toWellFormed()), storableJson(member)]),
  );
}

/**
 * The text on one line of at most `maxLength` characters for a message: runs
 * of blanks, control characters, terminal escapes and characters that reorder
 * or hide text become one space each.
 */
export function neutralText(text: string, maxLength: number): string {
  const plain = text
    .toWellFormed()
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
    .replace(/[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]+/g, ' ')
    .trim();
  if (plain.length <= maxLength) return plain;
  // Not through the middle of a surrogate pair.
  const cut = plain.codePointAt(maxLength - 1) as number;
  return `${plain.slice(0, cut > 0xffff ? maxLength - 1 : maxLength)}…`;
}

/** The longest beginning of the bytes that has at most `max` of them and ends with a whole character. */
export function cutUtf8(bytes: Buffer, max: number): Buffer {
  if (bytes.length <= max) return bytes;
  let end = max;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80 && max - end < 3) end--;
  return bytes.subarray(0, end);
}

/** The text of a log line, fit to be stored: one of more than `max` bytes is cut and says how many it had. */
export function boundedText(text: string, max: number): string {
  const plain = storableText(text.toWellFormed());
  const bytes = Buffer.byteLength(plain);
  return bytes <= max ? plain : cutUtf8(Buffer.from(plain), max).toString() + cutMarker(bytes);
}

/** What stands at the end of a line that was cut: how many bytes it had. */
export const cutMarker = (bytes: number): string => `… (cut, ${bytes} bytes)`;
