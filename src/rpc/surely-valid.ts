/**
 * Tells at once that a message keeps all its rules, or that it cannot tell.
 *
 * The validator of protovalidate knows every rule and tells every violation,
 * but it walks the message by reflection: for a Trigger that is 10 µs of the
 * 70 that a call takes (bench/unary-overhead.ts). This check is compiled from
 * the same rules for the common ones among them, and is right only in its yes:
 * a rule that it does not know, or a value close to a bound that is counted in
 * another unit, is a no, and then the validator decides. The hostile-input test
 * holds the two against each other.
 */
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescOneof,
  getOption,
  isFieldSet,
  type Message,
  ScalarType,
} from '@bufbuild/protobuf';
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt';
import {
  DurationRulesSchema,
  EnumRulesSchema,
  type FieldRules,
  field as fieldRules,
  Ignore,
  Int32RulesSchema,
  Int64RulesSchema,
  MapRulesSchema,
  message as messageRules,
  oneof as oneofRules,
  RepeatedRulesSchema,
  StringRulesSchema,
  TimestampRulesSchema,
} from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';

/** Whether the message keeps all its rules for sure; false means that it may or may not. */
export function isSurelyValid(desc: DescMessage, message: Message): boolean {
  return checkOfMessage(desc)(message);
}

/** True only for values that keep the rules. */
type Sure = (value: unknown) => boolean;

type Fields = { readonly [name: string]: unknown };
type Choice = { readonly case?: string; readonly value?: unknown };

const always: Sure = () => true;
const unsure: Sure = () => false;

const compiled = new WeakMap<DescMessage, Sure>();

function checkOfMessage(desc: DescMessage): Sure {
  const known = compiled.get(desc);
  if (known !== undefined) return known;
  const checks: Sure[] = [];
  const check: Sure = (message) => {
    for (const each of checks) if (!each(message)) return false;
    return true;
  };
  // Known before its fields are compiled, because messages can contain themselves.
  compiled.set(desc, check);
  const rules = getOption(desc, messageRules);
  if (rules.cel.length > 0 || rules.celExpression.length > 0 || rules.oneof.length > 0) checks.push(unsure);
  for (const oneof of desc.oneofs) if (getOption(oneof, oneofRules).required) checks.push(isChosen(oneof));
  for (const field of desc.fields) checks.push(checkOfField(field));
  const telling = checks.filter((each) => each !== always);
  checks.splice(0, checks.length, ...telling);
  return check;
}

function isChosen({ localName }: DescOneof): Sure {
  return (message) => ((message as Fields)[localName] as Choice).case !== undefined;
}

/** The check of a field within its message. */
function checkOfField(field: DescField): Sure {
  const { localName } = field;
  const rules = getOption(field, fieldRules);
  const value = checkOfValue(field, rules);
  const isOptional = !rules.required;
  if (field.oneof !== undefined) {
    const oneofName = field.oneof.localName;
    return (message) => {
      const chosen = (message as Fields)[oneofName] as Choice;
      return chosen.case === localName ? value(chosen.value) : isOptional;
    };
  }
  // What is required of a scalar, list or map is that it is not empty: left to the validator.
  if (rules.required && field.fieldKind !== 'message') return unsure;
  if (value === always && isOptional) return always;
  return (message) => {
    const given = (message as Fields)[localName];
    return given === undefined ? isOptional : value(given);
  };
}

function checkOfValue(field: DescField, rules: FieldRules): Sure {
  if (!isPlain(rules)) return unsure;
  const { type } = rules;
  switch (field.fieldKind) {
    case 'message':
      return type.case === undefined ? checkOfMessage(field.message) : checkOfTime(type);
    case 'list':
      return checkOfList(field, type);
    case 'map':
      return checkOfMap(field, type);
    default:
      return checkOfScalar(type, field.enum);
  }
}

