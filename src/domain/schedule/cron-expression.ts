/**
 * The grammar of cron expressions, strict and linear.
 *
 * An expression is cut at blanks into fields, a field at commas into items, and
 * an item is matched against the few forms that its field allows. What a
 * dialect allows is a row of `dialects`. Everything else is refused with the
 * field's name, the position in the expression (from 1) and what would be
 * right; nothing is guessed.
 *
 * The result is a compiled form made of bit sets and of rules for days that a
 * bit set cannot express (last day, nearest weekday, nth weekday). It is all
 * that the search for fire times needs (cron-search.ts).
 */
import type { CronDialect } from './schedule.ts';

/** An expression that cannot be understood. */
export class CronSyntaxError extends Error {
  override readonly name = 'CronSyntaxError';
}

/** Days of the month beyond plain numbers. */
export type MonthDayRule =
  | { readonly kind: 'last'; readonly before: number; readonly weekday: boolean }
  | { readonly kind: 'nearestWeekday'; readonly day: number };

/** Days of the week beyond plain numbers: the nth of a month, or the last (nth = 0). */
export type WeekdayRule = { readonly weekday: number; readonly nth: number };

/** A compiled expression. Bit n of a set stands for the value n; weekday 0 is Sunday. */
export type CronPattern = {
  readonly seconds: Int8Array;
  readonly minutes: Int8Array;
  readonly hours: Int8Array;
  readonly months: number;
  readonly monthDays: number;
  readonly monthDayRules: readonly MonthDayRule[];
  readonly monthDaysRestricted: boolean;
  readonly weekdays: number;
  readonly weekdayRules: readonly WeekdayRule[];
  readonly weekdaysRestricted: boolean;
  /** Second, minute and hour are plain numbers or lists of them. */
  readonly isFixedTime: boolean;
};

type FieldName = 'second' | 'minute' | 'hour' | 'day of month' | 'month' | 'day of week';

type FieldRule = {
  readonly name: FieldName;
  readonly min: number;
  readonly max: number;
  readonly words?: readonly string[];
};

const monthWords = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const weekdayWords = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

/** What each dialect allows; another dialect is another row. */
const dialects: Record<
  CronDialect,
  { readonly fields: readonly FieldRule[]; readonly aliases: Record<string, string> }
> = {
  UNIX: {
    fields: [
      { name: 'second', min: 0, max: 59 },
      { name: 'minute', min: 0, max: 59 },
      { name: 'hour', min: 0, max: 23 },
      { name: 'day of month', min: 1, max: 31 },
      { name: 'month', min: 1, max: 12, words: monthWords },
      { name: 'day of week', min: 0, max: 7, words: weekdayWords },
    ],
    aliases: {
      '@yearly': '0 0 1 1 *',
      '@annually': '0 0 1 1 *',
      '@monthly': '0 0 1 * *',
      '@weekly': '0 0 * * 0',
      '@daily': '0 0 * * *',
      '@midnight': '0 0 * * *',
      '@hourly': '0 * * * *',
    },
  },
};

const maxItems = 64;
const maxLength = 256;

type Text = { readonly text: string; readonly at: number };

/** Quotes what a user wrote, cut to a length that fits a message. */
const quote = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);

function refuse(field: FieldName | undefined, at: number, what: string): never {
  throw new CronSyntaxError(field ? `${field} field, position ${at}: ${what}` : `position ${at}: ${what}`);
}

/**
 * The interval of an `@every` expression in milliseconds; undefined for any
 * other expression. Units are h, m, s and ms, joined as in `1h30m`.
 */
export function everyMsOf(expression: string): number | undefined {
  const match = /^\s*@every\s+(\S+)\s*$/i.exec(expression);
  if (!match) return undefined;
  const [, text] = match;
  const parts = [...text!.matchAll(/(\d{1,12}(?:\.\d{1,6})?)(ms|h|m|s)/gy)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    throw new CronSyntaxError(`${quote(text!)} is no duration; write it like 90s, 5m or 1h30m`);
  }
  const unitMs: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit!]!, 0);
}

/**
 * Compiles an expression. `spreadSeed` fixes what `H` stands for: the job's id.
 *
 * @throws CronSyntaxError
 */
export function compileCron(expression: string, dialect: CronDialect, spreadSeed: number): CronPattern {
  if (expression.length > maxLength) refuse(undefined, maxLength + 1, `longer than ${maxLength} characters`);
  const fields = fieldsOf(expression, dialect);
  const rules = dialects[dialect].fields;
  const compiled = rules.map((rule, i) => compileField(fields[i]!, rule, spreadSeed + i * 7919));
  const [second, minute, hour, monthDay, month, weekday] = compiled as [
    Field,
    Field,
    Field,
    Field,
    Field,
    Field,
  ];
  const pattern: CronPattern = {
    seconds: followers(second.bits, 60),
    minutes: followers(minute.bits, 60),
    hours: followers(hour.bits, 24),
    months: month.low,
    monthDays: monthDay.low,
    monthDayRules: monthDay.monthDayRules,
    monthDaysRestricted: monthDay.isRestricted,
    weekdays: (weekday.low & 127) | (weekday.low >> 7),
    weekdayRules: weekday.weekdayRules,
    weekdaysRestricted: weekday.isRestricted,
    isFixedTime: second.isPlain && minute.isPlain && hour.isPlain,
  };
  refuseImpossibleDates(pattern);
  return pattern;
}

