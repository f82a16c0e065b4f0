import type { JobKey, Selector } from './job.ts';

/** Whether a selector chooses a job. */
export function selects(
  selector: Selector,
  job: { readonly key: JobKey; readonly labels: Readonly<Record<string, string>> },
): boolean {
  const { namespace, group, namePrefix, labels, within } = selector;
  if (within !== undefined && !within.includes(job.key.namespace)) return false;
  if (namespace !== undefined && namespace !== job.key.namespace) return false;
  if (group !== undefined && group !== job.key.group) return false;
  if (namePrefix !== undefined && !job.key.name.startsWith(namePrefix)) return false;
  return Object.entries(labels ?? {}).every(([name, value]) => job.labels[name] === value);
}
