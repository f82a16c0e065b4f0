/**
 * One field of a cron expression: a list of items, each matched against the
 * few forms that the field allows. Whatever fits none of them is refused with
 * what would be right.
 */
import type { FieldRule } from './cron-dialects.ts';
import { quote, refuse, type Text } from './cron-refusal.ts';
import { spreadWithin } from './spread.ts';

/** Days of the month beyond plain numbers. */
export type MonthDayRule =
  | { readonly kind: 'last'; readonly before: number; readonly weekday: boolean }
  | { readonly kind: 'nearestWeekday'; readonly day: number };

/** Days of the week beyond plain numbers: the nth of a month, or the last (nth = 0). Weekday 0 is Sunday. */
export type WeekdayRule = { readonly weekday: number; readonly nth: number };

/** A field, understood. */
export type CronField = {
  /** Whether each value is in, the field's first value at 0. */
  readonly has: Uint8Array;
  readonly monthDayRules: readonly MonthDayRule[];
  readonly weekdayRules: readonly WeekdayRule[];
  /** It is made of plain numbers, names and `H`. */
  readonly isPlain: boolean;
  /** It is `*` or `?` and nothing else. */
  readonly isAny: boolean;
};

/** How many items a field may list. */
const maxItems = 64;

/**
 * Understands a field. `seed` fixes what `H` stands for; `lastDayOfWeek` says
 * whether `L` alone as day of week is Saturday.
 *
 * @throws CronSyntaxError
 */
export function parseField(
  { text, at }: Text,
  rule: FieldRule,
  seed: number,
  lastDayOfWeek: boolean,
): CronField {
  const items = text.split(',');
  if (items.length > maxItems) refuse(rule.name, at, `more than ${maxItems} items; write a range or a step`);
  const field = new FieldParser(rule, seed, lastDayOfWeek);
  let position = at;
  for (const item of items) {
    if (item === '') refuse(rule.name, position, 'an item is empty; separate values by single commas');
    if (items.length > 1 && /^[*?]/.test(item)) {
      refuse(rule.name, position, `${quote(item)} cannot stand in a list; write it alone`);
    }
    field.add(item, position);
    position += item.length + 1;
  }
  return { ...field.result, isAny: text === '*' || text === '?' };
}

class FieldParser {
  readonly #rule: FieldRule;
  readonly #seed: number;
  readonly #lastDayOfWeek: boolean;
  readonly #has: Uint8Array;
  readonly #monthDayRules: MonthDayRule[] = [];
  readonly #weekdayRules: WeekdayRule[] = [];
  #isPlain = true;

  constructor(rule: FieldRule, seed: number, lastDayOfWeek: boolean) {
    this.#rule = rule;
    this.#seed = seed;
    this.#lastDayOfWeek = lastDayOfWeek;
    this.#has = new Uint8Array(rule.cycle);
  }

  get result(): Omit<CronField, 'isAny'> {
    return {
      has: this.#has,
      monthDayRules: this.#monthDayRules,
      weekdayRules: this.#weekdayRules,
      isPlain: this.#isPlain,
    };
  }