function checkOfScalar(type: FieldRules['type'], desc: DescEnum | undefined): Sure {
  switch (type.case) {
    case undefined:
      return always;
    case 'string':
      return checkOfText(type.value);
    case 'int32':
      return setsOnly(Int32RulesSchema, type.value, ['lt', 'lte', 'gt', 'gte', 'in'])
        ? checkOfNumber(type.value)
        : unsure;
    case 'int64':
      return setsOnly(Int64RulesSchema, type.value, ['lt', 'lte', 'gt', 'gte', 'in'])
        ? checkOfNumber(type.value)
        : unsure;
    case 'enum':
      return desc === undefined ? unsure : checkOfEnum(type.value, desc);
    default:
      return unsure;
  }
}

function checkOfEnum(rules: Extract<FieldRules['type'], { case: 'enum' }>['value'], desc: DescEnum): Sure {
  if (!setsOnly(EnumRulesSchema, rules, ['defined_only', 'in', 'not_in'])) return unsure;
  const allowed = desc.values
    .map((value) => value.number)
    .filter((number) => rules.in.length === 0 || rules.in.includes(number))
    .filter((number) => !rules.notIn.includes(number));
  return (value) => allowed.includes(value as number);
}

/** Lengths are code points in the rules and UTF-16 units here: a code point is one or two of them, up to 4 bytes. */
function checkOfText(rules: Extract<FieldRules['type'], { case: 'string' }>['value']): Sure {
  if (!setsOnly(StringRulesSchema, rules, ['min_len', 'max_len', 'max_bytes', 'pattern', 'in']))
    return unsure;
  const atLeast = rules.minLen <= 1n ? Number(rules.minLen) : Number(rules.minLen) * 2;
  const maxLen = isFieldSet(rules, StringRulesSchema.field.maxLen) ? Number(rules.maxLen) : Infinity;
  const maxBytes = isFieldSet(rules, StringRulesSchema.field.maxBytes) ? Number(rules.maxBytes) : Infinity;
  const atMost = Math.min(maxLen, Math.floor(maxBytes / 3));
  const pattern = rules.pattern === '' ? undefined : new RegExp(rules.pattern, 'u');
  const allowed = rules.in;
  return (value) => {
    const text = value as string;
    if (text.length < atLeast || text.length > atMost) return false;
    if (allowed.length > 0 && !allowed.includes(text)) return false;
    return pattern === undefined || pattern.test(text);
  };
}

type Bound<Case extends string> =
  | { case: Case; value: number | bigint }
  | { case: undefined; value?: undefined };

function checkOfNumber(rules: {
  readonly lessThan: Bound<'lt' | 'lte'>;
  readonly greaterThan: Bound<'gt' | 'gte'>;
  readonly in: readonly (number | bigint)[];
}): Sure {
  const { lessThan, greaterThan, in: allowed } = rules;
  const low = greaterThan.value;
  const high = lessThan.value;
  // An upper bound below the lower one means the outside of the range.
  if (low !== undefined && high !== undefined && high <= low) return unsure;
  return (value) => {
    const number = value as number | bigint;
    if (low !== undefined && (greaterThan.case === 'gt' ? number <= low : number < low)) return false;
    if (high !== undefined && (lessThan.case === 'lt' ? number >= high : number > high)) return false;
    return allowed.length === 0 || allowed.includes(number);
  };
}

/** The check of an instant or a span: both are seconds with nanos. Negative ones with nanos are left to the validator. */
function checkOfTime(type: FieldRules['type']): Sure {
  const isKnown =
    type.case === 'timestamp'
      ? setsOnly(TimestampRulesSchema, type.value, ['lt', 'lte', 'gt', 'gte'])
      : type.case === 'duration' && setsOnly(DurationRulesSchema, type.value, ['lt', 'lte', 'gt', 'gte']);
  if (!isKnown) return unsure;
  const { lessThan, greaterThan } = type.value as {
    readonly lessThan: { readonly case?: string; readonly value?: Time };
    readonly greaterThan: { readonly case?: string; readonly value?: Time };
  };
  const low = greaterThan.value;
  const high = lessThan.value;
  if (low && high && compareTimes(high, low) <= 0) return unsure;
  const lowest = greaterThan.case === 'gt' ? 1 : 0;
  const highest = lessThan.case === 'lt' ? -1 : 0;
  return (value) => {
    const time = value as Time;
    if (time.nanos < 0 || time.nanos >= 1_000_000_000 || (time.seconds < 0n && time.nanos > 0)) return false;
    if (low && compareTimes(time, low) < lowest) return false;
    return high === undefined || compareTimes(time, high) <= highest;
  };
}