function fieldsOf(expression: string, dialect: CronDialect): Text[] {
  const { aliases, fields: rules } = dialects[dialect];
  const trimmed = expression.trim();
  const at = expression.indexOf(trimmed) + 1;
  if (trimmed === '')
    refuse(undefined, 1, 'the expression is empty; five fields are needed, e.g. "0 2 * * *"');
  if (/^(CRON_)?TZ=/i.test(trimmed))
    refuse(undefined, at, 'a zone is set by time_zone, not in the expression');
  if (trimmed.startsWith('@')) {
    const alias = aliases[trimmed.toLowerCase()];
    if (alias) return fieldsOf(alias, dialect);
    if (trimmed.toLowerCase() === '@reboot') {
      refuse(undefined, at, '@reboot is not a time; call Trigger when your service starts');
    }
    refuse(
      undefined,
      at,
      `${quote(trimmed)} is unknown; use ${Object.keys(aliases).join(', ')} or @every 90s`,
    );
  }
  const fields = [...expression.matchAll(/\S+/g)].map(
    (match): Text => ({ text: match[0], at: match.index + 1 }),
  );
  if (fields.length === rules.length - 1) fields.unshift({ text: '0', at: 1 });
  if (fields.length !== rules.length) {
    refuse(
      undefined,
      at,
      `it has ${fields.length} fields; write ${rules.length - 1}, or ${rules.length} with seconds first`,
    );
  }
  return fields;
}

type Field = {
  /** Bits 0 to 31. */
  low: number;
  /** Whether each value is in. */
  readonly bits: Uint8Array;
  readonly monthDayRules: MonthDayRule[];
  readonly weekdayRules: WeekdayRule[];
  isPlain: boolean;
  isRestricted: boolean;
};

function compileField({ text, at }: Text, rule: FieldRule, seed: number): Field {
  const field: Field = {
    low: 0,
    bits: new Uint8Array(64),
    monthDayRules: [],
    weekdayRules: [],
    isPlain: true,
    // As in cron: a field that begins with "*" does not restrict the day.
    isRestricted: !/^[*?]/.test(text),
  };
  const items = text.split(',');
  if (items.length > maxItems) refuse(rule.name, at, `more than ${maxItems} items`);
  let position = at;
  for (const item of items) {
    if (item === '') refuse(rule.name, position, 'an item is empty; separate values by single commas');
    if (items.length > 1 && /^[*?]/.test(item)) {
      refuse(rule.name, position, `${quote(item)} cannot stand in a list; write it alone`);
    }
    compileItem(item, position, rule, seed, field);
    position += item.length + 1;
  }
  for (let value = 0; value < 32; value++) if (field.bits[value]) field.low |= 1 << value;
  return field;
}