  add(item: string, at: number): void {
    const { name, min, cycle } = this.#rule;
    if (name === 'day of month' && this.#isMonthDayRule(item, at)) return;
    if (name === 'day of week' && this.#isWeekdayRule(item, at)) return;
    const slash = item.indexOf('/');
    const from = slash < 0 ? item : item.slice(0, slash);
    const step = slash < 0 ? undefined : this.#stepOf(item.slice(slash + 1), at + slash + 1);
    let [first, last] = [min, min + cycle - 1];
    if (from === '?' && name.startsWith('day')) {
      this.#isPlain = false;
      if (step !== undefined) refuse(name, at, '"?" takes no step; write "*"');
    } else if (from === '*') {
      this.#isPlain = false;
    } else if (/^H(\(|$)/i.test(from)) {
      [first, last] = this.#spreadOf(from, at, step);
    } else if (from.includes('-')) {
      [first, last] = this.#rangeOf(from, at);
      this.#isPlain = false;
    } else {
      first = this.#numberOf(from, at);
      last = step === undefined ? first : Math.max(first, last);
    }
    if (step !== undefined) this.#isPlain = false;
    for (let value = first; value <= last; value += step ?? 1) this.#has[(value - min) % cycle] = 1;
  }

  #stepOf(text: string, at: number): number {
    const { name, cycle } = this.#rule;
    if (!/^\d{1,3}$/.test(text)) refuse(name, at, `${quote(text)} is no step; write a number behind "/"`);
    const step = Number(text);
    if (step < 1 || step > cycle) refuse(name, at, `a step of ${step} does not fit; write 1 to ${cycle}`);
    return step;
  }

  /** The ends of a range; the last value of one that wraps lies a cycle behind. */
  #rangeOf(from: string, at: number): [number, number] {
    const { name, min, cycle, wraps } = this.#rule;
    const dash = from.indexOf('-');
    const [firstText, lastText] = [from.slice(0, dash), from.slice(dash + 1)];
    const first = this.#numberOf(firstText, at);
    let last = this.#numberOf(lastText, at + dash + 1);
    // FRI-SUN: the Sunday that ends a week.
    if (!wraps && name === 'day of week' && lastText.toUpperCase() === 'SUN' && first > 0) last = 7;
    if (last >= first) return [first, last];
    if (wraps) return [first, last + cycle];
    if (name === 'year') refuse(name, at, `${quote(from)} runs backward; write the earlier year first`);
    const [begin, end] = /^\d+$/.test(firstText)
      ? [min, min + cycle - 1]
      : [this.#rule.words![0], this.#rule.words!.at(-1)];
    const parts = [
      firstText === String(end) ? firstText : `${firstText}-${end}`,
      lastText === String(begin) ? lastText : `${begin}-${lastText}`,
    ];
    return refuse(name, at, `${quote(from)} runs backward; write two ranges, ${quote(parts.join(','))}`);
  }

  /** What `H` and `H(a-b)` stand for: with a step the first value and the end, else one value. */
  #spreadOf(from: string, at: number, step: number | undefined): [number, number] {
    const { name, min, cycle } = this.#rule;
    if (name === 'year') refuse(name, at, 'H stands for no year; write years or "*"');
    let first = min;
    // Every month has 28 days.
    let last = name === 'day of month' ? 28 : min + cycle - 1;
    if (from.length > 1) {
      const range = /^H\((\d{1,2})-(\d{1,2})\)$/i.exec(from);
      if (!range) refuse(name, at, `${quote(from)} is no spread; write H, H/n or H(a-b)`);
      const [, a, b] = range!;
      first = this.#numberOf(a!, at + 2);
      last = this.#numberOf(b!, at + 3 + a!.length);
      if (last < first) refuse(name, at, `${quote(from)} runs backward; write H(${b}-${a})`);
    }
    const value = spreadWithin(this.#seed, first, Math.min(step ?? cycle, last - first + 1));
    return [value, step === undefined ? value : last];
  }

  /** Takes `L`, `L-n`, `LW`, `L-nW` and `nW`. */
  #isMonthDayRule(item: string, at: number): boolean {
    const upper = item.toUpperCase();
    const last = /^L(?:-(\d{1,2}))?(W)?$/.exec(upper);
    if (last) {
      const before = Number(last[1] ?? 0);
      if (before > 30) {
        refuse(this.#rule.name, at, `"L-${before}" lies before every month; write L-1 to L-30`);
      }
      this.#monthDayRules.push({ kind: 'last', before, weekday: last[2] === 'W' });
      return true;
    }
    const nearest = /^(\d{1,2})W$/.exec(upper);
    if (!nearest) return false;
    this.#monthDayRules.push({ kind: 'nearestWeekday', day: this.#numberOf(nearest[1]!, at) });
    return true;
  }

  /** Takes `n#k`, `nL` and, where it is a day, `L`. */
  #isWeekdayRule(item: string, at: number): boolean {
    const { name, min, cycle } = this.#rule;
    const upper = item.toUpperCase();
    if (upper === 'L') {
      if (!this.#lastDayOfWeek) {
        refuse(name, at, '"L" alone names no weekday; write e.g. FRIL for the last Friday');
      }
      this.#has[cycle - 1] = 1;
      return true;
    }
    const rule = /^([A-Z]{3}|\d)(?:#(\d)|L)$/.exec(upper);
    if (!rule) return false;
    const nth = rule[2] === undefined ? 0 : Number(rule[2]);
    if (rule[2] !== undefined && (nth < 1 || nth > 5)) {
      refuse(name, at + rule[1]!.length + 1, `a month has no ${nth}th weekday; write #1 to #5`);
    }
    this.#weekdayRules.push({ weekday: (this.#numberOf(rule[1]!, at) - min) % cycle, nth });
    return true;
  }

  #numberOf(text: string, at: number): number {
    const { name, min, max, words } = this.#rule;
    const word = words?.indexOf(text.toUpperCase()) ?? -1;
    if (word >= 0) return word + min;
    const names = words ? ` or ${words[0]} to ${words.at(-1)}` : '';
    if (!/^\d{1,4}$/.test(text)) {
      const what = text === '' ? 'a value is missing' : `${quote(text)} is no value`;
      refuse(name, at, `${what}; write ${min} to ${max}${names}`);
    }
    const value = Number(text);
    if (value < min || value > max) {
      refuse(name, at, `${value} is out of range; write ${min} to ${max}${names}`);
    }
    return value;
  }
}
