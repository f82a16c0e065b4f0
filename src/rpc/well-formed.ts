/**
 * What every request must be before its rules are looked at, found by one walk
 * over the message, compiled per message type:
 *
 * - text without NUL, which Postgres refuses, and without lone surrogates,
 *   which no encoder can write;
 * - instants between the years 1 and 9999, spans within ±10,000 years, both
 *   with nanos as the protos of google define them;
 * - JSON objects with finite numbers, at most 32 levels and 1 MiB.
 *
 * Nothing is allocated for a message that is well-formed: a path is put
 * together on the way back from what is wrong.
 */
import { type DescField, type DescMessage, type Message, ScalarType } from '@bufbuild/protobuf';
import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from '@bufbuild/protobuf/wkt';
import type { FieldViolation } from '../domain/errors.ts';

/** The deepest JSON object that is taken: 1 is an object without objects or arrays in it. */
export const maxJsonDepth = 32;

/** The largest JSON object that is taken, in bytes as JSON. */
export const maxJsonBytes = 1_048_576;

/** The first thing that is not well-formed in a message, by its proto path; undefined for a good one. */
export function findMalformed(desc: DescMessage, message: Message): FieldViolation | undefined {
  const found = checkOfMessage(desc)(message);
  return found && { field: found.path, description: found.description };
}

type Problem = { readonly path: string; readonly description: string };
type Check = (value: unknown) => Problem | undefined;
type Fields = { readonly [name: string]: unknown };

const compiled = new WeakMap<DescMessage, Check>();

function checkOfMessage(desc: DescMessage): Check {
  const known = compiled.get(desc);
  if (known !== undefined) return known;
  const fields: Check[] = [];
  const check: Check = (message) => {
    for (const field of fields) {
      const problem = field(message);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
  // Known before its fields are compiled, because messages can contain themselves.
  compiled.set(desc, check);
  for (const field of desc.fields) {
    const fieldCheck = checkOfField(field);
    if (fieldCheck !== undefined) fields.push(fieldCheck);
  }
  return check;
}

function checkOfField(field: DescField): Check | undefined {
  const { localName, name } = field;
  const value = checkOfValue(field);
  if (value === undefined) return undefined;
  const named: Check = (given) => {
    const problem = value(given);
    return problem && { ...problem, path: `${name}${problem.path}` };
  };
  if (field.oneof !== undefined) {
    const oneofName = field.oneof.localName;
    return (message) => {
      const chosen = (message as Fields)[oneofName] as { case?: string; value?: unknown };
      return chosen.case === localName ? named(chosen.value) : undefined;
    };
  }
  return (message) => {
    const given = (message as Fields)[localName];
    return given === undefined ? undefined : named(given);
  };
}

function checkOfValue(field: DescField): Check | undefined {
  switch (field.fieldKind) {
    case 'scalar':
      return field.scalar === ScalarType.STRING ? checkText : undefined;
    case 'message':
      return checkOfNested(field.message);
    case 'list': {
      if (field.listKind === 'scalar' && field.scalar === ScalarType.STRING) return checkOfList(checkText);
      return field.listKind === 'message' ? checkOfList(checkOfNested(field.message)) : undefined;
    }
    case 'map':
      return checkOfMap(field.mapKind === 'message' ? checkOfNested(field.message) : checkText);
    default:
      return undefined;
  }
}

function checkOfNested(desc: DescMessage): Check {
  switch (desc.typeName) {
    case TimestampSchema.typeName:
      return checkTimestamp;
    case DurationSchema.typeName:
      return checkDuration;
    case 'google.protobuf.Struct':
      return checkJson;
    default: {
      const check = checkOfMessage(desc);
      return (message) => {
        const problem = check(message);
        return problem && { ...problem, path: `.${problem.path}` };
      };
    }
  }
}

function checkOfList(check: Check): Check {
  return (list) => {
    const items = list as readonly unknown[];
    for (let i = 0; i < items.length; i++) {
      const problem = check(items[i]);
      if (problem !== undefined) return { ...problem, path: `[${i}]${problem.path}` };
    }
    return undefined;
  };
}

function checkOfMap(check: Check): Check {
  return (map) => {
    const entries = map as Fields;
    for (const key of Object.keys(entries)) {
      const problem = checkText(key) ?? check(entries[key]);
      if (problem !== undefined) return { ...problem, path: `[${JSON.stringify(key)}]${problem.path}` };
    }
    return undefined;
  };
}

const problem = (description: string): Problem => ({ path: '', description });

const hasNul = problem('must not contain the character NUL');
const hasLoneSurrogate = problem('must not contain half of a surrogate pair');

function checkText(value: unknown): Problem | undefined {
  if (typeof value !== 'string') return undefined;
  if (value.includes('\0')) return hasNul;
  return value.isWellFormed() ? undefined : hasLoneSurrogate;
}

const badTimestamp = problem('must be an instant of the years 1 to 9999, with nanos from 0 to 999,999,999');

function checkTimestamp(value: unknown): Problem | undefined {
  const { seconds, nanos } = value as Timestamp;
  const isGood =
    seconds >= -62_135_596_800n && seconds <= 253_402_300_799n && nanos >= 0 && nanos <= 999_999_999;
  return isGood ? undefined : badTimestamp;
}

const badDuration = problem(
  'must lie within ±315,576,000,000 seconds, with nanos below a second and of the same sign',
);

function checkDuration(value: unknown): Problem | undefined {
  const { seconds, nanos } = value as Duration;
  const isGood =
    seconds >= -315_576_000_000n &&
    seconds <= 315_576_000_000n &&
    Math.abs(nanos) <= 999_999_999 &&
    !(seconds > 0n && nanos < 0) &&
    !(seconds < 0n && nanos > 0);
  return isGood ? undefined : badDuration;
}

const tooDeep = problem(`must be at most ${maxJsonDepth} levels deep`);
const tooLarge = problem(`must be at most ${maxJsonBytes} bytes as JSON`);
const notFinite = problem('must not contain NaN or an infinite number');

function checkJson(value: unknown): Problem | undefined {
  const found = checkJsonValue(value, 1);
  if (found !== undefined) return found;
  return Buffer.byteLength(JSON.stringify(value)) > maxJsonBytes ? tooLarge : undefined;
}

function checkJsonValue(value: unknown, depth: number): Problem | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : notFinite;
  if (typeof value !== 'object' || value === null) return checkText(value);
  if (depth > maxJsonDepth) return tooDeep;
  for (const [key, child] of Object.entries(value)) {
    const found = checkText(key) ?? checkJsonValue(child, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}
