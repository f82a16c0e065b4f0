import type { Schedule } from './schedule.ts';

/**
 * A schedule's name and what it is, as text: equal as long as edits leave both
 * as they were. What was stored comes back with its members in another order.
 */
export const identityOf = ({ name, spec }: Pick<Schedule, 'name' | 'spec'>): string =>
  JSON.stringify([name, Object.entries(spec).sort(([x], [y]) => (x < y ? -1 : 1))]);
