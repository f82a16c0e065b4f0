import type { Parameters } from './job.ts';

/** What a run is told: its own text wins, its object by top-level keys, its list by name. */
export function mergeParameters(base: Parameters, override: Parameters | null): Parameters {
  if (override === null) return base;
  const list = new Map((base.list ?? []).map((entry) => [entry.name, entry]));
  for (const entry of override.list ?? []) list.set(entry.name, entry);
  return {
    text: override.text ?? base.text,
    object: override.object ? { ...base.object, ...override.object } : base.object,
    list: list.size > 0 ? [...list.values()] : undefined,
  };
}
