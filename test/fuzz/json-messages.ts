/** JSON in the place of messages: fields of the descriptors, with values that are theirs and values that are not. */
import type { DescField, DescMessage, JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { Random } from '../support/seeded-random.ts';

const values: readonly JsonValue[] = [
  null,
  true,
  0,
  -1,
  1e308,
  0.5,
  '9223372036854775808',
  '',
  'a',
  'a\0b',
  '\ud800',
  'x'.repeat(5_000),
  '2026-02-30T25:61:61Z',
  '-1s',
  '1e9s',
  '0 3 * * *',
  [],
  {},
  [null],
  [[]],
];

/** A random request; sometimes with names that no message has, sometimes deeper than any. */
export function randomJson(desc: DescMessage, random: Random, depth = 0): JsonObject {
  const json: JsonObject = {};
  const count = random.pick([0, 1, 2, 4]);
  for (let i = 0; i < count && desc.fields.length > 0; i++) {
    const field = random.pick(desc.fields);
    json[random.chance(0.9) ? field.jsonName : field.name] = jsonValueFor(field, random, depth);
  }
  if (random.chance(0.05)) json[random.pick(['nothing', '__proto__', 'constructor', '', '@type', '\0'])] = 1;
  return json;
}

function jsonValueFor(field: DescField, random: Random, depth: number): JsonValue {
  if (random.chance(0.3) || depth > 5) return random.pick(values);
  if (field.fieldKind === 'list') {
    const { message } = field;
    if (message === undefined) return [random.pick(values), random.pick(values)];
    return Array.from({ length: random.below(4) }, () => randomJson(message, random, depth + 1));
  }
  if (field.fieldKind === 'map') return { a: random.pick(values), [`${random.pick(values)}`]: 'b' };
  if (field.fieldKind === 'enum')
    return random.pick([...field.enum.values.map(({ name }) => name), 99, 'NOTHING']);
  if (field.fieldKind === 'message') {
    if (field.message.typeName === 'google.protobuf.Struct') return deep(random.pick([1, 31, 33, 1_000]));
    return randomJson(field.message, random, depth + 1);
  }
  return random.pick(values);
}

function deep(levels: number): JsonObject {
  let value: JsonObject = {};
  for (let i = 1; i < levels; i++) value = { a: value };
  return value;
}

/** JSON text, sometimes cut, doubled or with a byte that is not UTF-8. */
export function jsonText(json: JsonObject, random: Random): Buffer {
  const text = Buffer.from(JSON.stringify(json));
  if (random.chance(0.85)) return text;
  switch (random.below(4)) {
    case 0:
      return text.subarray(0, random.below(text.length));
    case 1:
      return Buffer.concat([text, text]);
    case 2:
      return Buffer.concat([text.subarray(0, -1), Buffer.from([0xc3, 0x28, 0x7d])]);
    default:
      return Buffer.from('['.repeat(20_000));
  }
}
