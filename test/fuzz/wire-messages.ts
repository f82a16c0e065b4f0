/**
 * Bytes in the place of messages, made from the descriptors: every field with
 * values at its bounds, beyond them, of the wrong type, too often, too deep,
 * and then with bits turned over. Written on the wire, because no library
 * encodes most of it.
 */
import { type DescField, type DescMessage, getOption, ScalarType } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { field as fieldRules } from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import type { Random } from '../support/seeded-random.ts';

const texts = [
  '',
  'a',
  'a\0b',
  '夜'.repeat(50),
  '__proto__',
  'constructor',
  "'; drop table carillon.job; --",
  '../../etc/passwd',
  '\u202e\ufeff\u0007',
  '0 3 * * *',
  '* * * * * *',
  'Europe/Berlin',
  'http://a/',
  '127.0.0.1:1',
];

/** Text that is not UTF-8: cut short, overlong, half of a pair. */
const notText = [[0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xff, 0xfe]].map((bytes) =>
  Uint8Array.from(bytes),
);

const integers = [0, 1, -1, 2, 100, 10_000, 2_147_483_647, -2_147_483_648];
const longs = [
  0n,
  1n,
  -1n,
  1_772_366_400n,
  9_007_199_254_740_992n,
  9_223_372_036_854_775_807n,
  -9_223_372_036_854_775_808n,
];
const doubles = [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e308, -1e-308];

/** How deep messages are put into each other on purpose. */
const maxDepth = 7;

/** Random fields of a message, none of them certain to be right. */
export function randomFields(desc: DescMessage, random: Random, depth = 0): Uint8Array {
  const writer = new BinaryWriter();
  if (desc.fields.length === 0 || depth > maxDepth) return writer.finish();
  // Few fields, so that the first mistake does not hide all others.
  const count = random.pick([0, 1, 1, 2, 3, desc.fields.length]);
  for (let i = 0; i < count; i++) writeField(writer, random.pick(desc.fields), random, depth);
  if (random.chance(0.05)) writer.tag(random.pick([1, 99, 19_000, 536_870_911]), WireType.Varint).int32(1);
  return writer.finish();
}

function writeField(writer: BinaryWriter, field: DescField, random: Random, depth: number): void {
  if (random.chance(0.04)) {
    writeWrongType(writer, field.number, random);
    return;
  }
  const isMany = field.fieldKind === 'list' || field.fieldKind === 'map';
  const times = isMany ? random.pick([0, 1, 2, 5, random.chance(0.03) ? 10_001 : 3]) : 1;
  // The same value many times: what counts is how many there are.
  const value = times > 100 ? new BinaryWriter() : undefined;
  if (value !== undefined) writeValue(value, field, random, maxDepth);
  for (let i = 0; i < times; i++) {
    if (value === undefined) writeValue(writer, field, random, depth);
    else writer.raw(value.finish());
  }
}

function writeValue(writer: BinaryWriter, field: DescField, random: Random, depth: number): void {
  const { number } = field;
  if (field.fieldKind === 'map') {
    const entry = new BinaryWriter();
    entry.tag(1, WireType.LengthDelimited).bytes(textOf(random, field));
    if (field.mapKind === 'message') {
      entry.tag(2, WireType.LengthDelimited).bytes(bodyOf(field.message, random, depth));
    } else entry.tag(2, WireType.LengthDelimited).bytes(textOf(random, field));
    writer.tag(number, WireType.LengthDelimited).bytes(entry.finish());
  } else if (field.message !== undefined) {
    writer.tag(number, WireType.LengthDelimited).bytes(bodyOf(field.message, random, depth));
  } else if (field.enum !== undefined) {
    const known = random.pick(field.enum.values).number;
    writer
      .tag(number, WireType.Varint)
      .int32(random.chance(0.8) ? known : random.pick([-1, 99, 2_147_483_647]));
  } else writeScalar(writer, field, random);
}

