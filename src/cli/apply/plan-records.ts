import { type JsonValue, toJson } from '@bufbuild/protobuf';
import { JobKeySchema } from '../../../gen/carillon/v1/job_key_pb.js';
import { type FireTime, FireTimeSchema } from '../../../gen/carillon/v1/job_service_pb.js';
import type { Outcome } from './carry-out.ts';
import { openValues } from './change-text.ts';
import { countActions, keyOf, type Step } from './plan.ts';
import { doneWords } from './plan-lines.ts';

/**
 * A plan and its outcome as JSON objects, one a line, for programs:
 *
 *     {"plan": "create" | "change" | "prune" | "unchanged", "job": key, …}
 *     {"outcome": "created" | "changed" | "pruned" | "failed" | "unknown" | "left", "job": key, …}
 *     {"summary": {"created": 1, …}}
 */
export function stepRecord(step: Step): JsonValue {
  const base = { plan: step.action, job: keyJson(step) };
  switch (step.action) {
    case 'create':
      return { ...base, fireTimes: step.fireTimes.map(fireTimeJson), warnings: [...step.warnings] };
    case 'change':
      return {
        ...base,
        id: String(step.present.id),
        changes: step.changes.map((change) => {
          const { before = null, after = null } = openValues(change);
          return { path: change.path, before, after };
        }),
        ...(step.fireTimes && {
          fireTimesBefore: step.fireTimes.before.map(fireTimeJson),
          fireTimes: step.fireTimes.after.map(fireTimeJson),
        }),
        warnings: [...step.warnings],
      };
    default:
      return { ...base, id: String(step.present.id) };
  }
}

/** What became of a step. */
export function outcomeRecord(step: Step, outcome: Outcome): JsonValue {
  const word = outcome.kind === 'done' ? doneWords[step.action] : outcome.kind;
  const record = { outcome: word, plan: step.action, job: keyJson(step) };
  return 'why' in outcome ? { ...record, why: outcome.why } : record;
}

/** How much was done, or would be. */
export function summaryRecord(
  steps: readonly Step[],
  outcomes: ReadonlyMap<Step, Outcome> | undefined,
): JsonValue {
  const { create, change, prune, unchanged } = countActions(steps);
  if (!outcomes) return { summary: { create, change, prune, unchanged } };
  const those = (kind: Outcome['kind']): Step[] =>
    [...outcomes].filter(([, outcome]) => outcome.kind === kind).map(([step]) => step);
  const done = countActions(those('done'));
  return {
    summary: {
      created: done.create,
      changed: done.change,
      pruned: done.prune,
      unchanged,
      failed: those('failed').length,
      unknown: those('unknown').length,
      left: those('left').length,
    },
  };
}

const keyJson = (step: Step): JsonValue => {
  const key = keyOf(step);
  return key ? toJson(JobKeySchema, key) : null;
};

const fireTimeJson = (time: FireTime): JsonValue => toJson(FireTimeSchema, time);
