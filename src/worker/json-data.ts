import type { JsonObject } from '@bufbuild/protobuf';
import { safeText } from './safe-text.ts';

/** The deepest object that Carillon takes: 1 is an object without objects or arrays in it. */
export const maxJsonDepth = 32;

/** An object as it goes over the wire, with its size as JSON; or why it cannot, for people. */
export type JsonData =
  | { readonly object: JsonObject; readonly bytes: number; readonly problem?: undefined }
  | { readonly problem: string };

/**
 * A value of the handler's as the object that Carillon keeps: what
 * JSON.stringify makes of it, so that dates become text and members without a
 * value fall away. It is a copy; the handler may go on changing its own.
 */
export function jsonDataFrom(value: unknown, maxBytes: number): JsonData {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    return { problem: `it cannot be written as JSON (${messageOf(error)})` };
  }
  if (text === undefined || !text.startsWith('{')) return { problem: 'it is not an object' };
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) return { problem: `it has ${bytes} bytes as JSON, more than ${maxBytes}` };
  const object = JSON.parse(text) as JsonObject;
  if (isDeeper(object, maxJsonDepth)) return { problem: `it is more than ${maxJsonDepth} levels deep` };
  return { object: riskyEscape.test(text) ? (storable(object) as JsonObject) : object, bytes };
}

// Escapes that JSON.parse turns into NUL or into half of a surrogate pair: Carillon refuses both.
const riskyEscape = /\\u(?:0000|[dD][89a-fA-F])/;

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  for (const member of Array.isArray(value) ? value : Object.values(value)) {
    if (isDeeper(member, levels - 1)) return true;
  }
  return false;
}

function storable(value: unknown): unknown {
  if (typeof value === 'string') return safeText(value);
  if (Array.isArray(value)) return value.map(storable);
  if (typeof value !== 'object' || value === null) return value;
  // fromEntries defines members, so that one named __proto__ stays a member.
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [safeText(key), storable(member)]));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
