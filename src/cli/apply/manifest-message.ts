/**
 * Turns a value of a manifest into protobuf JSON of a message, field by field,
 * so that whatever is wrong is told with its place and its path.
 *
 * It takes what protobuf JSON takes, keys in snake_case and camelCase, and
 * beyond it: the short names of enums in any case (`skip`, `buffer-one`), and
 * spans as the command line reads them (`5m`, `1h30m`).
 */
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from '@bufbuild/protobuf';
import { InvalidArgumentError } from 'commander';
import { durationFromText } from '../option-values.ts';
import {
  isAbsent,
  kindToText,
  type Place,
  type PlacedMap,
  type PlacedValue,
  type PlainValue,
  type Problem,
  plainValue,
} from './placed-value.ts';
import { withoutShorthand } from './schedule-shorthand.ts';
import { nearestWord } from './spelling.ts';

/** What reading a job comes to beside its JSON. */
export type Reading = {
  readonly problems: Problem[];
  /** Where each field stands, by its path as the service writes it: `schedules[0].cron.expression`. */
  readonly places: Map<string, Place>;
};

/** The protobuf JSON of a message, under the names of the proto; what is wrong goes into the reading. */
export function messageJson(desc: DescMessage, given: PlacedMap, path: string, reading: Reading): JsonObject {
  const value = withoutShorthand(desc, given, reading.problems);
  const json: JsonObject = {};
  const seen = new Map<string, string>();
  for (const [name, entry] of value.entries) {
    const field = desc.fields.find((each) => each.name === name || each.jsonName === name);
    const fieldPath = `${path === '' ? '' : `${path}.`}${field?.name ?? name}`;
    if (!field) {
      reading.problems.push({ place: entry.place, text: unknownKey(fieldPath, name, desc.fields) });
      continue;
    }
    reading.places.set(fieldPath, entry.place);
    const rival = seen.get(field.oneof?.name ?? field.name);
    if (rival !== undefined) {
      const text =
        field.oneof && rival !== field.name
          ? `only one of ${rival} and ${field.name} can be there`
          : `${name} is there already under its other spelling`;
      reading.problems.push({ place: entry.place, text: `${fieldPath}: ${text}` });
      continue;
    }
    if (isAbsent(entry.value)) continue;
    seen.set(field.oneof?.name ?? field.name, field.name);
    const read = fieldJson(field, entry.value, fieldPath, reading);
    if (read !== undefined) json[field.name] = read;
  }
  return json;
}

function unknownKey(path: string, name: string, fields: readonly DescField[]): string {
  const nearest = nearestWord(
    name,
    fields.map((field) => field.name),
  );
  if (nearest !== undefined) return `${path}: there is no such key; ${nearest} is one`;
  return `${path}: there is no such key; there are ${fields.map((field) => field.name).join(', ')}`;
}

function fieldJson(
  field: DescField,
  value: PlacedValue,
  path: string,
  reading: Reading,
): JsonValue | undefined {
  const refuse = (text: string): undefined => {
    reading.problems.push({ place: value.place, text: `${path}: ${text}` });
  };
  switch (field.fieldKind) {
    case 'list': {
      if (value.kind !== 'list') return refuse(`is a list, not ${kindToText(value)}`);
      return value.items.flatMap((item, i) => {
        const itemPath = `${path}[${i}]`;
        reading.places.set(itemPath, item.place);
        return singularJson(field, item, itemPath, reading) ?? [];
      });
    }
    case 'map': {
      if (value.kind !== 'map') return refuse(`is a map, not ${kindToText(value)}`);
      return Object.fromEntries(
        [...value.entries].flatMap(([name, entry]) => {
          const read = scalarJson(field, entry.value, `${path}.${name}`, reading, (json) => ({
            [name]: json,
          }));
          return read === undefined ? [] : [[name, read]];
        }),
      );
    }
    default:
      return singularJson(field, value, path, reading);
  }
}

