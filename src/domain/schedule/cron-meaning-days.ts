import { firstYear } from './cron-dialects.ts';
import type { MonthDayRule } from './cron-field.ts';
import { type CronPattern, valuesIn } from './cron-pattern.ts';
import { listOf, namesText, numbersText } from './wording.ts';

/**
 * The days of a pattern in plain words: `every Monday`, `on the last day of the
 * month`, `Monday to Friday in May`; undefined when it is every day.
 */
export function meaningOfDays(pattern: CronPattern): string | undefined {
  const months = pattern.months === allMonths ? [] : bitsIn(pattern.months);
  const years = pattern.years ? ` in ${numbersText(valuesIn(pattern.years).map((i) => i + firstYear))}` : '';
  const hasEveryMonthDay = pattern.monthDays >>> 0 === allMonthDays;
  const hasEveryWeekday = pattern.weekdays === allWeekdays;
  const isEither = pattern.monthDaysRestricted && pattern.weekdaysRestricted;
  const inMonths = months.length === 0 ? '' : ` in ${listOf(months.map(monthName))}`;
  if ((hasEveryMonthDay && hasEveryWeekday) || (isEither && (hasEveryMonthDay || hasEveryWeekday))) {
    return inMonths + years === '' ? undefined : `every day${inMonths}${years}`;
  }
  if (hasEveryMonthDay) return `${weekdaysText(pattern)}${inMonths}${years}`;
  if (hasEveryWeekday) {
    // A date reads better by the name of its month.
    if (months.length === 1 && pattern.monthDayRules.length === 0) {
      return `on ${numbersText(bitsIn(pattern.monthDays))} ${monthName(months[0]!)}${years}`;
    }
    return `on ${monthDaysText(pattern)} of the month${inMonths}${years}`;
  }
  const [days, weekdays] = [`${monthDaysText(pattern)} of the month`, weekdaysText(pattern)];
  const scope = inMonths + years === '' ? '' : `, all${inMonths}${years}`;
  return isEither ? `on ${days} and also ${weekdays}${scope}` : `${weekdays}, only on ${days}${scope}`;
}

const allMonths = 0b1_1111_1111_1110;
const allMonthDays = 2 ** 32 - 2;
const allWeekdays = 127;

/** The months, days or weekdays of a bit set. */
const bitsIn = (bits: number): number[] =>
  Array.from({ length: 32 }, (_, i) => i).filter((i) => bits & (1 << i));

/** `Monday to Friday`, `every Sunday`, `on the second Friday of the month`. */
function weekdaysText({ weekdays, weekdayRules }: CronPattern): string {
  // The week begins on Monday here, so that weekends stay together.
  const days = bitsIn(weekdays)
    .map((day) => (day + 6) % 7)
    .sort((a, b) => a - b);
  const names = namesText(days, (day) => weekdayNames[(day + 1) % 7]!);
  const rules = listOf(
    weekdayRules.map(({ weekday, nth }) => `the ${ordinals[nth]} ${weekdayNames[weekday]}`),
  );
  const parts = [
    ...(days.length === 0 ? [] : [days.length === 1 ? `every ${names}` : names]),
    ...(rules === '' ? [] : [`on ${rules} of the month`]),
  ];
  return parts.join(' and also ');
}

/** `day 1`, `days 1 to 7 and the last day`, without the month. */
function monthDaysText({ monthDays, monthDayRules }: CronPattern): string {
  const days = bitsIn(monthDays);
  return listOf([
    ...(days.length === 0 ? [] : [`${days.length === 1 ? 'day' : 'days'} ${numbersText(days)}`]),
    ...monthDayRules.map(ruleText),
  ]);
}

function ruleText(rule: MonthDayRule): string {
  if (rule.kind === 'nearestWeekday') return `the weekday (Monday to Friday) nearest to day ${rule.day}`;
  const before = `${rule.before} ${rule.before === 1 ? 'day' : 'days'} before the last day`;
  if (!rule.weekday) return rule.before === 0 ? 'the last day' : before;
  return rule.before === 0
    ? 'the last weekday (Monday to Friday)'
    : `the weekday (Monday to Friday) nearest to ${before}`;
}

const ordinals = ['last', 'first', 'second', 'third', 'fourth', 'fifth'];
const weekdayNames = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const monthNames = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

const monthName = (month: number): string => monthNames[month - 1]!;