function compileItem(item: string, at: number, rule: FieldRule, seed: number, field: Field): void {
  const { name, min, max } = rule;
  if (isDayRule(item, at, rule, field)) return;
  const [, from, step] = /^([^/]*)(?:\/(.*))?$/.exec(item) as unknown as [string, string, string | undefined];
  let width = 1;
  if (step !== undefined) {
    if (!/^\d{1,3}$/.test(step))
      refuse(name, at + from.length + 1, `${quote(step)} is no step; write a number behind "/"`);
    width = Number(step);
    if (width < 1 || width > max - min + (name === 'day of week' ? 0 : 1)) {
      refuse(
        name,
        at + from.length + 1,
        `a step of ${width} does not fit; write 1 to ${max - min + (name === 'day of week' ? 0 : 1)}`,
      );
    }
    field.isPlain = false;
  }
  let first: number;
  let last: number;
  if (from === '*' || (from === '?' && name.startsWith('day'))) {
    [first, last] = [min, name === 'day of week' ? 6 : max];
    field.isPlain = false;
    if (from === '?' && step !== undefined) refuse(name, at, '"?" takes no step; write "*"');
  } else if (/^H(\(|$)/i.test(from)) {
    [first, last] = spread(from, at, rule, seed, step === undefined ? undefined : width);
    if (step === undefined) last = first;
  } else {
    const dash = from.indexOf('-');
    if (dash < 0) {
      first = numberOf(from, at, rule);
      last = step === undefined ? first : name === 'day of week' ? Math.max(first, 6) : max;
    } else {
      first = numberOf(from.slice(0, dash), at, rule);
      last = numberOf(from.slice(dash + 1), at + dash + 1, rule);
      // FRI-SUN: the Sunday that ends a week.
      if (name === 'day of week' && /^SUN$/i.test(from.slice(dash + 1)) && first > 0) last = 7;
      if (last < first) refuse(name, at, `${quote(from)} runs backward; write two ranges, e.g. "22-23,0-4"`);
      field.isPlain = false;
    }
  }
  for (let value = first; value <= last; value += width) field.bits[value] = 1;
}

/** Takes `L`, `L-n`, `LW`, `L-nW` and `nW` for days of the month, `n#k` and `nL` for days of the week. */
function isDayRule(item: string, at: number, rule: FieldRule, field: Field): boolean {
  const upper = item.toUpperCase();
  if (rule.name === 'day of month') {
    const last = /^L(?:-(\d{1,2}))?(W)?$/.exec(upper);
    if (last) {
      const before = Number(last[1] ?? 0);
      if (before > 30) refuse(rule.name, at, `"L-${before}" lies before every month; write L-1 to L-30`);
      field.monthDayRules.push({ kind: 'last', before, weekday: last[2] === 'W' });
      return true;
    }
    const nearest = /^(\d{1,2})W$/.exec(upper);
    if (nearest) {
      field.monthDayRules.push({ kind: 'nearestWeekday', day: numberOf(nearest[1]!, at, rule) });
      return true;
    }
  }
  if (rule.name === 'day of week') {
    if (upper === 'L')
      refuse(rule.name, at, '"L" alone names no weekday; write e.g. FRIL for the last Friday');
    const nth = /^([A-Z]{3}|\d)#(\d)$/.exec(upper);
    if (nth) {
      const k = Number(nth[2]);
      if (k < 1 || k > 5) refuse(rule.name, at, `a month has no ${k}th weekday; write #1 to #5`);
      field.weekdayRules.push({ weekday: numberOf(nth[1]!, at, rule) % 7, nth: k });
      return true;
    }
    const last = /^([A-Z]{3}|\d)L$/.exec(upper);
    if (last) {
      field.weekdayRules.push({ weekday: numberOf(last[1]!, at, rule) % 7, nth: 0 });
      return true;
    }
  }
  return false;
}

function numberOf(text: string, at: number, { name, min, max, words }: FieldRule): number {
  const word = words?.indexOf(text.toUpperCase()) ?? -1;
  if (word >= 0) return word + (name === 'month' ? 1 : 0);
  if (!/^\d{1,4}$/.test(text)) {
    const names = words ? ` or ${words[0]} to ${words.at(-1)}` : '';
    refuse(
      name,
      at,
      `${text === '' ? 'a value is missing' : `${quote(text)} is no value`}; write ${min} to ${max}${names}`,
    );
  }
  const value = Number(text);
  if (value < min || value > max) refuse(name, at, `${value} is out of range; write ${min} to ${max}`);
  return value;
}

/** What `H` and `H(a-b)` stand for: with a step the first value and the end, else one value. */
function spread(
  from: string,
  at: number,
  rule: FieldRule,
  seed: number,
  step: number | undefined,
): [number, number] {
  let first = rule.min;
  // Every month has 28 days.
  let last = rule.name === 'day of month' ? 28 : rule.name === 'day of week' ? 6 : rule.max;
  if (from.length > 1) {
    const range = /^H\((\d{1,2})-(\d{1,2})\)$/i.exec(from);
    if (!range) refuse(rule.name, at, `${quote(from)} is no spread; write H, H/n or H(a-b)`);
    first = numberOf(range[1]!, at + 2, rule);
    last = numberOf(range[2]!, at + 3 + range[1]!.length, rule);
    if (last < first) refuse(rule.name, at, `${quote(from)} runs backward`);
  }
  const width = Math.min(step ?? Number.POSITIVE_INFINITY, last - first + 1);
  return [first + (mix(seed) % width), last];
}

/** Mixes a seed into an even spread of 32-bit numbers; ids that follow each other end up far apart. */
function mix(seed: number): number {
  let h = (seed % 4294967296) ^ Math.floor(seed / 4294967296);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** For each value the first one in the set that is not smaller, -1 behind the last. */
function followers(bits: Uint8Array, size: number): Int8Array {
  const next = new Int8Array(size + 1).fill(-1);
  for (let value = size - 1; value >= 0; value--) next[value] = bits[value] ? value : next[value + 1]!;
  return next;
}

const longestMonths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Refuses days that none of the months has, such as 30 February. */
function refuseImpossibleDates(pattern: CronPattern): void {
  if (pattern.weekdaysRestricted || !pattern.monthDaysRestricted) return;
  const longest = Math.max(...longestMonths.filter((_, i) => pattern.months & (1 << (i + 1))));
  const possible =
    Array.from({ length: longest }, (_, i) => i + 1).some((day) => pattern.monthDays & (1 << day)) ||
    pattern.monthDayRules.some((rule) =>
      rule.kind === 'last' ? rule.before < longest : rule.day <= longest,
    );
  if (!possible) throw new CronSyntaxError('it never fires: none of its months has such a day');
}
