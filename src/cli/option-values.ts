import { create, type JsonObject } from '@bufbuild/protobuf';
import {
  type Duration,
  DurationSchema,
  type Timestamp,
  timestampDate,
  timestampFromDate,
} from '@bufbuild/protobuf/wkt';
import { InvalidArgumentError } from 'commander';

/** How values of the command line are read. Each throws commander's own error, which names the option. */

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads a span such as `90s`, `1h30m`, `250ms` or `2d`. */
export function durationFromText(text: string): Duration {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    throw new InvalidArgumentError('A span looks like 90s, 1h30m, 250ms or 2d.');
  }
  const ms = Math.round(
    parts.reduce((sum, [, count, unit]) => sum + Number(count) * (unitMs[unit!] ?? 0), 0),
  );
  return create(DurationSchema, { seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1_000_000 });
}

/** Writes a span as it is read. */
export function durationToText({ seconds, nanos }: Duration): string {
  let restMs = Number(seconds) * 1_000 + Math.round(nanos / 1_000_000);
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms'] as const) {
    const count = Math.floor(restMs / unitMs[unit]!);
    restMs -= count * unitMs[unit]!;
    if (count > 0) text += `${count}${unit}`;
  }
  return text || '0s';
}

/** Reads an instant in ISO 8601 with Z or an offset; a local time would mean something else on every machine. */
export function instantFromText(text: string): Timestamp {
  const date = new Date(text);
  if (!/^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:?\d{2})$/i.test(text) || Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError(
      'An instant looks like 2026-12-01T10:00:00Z or 2026-12-01T11:00:00+01:00.',
    );
  }
  return timestampFromDate(date);
}

/** Writes an instant in UTC; nothing when there is none. */
export function instantToText(time: Timestamp | undefined): string {
  return time === undefined ? '' : timestampDate(time).toISOString();
}

/** Reads a whole number from `min` to what an int32 holds. */
export function integerFromText(min: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= 2_147_483_647)) {
      throw new InvalidArgumentError(`It is a whole number${min > -1 ? `, ${min} or more` : ''}.`);
    }
    return value;
  };
}

/** Reads an id that the service gave. */
export function idFromText(text: string): bigint {
  if (!/^[1-9]\d{0,15}$/.test(text)) throw new InvalidArgumentError('An id is a positive whole number.');
  return BigInt(text);
}

/** Reads a JSON object. */
export function jsonObjectFromText(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch {
    // Falls through to the same answer.
  }
  throw new InvalidArgumentError('It is a JSON object such as {"key": "value"}.');
}

/** Reads an option that may be given several times. */
export function repeated<T>(
  read: (text: string) => T,
): (text: string, before?: readonly T[]) => readonly T[] {
  return (text, before = []) => [...before, read(text)];
}

/** A name with a value. */
export type Pair = { readonly name: string; readonly value: string };

/** Reads `name=value` or, with a colon, `name: value`; blanks around the name and before a colon's value fall away. */
export function pairFromText(separator: '=' | ':'): (text: string) => Pair {
  return (text) => {
    const at = text.indexOf(separator);
    const name = text.slice(0, at).trim();
    if (at < 0 || name === '') {
      throw new InvalidArgumentError(
        separator === '=' ? 'It looks like name=value.' : "It looks like 'name: value'.",
      );
    }
    const value = text.slice(at + 1);
    return { name, value: separator === ':' ? value.trim() : value };
  };
}

/** The pairs as a map; the last one of a name counts. */
export function mapFromPairs(pairs: readonly Pair[] = []): Record<string, string> {
  return Object.fromEntries(pairs.map(({ name, value }) => [name, value]));
}

/** Reads one of the words of an enum by its short name, any case; `-` stands for `_`. */
export function enumFromText<T extends number>(
  words: Readonly<Record<string, string | number>>,
): (text: string) => T {
  const names = Object.keys(words).filter((name) => /^[A-Z]/.test(name) && name !== 'UNSPECIFIED');
  return (text) => {
    const name = text.toUpperCase().replaceAll('-', '_');
    if (!names.includes(name)) {
      const choices = names.map((each) => each.toLowerCase().replaceAll('_', '-'));
      throw new InvalidArgumentError(`It is one of ${choices.join(', ')}.`);
    }
    return words[name] as T;
  };
}
