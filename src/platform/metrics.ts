/**
 * Where parts report numbers. Names are `carillon_<noun>_<unit>`; labels have
 * few values. The default keeps nothing; an exporter implements the same.
 */
export type Metrics = {
  /** Adds to a counter. */
  count(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
  /** Notes one measurement, in the unit that the name says. */
  observe(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
};

export const noMetrics: Metrics = { count: () => undefined, observe: () => undefined };
