/** How sets of numbers and lengths of time read in plain words. */

/** Joins words: `a`, `a and b`, `a, b and c`. */
export const listOf = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;

/** The distance of numbers that follow each other evenly, two of them at least; undefined for all others. */
export function evenStep(values: readonly number[]): number | undefined {
  const step = values.length < 2 ? 0 : values[1]! - values[0]!;
  return step > 0 && values.every((value, i) => i === 0 || value - values[i - 1]! === step)
    ? step
    : undefined;
}

/** Writes ascending numbers: `1, 5 to 8 and 12`, or `0 to 56 in steps of 7`. */
export function numbersText(values: readonly number[]): string {
  const step = evenStep(values);
  if (step !== undefined && step > 1 && values.length > 4) {
    return `${values[0]} to ${values.at(-1)} in steps of ${step}`;
  }
  return listOf(runsOf(values).flatMap(([first, last]) => runText(first, last, String)));
}

/** Writes ascending numbers by names: `Monday to Friday and Sunday`. */
export const namesText = (values: readonly number[], nameOf: (value: number) => string): string =>
  listOf(runsOf(values).flatMap(([first, last]) => runText(first, last, nameOf)));

/** A run of numbers as one item when it has three or more, else as itself. */
const runText = (first: number, last: number, nameOf: (value: number) => string): string[] => {
  if (last - first > 1) return [`${nameOf(first)} to ${nameOf(last)}`];
  return first === last ? [nameOf(first)] : [nameOf(first), nameOf(last)];
};

/** The numbers without gaps, as first and last. */
function runsOf(values: readonly number[]): [number, number][] {
  const runs: [number, number][] = [];
  for (const value of values) {
    const run = runs.at(-1);
    if (run && run[1] === value - 1) run[1] = value;
    else runs.push([value, value]);
  }
  return runs;
}

/** Writes a length of time in the widest unit that divides it: `90 s`, `15 min`, `250 ms`. */
export function durationText(ms: number): string {
  for (const [unit, unitMs] of units) if (ms % unitMs === 0) return `${ms / unitMs} ${unit}`;
  return `${ms} ms`;
}

const units: readonly (readonly [string, number])[] = [
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** Writes an instant, without a fraction where there is none. */
export const instantText = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');

/** Writes a number with two digits. */
export const twoDigits = (value: number): string => String(value).padStart(2, '0');
