import { type Job, JobSchema } from '../../../gen/carillon/v1/job_pb.js';
import type { Schedule } from '../../../gen/carillon/v1/schedule_pb.js';
import { scheduleToText } from '../job-lines.ts';
import { definitionFields } from './definition-fields.ts';
import { type Leaf, leavesOf } from './definition-leaves.ts';
import { ownerLabel } from './owner.ts';

/** What becomes of one field. Absent: it is not there. */
export type Change = { readonly path: string; readonly before?: Leaf; readonly after?: Leaf };

/**
 * What tells two stored forms of a job apart, in the fields that define it.
 * Both are as the service writes them, so what it fills in is in both.
 */
export function jobChanges(before: Job, after: Job): readonly Change[] {
  const isWanted = ({ name }: { readonly name: string }) => definitionFields.includes(name);
  const old = leavesOf(JobSchema, before, isWanted);
  const now = leavesOf(JobSchema, after, isWanted);
  const schedules = scheduleChanges(before.schedules, after.schedules);
  const changes: Change[] = [];
  for (const path of new Set([...old.keys(), ...now.keys()])) {
    const [a, b] = [old.get(path), now.get(path)];
    if (a?.text === b?.text || schedules.some((each) => path.startsWith(`${each.path}.`))) continue;
    if (path.endsWith(' (order)') && !isReordered(a, b)) continue;
    changes.push({ path: shownPath(path), before: a, after: b });
  }
  return [...changes, ...schedules].toSorted((a, b) => fieldRank(a.path) - fieldRank(b.path));
}

/** Whether the same names stand in another order. */
function isReordered(before: Leaf | undefined, after: Leaf | undefined): boolean {
  const names = (leaf: Leaf | undefined): string => (leaf?.text ?? '').split(', ').toSorted().join();
  return names(before) === names(after);
}

/** Schedules that are there only before or only after, each in one line. */
function scheduleChanges(before: readonly Schedule[], after: readonly Schedule[]): readonly Change[] {
  const lacks = (list: readonly Schedule[], { name }: Schedule) => !list.some((each) => each.name === name);
  const leaf = (schedule: Schedule): Leaf => ({ text: scheduleToText(schedule), isSecret: false });
  const path = ({ name }: Schedule) => `schedules[${name}]`;
  return [
    ...before.filter((each) => lacks(after, each)).map((each) => ({ path: path(each), before: leaf(each) })),
    ...after.filter((each) => lacks(before, each)).map((each) => ({ path: path(each), after: leaf(each) })),
  ];
}

const shownPath = (path: string): string =>
  path === `labels[${JSON.stringify(ownerLabel)}]` ? 'owner' : path;

/** Where a path stands in the proto; an owner comes first. */
const fieldRank = (path: string): number => definitionFields.indexOf(/^\w+/.exec(path)?.[0] ?? '');

/** Whether the schedules are among the changes. */
export const touchesSchedules = (changes: readonly Change[]): boolean =>
  changes.some(({ path }) => path.startsWith('schedules'));
