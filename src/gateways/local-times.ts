import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import type { Zone } from '../domain/schedule/zone.ts';

/** An instant as the clocks of the zone show it, `2026-01-13 08:30:00`; null where there is none. */
export function localTimeText(time: Timestamp | undefined, zone: Zone): string | null {
  if (time === undefined) return null;
  const ms = timestampDate(time).getTime();
  return new Date(ms + zone.spanAt(ms).offsetMs).toISOString().slice(0, 19).replace('T', ' ');
}

const localPattern = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?)?$/;
const zonedPattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})$/i;

/** The years that schedules know. */
const minMs = 0;
const maxMs = Date.UTC(2200, 0, 1) - 1;

/**
 * The instant of a text: milliseconds since 1970, ISO 8601 with an offset, or a
 * date with or without a time as the clocks of the zone show it. Undefined for
 * anything else, and outside of 1970 to 2199.
 */
export function instantFromText(text: string, zone: Zone): Date | undefined {
  const ms = msFromText(text.trim(), zone);
  return ms !== undefined && ms >= minMs && ms <= maxMs ? new Date(ms) : undefined;
}

function msFromText(text: string, zone: Zone): number | undefined {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  if (zonedPattern.test(text)) return knownMs(Date.parse(text));
  const match = localPattern.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  const millis = Number((match[7] ?? '').padEnd(3, '0'));
  const localMs = Date.UTC(year!, month! - 1, day, hour, minute, second, millis);
  // A date that does not exist is another one in UTC.
  const isReal = new Date(localMs).toISOString().startsWith(text.slice(0, 10)) && minute < 60 && second < 60;
  return isReal ? instantOfLocal(localMs, zone) : undefined;
}

/** In a gap as far behind it as the text is within; of a time that comes twice the first. */
function instantOfLocal(localMs: number, zone: Zone): number {
  const dayMs = 86_400_000;
  const before = localMs - zone.spanAt(localMs - dayMs).offsetMs;
  const after = localMs - zone.spanAt(localMs + dayMs).offsetMs;
  const fits = (ms: number): boolean => ms + zone.spanAt(ms).offsetMs === localMs;
  const [first, second] = before <= after ? [before, after] : [after, before];
  if (fits(first)) return first;
  return fits(second) ? second : before;
}

const knownMs = (ms: number): number | undefined => (Number.isNaN(ms) ? undefined : ms);
