/** The value below which this share of the values lies; NaN when there are none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Ends the benchmark with what went wrong: a figure of work that was not done is worth nothing. */
export function ensure(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new Error(problem);
}

/** A rate or a count without decimals, grouped by thousands. */
export const whole = (value: number): string => Math.round(value).toLocaleString('en-US');

/** Milliseconds with one decimal below 100. */
export const inMs = (value: number): string => `${value < 100 ? value.toFixed(1) : whole(value)} ms`;

/** Now by the system's clock, as the other processes of this machine and Postgres see it, finer than a millisecond. */
export const nowMs = (): number => performance.timeOrigin + performance.now();

/** One line of the final table. */
export type Figure = {
  readonly name: string;
  readonly value: string;
  readonly goal: string;
  /** Whether the goal is reached; undefined where there is none. */
  readonly reached: boolean | undefined;
  readonly note: string;
};