function bodyOf(message: DescMessage, random: Random, depth: number): Uint8Array {
  const isOfItself =
    message.typeName === 'google.protobuf.Struct' || message.typeName === 'google.protobuf.Value';
  if (isOfItself && random.chance(0.1)) return nested(random.pick([30, 33, 99, 101, 2_000]));
  return randomFields(message, random, depth + 1);
}

/** A Struct in a Struct, so many times. */
function nested(levels: number): Uint8Array {
  let struct = new Uint8Array();
  for (let i = 0; i < levels; i++) {
    const value = new BinaryWriter().tag(5, WireType.LengthDelimited).bytes(struct).finish();
    const entry = new BinaryWriter().tag(1, WireType.LengthDelimited).string('a');
    entry.tag(2, WireType.LengthDelimited).bytes(value);
    struct = new Uint8Array(
      new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(entry.finish()).finish(),
    );
  }
  return struct;
}

function writeScalar(writer: BinaryWriter, field: DescField, random: Random): void {
  const { number } = field;
  switch (field.fieldKind === 'scalar' || field.fieldKind === 'list' ? field.scalar : undefined) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      writer.tag(number, WireType.LengthDelimited).bytes(textOf(random, field));
      return;
    case ScalarType.BOOL:
      writer.tag(number, WireType.Varint).bool(random.chance(0.5));
      return;
    case ScalarType.DOUBLE:
      writer.tag(number, WireType.Bit64).double(random.pick(doubles));
      return;
    case ScalarType.FLOAT:
      writer.tag(number, WireType.Bit32).float(random.pick([0, 1.5, Number.NaN]));
      return;
    case ScalarType.INT64:
    case ScalarType.UINT64:
      writer.tag(number, WireType.Varint).int64(random.pick(longs));
      return;
    default:
      writer.tag(number, WireType.Varint).int32(random.pick(integers));
  }
}

function textOf(random: Random, field: DescField): Uint8Array {
  if (random.chance(0.05)) return random.pick(notText);
  const { type } = getOption(field, fieldRules);
  const max = type.case === 'string' ? Number(type.value.maxLen || type.value.maxBytes) : 0;
  const atBounds = max > 0 && max < 2_000_000 ? ['x'.repeat(max), 'x'.repeat(max + 1)] : ['x'.repeat(70_000)];
  return new TextEncoder().encode(random.pick(random.chance(0.1) ? atBounds : texts));
}

function writeWrongType(writer: BinaryWriter, number: number, random: Random): void {
  switch (random.below(5)) {
    case 0:
      writer.tag(number, WireType.Varint).uint64(18_446_744_073_709_551_615n);
      return;
    case 1:
      writer.tag(number, WireType.Bit64).double(1);
      return;
    case 2:
      writer.tag(number, WireType.Bit32).float(1);
      return;
    case 3:
      writer.tag(number, WireType.StartGroup);
      return;
    default:
      writer.tag(number, WireType.LengthDelimited).bytes(Uint8Array.from([0xff, 0xff, 0xff]));
  }
}

/** Bytes with some of them changed, missing or twice there. */
export function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  const changed = Buffer.from(bytes);
  if (changed.length === 0) return Buffer.from([random.below(256)]);
  switch (random.below(3)) {
    case 0:
      for (let i = 0; i <= random.below(4); i++) changed[random.below(changed.length)] = random.below(256);
      return changed;
    case 1:
      return changed.subarray(0, random.below(changed.length));
    default: {
      const at = random.below(changed.length);
      return Buffer.concat([
        changed.subarray(0, at),
        changed.subarray(random.below(changed.length)),
        changed.subarray(at),
      ]);
    }
  }
}

/** Bytes without any sense. */
export function randomBytes(random: Random, most: number): Buffer {
  return Buffer.from(Array.from({ length: random.below(most) }, () => random.below(256)));
}