type Time = Pick<Timestamp | Duration, 'seconds' | 'nanos'>;

/** -1, 0 or 1. */
function compareTimes(a: Time, b: Time): number {
  if (a.seconds !== b.seconds) return a.seconds < b.seconds ? -1 : 1;
  return Math.sign(a.nanos - b.nanos);
}

function checkOfList(field: DescField & { fieldKind: 'list' }, type: FieldRules['type']): Sure {
  const isMessage = field.listKind === 'message';
  if (type.case === undefined)
    return isMessage ? everyItem(checkOfMessage(field.message), 0, Infinity) : always;
  if (type.case !== 'repeated') return unsure;
  const rules = type.value;
  if (!setsOnly(RepeatedRulesSchema, rules, ['min_items', 'max_items', 'unique', 'items'])) return unsure;
  if (isMessage && rules.items !== undefined) return unsure;
  const item = isMessage ? checkOfMessage(field.message) : checkOfPart(rules.items, field.enum);
  const max = maxOf(rules, RepeatedRulesSchema.field.maxItems, rules.maxItems);
  // Comparing items is the validator's work; one alone is unique.
  return everyItem(item, Number(rules.minItems), rules.unique ? Math.min(max, 1) : max);
}

function everyItem(item: Sure, min: number, max: number): Sure {
  return (value) => {
    const items = value as readonly unknown[];
    return items.length >= min && items.length <= max && items.every(item);
  };
}

function checkOfMap(field: DescField & { fieldKind: 'map' }, type: FieldRules['type']): Sure {
  if (field.mapKind === 'message' || field.mapKey !== ScalarType.STRING) return unsure;
  if (type.case === undefined) return always;
  if (type.case !== 'map') return unsure;
  const rules = type.value;
  if (!setsOnly(MapRulesSchema, rules, ['min_pairs', 'max_pairs', 'keys', 'values'])) return unsure;
  const key = checkOfPart(rules.keys, undefined);
  const each = checkOfPart(rules.values, field.enum);
  const min = Number(rules.minPairs);
  const max = maxOf(rules, MapRulesSchema.field.maxPairs, rules.maxPairs);
  return (value) => {
    const entries = Object.entries(value as Fields);
    if (entries.length < min || entries.length > max) return false;
    return entries.every(([name, content]) => key(name) && each(content));
  };
}

/** Whether the rules are nothing but rules of the type. */
function isPlain(rules: FieldRules): boolean {
  const hasCode = rules.cel.length > 0 || rules.celExpression.length > 0;
  return !hasCode && rules.$unknown === undefined && rules.ignore === Ignore.UNSPECIFIED;
}

/** The check of an item, a key or a value by the rules for it. */
function checkOfPart(rules: FieldRules | undefined, desc: DescEnum | undefined): Sure {
  if (rules === undefined) return always;
  return isPlain(rules) && !rules.required ? checkOfScalar(rules.type, desc) : unsure;
}

function maxOf(rules: Message, field: DescField, value: bigint): number {
  return isFieldSet(rules, field) ? Number(value) : Infinity;
}

/** Whether the rules say nothing but what is listed. */
function setsOnly(schema: DescMessage, rules: Message, known: readonly string[]): boolean {
  if (rules.$unknown !== undefined && rules.$unknown.length > 0) return false;
  return schema.fields.every((field) => known.includes(field.name) || !isFieldSet(rules, field));
}
