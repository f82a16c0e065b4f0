import type { LogLevel, LogLine } from '../../../domain/execution.ts';
import type { Json } from '../../../domain/job.ts';
import type { AnswerMask } from '../../secrets/answer-mask.ts';
import { isJsonObject, jsonObjectFrom, storableText } from './callee-text.ts';

/** What one line of a streamed answer says: something to log, the result, or that the attempt failed. */
export type Entry =
  | { readonly kind: 'line'; readonly line: LogLine }
  | { readonly kind: 'result'; readonly result: { [key: string]: Json } }
  | { readonly kind: 'error'; readonly message: string };

const levels: ReadonlyMap<string, LogLevel> = new Map([
  ['debug', 'DEBUG'],
  ['info', 'INFO'],
  ['warn', 'WARN'],
  ['warning', 'WARN'],
  ['error', 'ERROR'],
]);

// With a zone, because a time without one would be read in the server's. Before 1970 nothing was logged.
const isoInstant =
  /^(?:19[7-9]|[2-9]\d\d)\d-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)$/i;

/**
 * Reads one line of the line protocol, whose words are at the head of
 * stream-body.ts. Total: every text is an entry, and what has no meaning is a
 * line of its own words. What the mask is for is in none; of an unfinished line
 * an object is whole, and other words are what has arrived of them.
 */
export function entryFromText(text: string, mask: AnswerMask, isUnfinished = false): Entry {
  const read = jsonObjectFrom(text);
  if (!read) return { kind: 'line', line: textLine(isUnfinished ? mask.cutText(text) : mask.text(text)) };
  const object = mask.jsonFrom(read, text);
  const keys = Object.keys(object);
  if (keys.length === 1) {
    if (isJsonObject(object.result)) return { kind: 'result', result: object.result };
    if (typeof object.error === 'string') return { kind: 'error', message: object.error };
  }
  const asText = (): string => (object === read ? mask.text(text) : JSON.stringify(object));
  return { kind: 'line', line: lineFromObject(object, asText) };
}

/** A line that says the text as it is. */
export function textLine(text: string, level: LogLevel = 'INFO'): LogLine {
  return { level, message: storableText(text) };
}

/**
 * Members that are understood become level, time, message and data; all others
 * go into data, and one that clashes with a member of `data` gives way to it.
 */
function lineFromObject(object: { [key: string]: Json }, asText: () => string): LogLine {
  const messageKey = keyOf(object, ['message', 'msg'], (value) => typeof value === 'string');
  const timeKey = keyOf(object, ['time', 'timestamp'], (value) => instantFrom(value) !== undefined);
  const level = typeof object.level === 'string' ? levels.get(object.level.toLowerCase()) : undefined;
  const at = timeKey === undefined ? undefined : instantFrom(object[timeKey]);
  const stamp = { ...(at && { at }), level: level ?? ('INFO' as const) };
  // Without a message the line speaks for itself, and its members are in it.
  if (messageKey === undefined) return { ...stamp, message: storableText(asText()) };

  const data = isJsonObject(object.data) ? object.data : undefined;
  const understood = new Set([messageKey, timeKey, level && 'level', data && 'data']);
  const others = Object.entries(object).filter(([key]) => !understood.has(key));
  // fromEntries defines members, so that one named __proto__ stays a member.
  const merged = others.length === 0 ? data : Object.fromEntries([...others, ...Object.entries(data ?? {})]);
  return { ...stamp, message: object[messageKey] as string, ...(merged && { data: merged }) };
}

function keyOf(
  object: { [key: string]: Json },
  keys: readonly string[],
  fits: (value: Json | undefined) => boolean,
): string | undefined {
  return keys.find((key) => fits(object[key]));
}

function instantFrom(value: Json | undefined): Date | undefined {
  if (typeof value !== 'string' || !isoInstant.test(value)) return undefined;
  const instant = new Date(value);
  return Number.isNaN(instant.getTime()) ? undefined : instant;
}
