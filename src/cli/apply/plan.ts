import type { JobKey } from '../../../gen/carillon/v1/job_key_pb.js';
import type { Job } from '../../../gen/carillon/v1/job_pb.js';
import type { FireTime } from '../../../gen/carillon/v1/job_service_pb.js';
import type { Change } from './job-changes.ts';
import type { Manifest, WantedJob } from './manifest.ts';
import { keyText } from './manifests.ts';
import { ownerOf } from './owner.ts';

/** What is to be done about one job. */
export type Step =
  | {
      readonly action: 'create';
      readonly wanted: WantedJob;
      readonly fireTimes: readonly FireTime[];
      readonly warnings: readonly string[];
    }
  | {
      readonly action: 'change';
      readonly wanted: WantedJob;
      readonly present: Job;
      readonly changes: readonly Change[];
      /** Absent: the schedules stay as they are. */
      readonly fireTimes?: { readonly before: readonly FireTime[]; readonly after: readonly FireTime[] };
      readonly warnings: readonly string[];
    }
  | { readonly action: 'prune'; readonly present: Job }
  | { readonly action: 'unchanged'; readonly present: Job };

/** What is done about a job. */
export type Action = Step['action'];

/** The job that a step is about. */
export const keyOf = (step: Step): JobKey | undefined =>
  'wanted' in step ? step.wanted.job.key : step.present.key;

/** How many steps there are of each kind. */
export function countActions(steps: readonly Step[]): Readonly<Record<Action, number>> {
  const counts = { create: 0, change: 0, prune: 0, unchanged: 0 };
  for (const { action } of steps) counts[action]++;
  return counts;
}

/** Why a job that is there must not be taken for the manifest's; undefined where it may be. */
export function ownerRefusal(wanted: WantedJob, present: Job, adopts: boolean): string | undefined {
  const owner = ownerOf(present);
  if (owner === wanted.owner || adopts) return undefined;
  if (owner === '') return 'is there already and has no owner; --adopt takes it over';
  return `is there already and belongs to ${owner}; --adopt takes it over`;
}

/** Jobs of the manifests' owners that no manifest has any more. */
export type Leftovers = {
  /** In namespaces that the manifests name: what --prune deletes. */
  readonly within: readonly Job[];
  /** In other namespaces. */
  readonly elsewhere: readonly Job[];
};

/** Finds the leftovers among all jobs that carry the label of an owner. */
export function findLeftovers(manifests: readonly Manifest[], owned: readonly Job[]): Leftovers {
  const wanted = new Set(manifests.flatMap(({ jobs }) => jobs.map(({ job }) => keyText(job.key))));
  const namespaces = new Map<string, Set<string>>();
  for (const { owner, namespace, jobs } of manifests) {
    const named = namespaces.get(owner) ?? new Set<string>();
    for (const { job } of jobs) named.add(job.key.namespace);
    if (namespace !== undefined || jobs.length === 0) named.add(namespace ?? 'default');
    namespaces.set(owner, named);
  }
  const left = owned.filter((job) => job.key && !wanted.has(keyText(job.key)));
  const isNamed = (job: Job): boolean => namespaces.get(ownerOf(job))?.has(job.key!.namespace) === true;
  return { within: left.filter(isNamed), elsewhere: left.filter((job) => !isNamed(job)) };
}

/** Why the manifests cannot be pruned by; undefined where they can. */
export function pruneRefusal(manifests: readonly Manifest[], allowsEmpty: boolean): string | undefined {
  const ownerless = manifests.find(({ owner }) => owner === '');
  if (ownerless) {
    const { file, line } = ownerless.place;
    return `--prune needs an owner in every manifest; the one at ${file}:${line} has none`;
  }
  const counts = new Map<string, number>();
  for (const { owner, jobs } of manifests) counts.set(owner, (counts.get(owner) ?? 0) + jobs.length);
  const empty = [...counts].find(([, count]) => count === 0);
  if (!empty || allowsEmpty) return undefined;
  return `the manifests of ${empty[0]} have no jobs, and --prune would delete all that it has; --allow-empty lets it`;
}