/** A value of a field, or one of a list. */
function singularJson(
  field: DescField,
  value: PlacedValue,
  path: string,
  reading: Reading,
): JsonValue | undefined {
  const inField = (json: JsonValue): JsonValue => (field.fieldKind === 'list' ? [json] : json);
  if (field.enum) return scalarJson(field, longEnumName(field.enum, value), path, reading, inField);
  if (!field.message) return scalarJson(field, value, path, reading, inField);
  switch (field.message.typeName) {
    case 'google.protobuf.Duration':
      return scalarJson(field, plainSpan(value), path, reading, inField);
    case 'google.protobuf.Timestamp':
      return scalarJson(field, value, path, reading, inField);
    default:
      if (value.kind === 'map') {
        if (field.message.typeName === 'google.protobuf.Struct') return plainValue(value) as JsonObject;
        return messageJson(field.message, value, path, reading);
      }
      reading.problems.push({ place: value.place, text: `${path}: is a map, not ${kindToText(value)}` });
      return undefined;
  }
}

/** A value that protobuf JSON writes as one text, number or boolean; the library judges it. */
function scalarJson(
  field: DescField,
  value: PlacedValue,
  path: string,
  reading: Reading,
  inField: (json: JsonValue) => JsonValue,
): JsonValue | undefined {
  const json: PlainValue = plainValue(value);
  try {
    if (value.kind !== 'scalar' || json === null) throw new Error('wrong kind');
    fromJson(field.parent, { [field.name]: inField(json) });
    return json;
  } catch {
    reading.problems.push({
      place: value.place,
      text: `${path}: is ${expectation(field)}, not ${kindToText(value)}`,
    });
    return undefined;
  }
}

/** What a field takes, in words. */
function expectation(field: DescField): string {
  if (field.enum) return `one of ${shortNames(field.enum).join(', ')}`;
  switch (field.message?.typeName) {
    case 'google.protobuf.Duration':
      return 'a span such as 90s, 5m or 1h30m';
    case 'google.protobuf.Timestamp':
      return 'an instant such as 2027-12-01T10:00:00Z or 2027-12-01T11:00:00+01:00';
    default:
      break;
  }
  switch (field.fieldKind === 'map' ? ScalarType.STRING : field.scalar) {
    case ScalarType.STRING:
      return 'a text (in quotes where it looks like something else)';
    case ScalarType.BOOL:
      return 'true or false';
    case ScalarType.DOUBLE:
      return 'a number';
    default:
      return 'a whole number';
  }
}

const shortNames = (desc: DescEnum): string[] =>
  desc.values.filter(({ number }) => number !== 0).map((each) => shortName(desc, each.name));

const shortName = (desc: DescEnum, name: string): string =>
  desc.sharedPrefix && name.toLowerCase().startsWith(desc.sharedPrefix)
    ? name.slice(desc.sharedPrefix.length)
    : name;

function longEnumName(desc: DescEnum, value: PlacedValue): PlacedValue {
  if (value.kind !== 'scalar' || typeof value.value !== 'string') return value;
  const wanted = value.value.toUpperCase().replaceAll('-', '_');
  const found = desc.values.find(
    ({ name, number }) => name === wanted || (number !== 0 && shortName(desc, name) === wanted),
  );
  return found ? { ...value, value: found.name } : value;
}

/** A span in seconds, which is the only way that protobuf JSON knows. */
function plainSpan(value: PlacedValue): PlacedValue {
  if (value.kind !== 'scalar' || typeof value.value !== 'string') return value;
  if (/^-?[\d.]+s$/.test(value.value)) return value;
  try {
    const { seconds, nanos } = durationFromText(value.value);
    return { ...value, value: `${seconds}${nanos === 0 ? '' : `.${String(nanos).padStart(9, '0')}`}s` };
  } catch (error) {
    if (error instanceof InvalidArgumentError) return value;
    throw error;
  }
}
