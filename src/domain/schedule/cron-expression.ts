/**
 * The grammar of cron expressions, strict and linear.
 *
 * An expression is cut at blanks into fields, a field at commas into items, and
 * an item is matched against the few forms that its field allows
 * (cron-field.ts). What a dialect allows is a row of a table
 * (cron-dialects.ts). Everything else is refused with the field's name, the
 * position in the expression (from 1) and what would be right; nothing is
 * guessed.
 *
 * The result is a compiled form made of bit sets and of rules for days that a
 * bit set cannot express: last day, nearest weekday, nth weekday
 * (cron-pattern.ts). Whether it ever fires after some instant is not judged
 * here, but by the search (cron-search.ts): only that needs a clock.
 */
import { type DialectRule, dialects } from './cron-dialects.ts';
import { parseField } from './cron-field.ts';
import { type CronFields, type CronPattern, patternOf } from './cron-pattern.ts';
import { quote, refuse, type Text } from './cron-refusal.ts';
import type { CronDialect } from './schedule.ts';

export type { CronPattern } from './cron-pattern.ts';
export { CronSyntaxError } from './cron-refusal.ts';

const maxLength = 256;

/**
 * Compiles an expression. `spreadSeed` fixes what `H` stands for: the job's id.
 *
 * @throws CronSyntaxError
 */
export function compileCron(expression: string, dialect: CronDialect, spreadSeed: number): CronPattern {
  const rule = dialects[dialect];
  const texts = cutCron(expression, dialect);
  const fields = texts.map((text, i) =>
    parseField(text, rule.fields[i]!, spreadSeed + i * 7919, rule.lastDayOfWeek),
  ) as unknown as CronFields;
  const [, , , monthDay, , weekday] = fields;
  // As in cron: a field that begins with "*" does not restrict the day.
  const isRestricted = ({ text }: Text): boolean => !/^[*?]/.test(text);
  const pattern = patternOf(
    fields,
    rule.takesEitherDay
      ? { monthDay: isRestricted(texts[3]!), weekday: isRestricted(texts[5]!) }
      : { monthDay: !monthDay.isAny, weekday: !weekday.isAny },
  );
  if (pattern.monthDaysRestricted && pattern.weekdaysRestricted && !rule.takesEitherDay) {
    refuse('day of week', texts[5]!.at, 'the day of month is set as well; write "?" in one of the two');
  }
  refuseImpossibleDates(pattern, texts[3]!.at);
  return pattern;
}

/**
 * The fields of an expression as they are written, second first; those of an
 * alias are those that it stands for. A year that is left out is missing.
 *
 * @throws CronSyntaxError
 */
export function cutCron(expression: string, dialect: CronDialect): readonly Text[] {
  const rule = dialects[dialect];
  if (expression.length > maxLength) refuse(undefined, maxLength + 1, `longer than ${maxLength} characters`);
  const texts = [...expression.matchAll(/\S+/g)].map(
    (match): Text => ({ text: match[0], at: match.index + 1 }),
  );
  const [first] = texts;
  if (!first) {
    return refuse(
      undefined,
      1,
      `the expression is empty; write ${rule.fieldCounts}, e.g. ${quote(rule.example)}`,
    );
  }
  if (/^(CRON_)?TZ=/i.test(first.text)) {
    refuse(undefined, first.at, 'a zone is set by time_zone, not in the expression');
  }
  if (first.text.startsWith('@')) return cutCron(expressionOf(expression, first.at, dialect), dialect);
  const least = rule.secondIsOptional ? 5 : 6;
  if (texts.length < least || texts.length > least + 1) {
    const count = texts.length === 1 ? '1 field' : `${texts.length} fields`;
    refuse(undefined, first.at, `it has ${count}; write ${rule.fieldCounts}`);
  }
  return rule.secondIsOptional && texts.length === least ? [{ text: '0', at: 1 }, ...texts] : texts;
}

/** What an alias stands for. */
function expressionOf(expression: string, at: number, dialect: CronDialect): string {
  const { aliases, aliasHint }: DialectRule = dialects[dialect];
  const name = expression.trim();
  const lower = name.toLowerCase();
  if (Object.hasOwn(aliases, lower)) return aliases[lower]!;
  if (lower === '@reboot') {
    refuse(undefined, at, '@reboot is not a time; call Trigger when your service starts');
  }
  if (dialect === 'QUARTZ' && /^@every\b/.test(lower)) {
    refuse(
      undefined,
      at,
      '@every is not in the dialect QUARTZ; use an interval schedule, or the dialect UNIX',
    );
  }
  const what = dialect === 'QUARTZ' ? 'is not in the dialect QUARTZ' : 'is unknown';
  return refuse(undefined, at, `${quote(name)} ${what}; ${aliasHint}`);
}

/**
 * The interval of an `@every` expression in milliseconds; undefined for any
 * other expression, and in QUARTZ, where compileCron refuses it. Units are h,
 * m, s and ms, joined as in `1h30m`.
 *
 * @throws CronSyntaxError
 */
export function everyMsOf(expression: string, dialect: CronDialect = 'UNIX'): number | undefined {
  const match = /^(\s*@every\s+)(\S+)\s*$/i.exec(expression);
  if (!match || dialect === 'QUARTZ') return undefined;
  const [, before, text] = match as unknown as [string, string, string];
  const parts = [...text.matchAll(/(\d{1,12}(?:\.\d{1,6})?)(ms|h|m|s)/gy)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    refuse(
      undefined,
      before.length + 1,
      `${quote(text)} is no duration; write it like 90s, 5m, 1h30m or 250ms`,
    );
  }
  const unitMs: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit!]!, 0);
}

const longestMonths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Refuses days that none of the months has, such as 30 February. */
function refuseImpossibleDates(pattern: CronPattern, at: number): void {
  if (pattern.weekdaysRestricted || !pattern.monthDaysRestricted) return;
  const longest = Math.max(...longestMonths.filter((_, i) => pattern.months & (1 << (i + 1))));
  const isPossible =
    (pattern.monthDays & (2 ** (longest + 1) - 2)) !== 0 ||
    pattern.monthDayRules.some((rule) =>
      rule.kind === 'last' ? rule.before < longest : rule.day <= longest,
    );
  if (!isPossible) {
    refuse('day of month', at, `it never fires: none of its months has such a day; write 1 to ${longest}`);
  }
}
