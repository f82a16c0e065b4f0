import { type CronPattern, valuesIn } from './cron-pattern.ts';
import type { Text } from './cron-refusal.ts';

/**
 * Says where a step over a whole field does not divide it evenly, so that the
 * last gap is another one: every 7 minutes leaves 4 at the end of the hour.
 * `texts` are the fields as they are written, second first.
 */
export function lintSteps(pattern: CronPattern, texts: readonly Text[]): string[] {
  return steppedFields(pattern).flatMap(({ place, values, min, cycle, inField, whole, unit }) => {
    const { text } = texts[place]!;
    const match = /^(?:\*|H|(\d+))\/(\d+)$/i.exec(text);
    if (!match || values.length < 2) return [];
    const step = Number(match[2]);
    // One that begins late, such as 8/2 for hours, leaves the beginning out on purpose.
    if (step === 1 || Number(match[1] ?? min) >= min + step) return [];
    // Months differ in length.
    if (cycle === undefined) return [`${text} ${inField}: it starts anew with every month`];
    const lastGap = values[0]! + cycle - values.at(-1)!;
    if (lastGap === step) return [];
    return [
      `${text} ${inField}: the last gap of the ${whole} is ${lastGap} ${lastGap === 1 ? unit : `${unit}s`}`,
    ];
  });
}

type SteppedField = {
  readonly place: number;
  readonly values: readonly number[];
  readonly min: number;
  /** How many values there are; absent where that varies. */
  readonly cycle?: number;
  readonly inField: string;
  readonly whole: string;
  readonly unit: string;
};

function steppedFields(pattern: CronPattern): readonly SteppedField[] {
  const bitsIn = (bits: number): number[] =>
    Array.from({ length: 32 }, (_, i) => i).filter((i) => bits & (1 << i));
  return [
    {
      place: 0,
      values: valuesIn(pattern.seconds),
      min: 0,
      cycle: 60,
      inField: 'in seconds',
      whole: 'minute',
      unit: 'second',
    },
    {
      place: 1,
      values: valuesIn(pattern.minutes),
      min: 0,
      cycle: 60,
      inField: 'in minutes',
      whole: 'hour',
      unit: 'minute',
    },
    {
      place: 2,
      values: valuesIn(pattern.hours),
      min: 0,
      cycle: 24,
      inField: 'in hours',
      whole: 'day',
      unit: 'hour',
    },
    {
      place: 3,
      values: bitsIn(pattern.monthDays),
      min: 1,
      inField: 'in days of the month',
      whole: 'month',
      unit: 'day',
    },
    {
      place: 4,
      values: bitsIn(pattern.months),
      min: 1,
      cycle: 12,
      inField: 'in months',
      whole: 'year',
      unit: 'month',
    },
    {
      place: 5,
      values: bitsIn(pattern.weekdays),
      min: 0,
      cycle: 7,
      inField: 'in days of the week',
      whole: 'week',
      unit: 'day',
    },
  ];
}
