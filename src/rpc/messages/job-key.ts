import type * as pb from '../../../gen/carillon/v1/job_key_pb.js';
import { invalidField } from '../../domain/errors.ts';
import { type JobKey, type JobRef, jobDefaults, type Selector } from '../../domain/job.ts';

/** The namespace of a request; an empty one is `default`. */
export const namespaceFromMessage = (namespace: string): string =>
  namespace === '' ? jobDefaults.namespace : namespace;

/** The key with its defaults: an empty namespace or group is `default`. */
export function jobKeyFromMessage(key: Pick<pb.JobKey, 'namespace' | 'group' | 'name'>): JobKey {
  return {
    namespace: namespaceFromMessage(key.namespace),
    group: key.group === '' ? jobDefaults.group : key.group,
    name: key.name,
  };
}

/** A key as the audit and messages write it: namespace/group/name. */
export function nameOfJobKey(key: Pick<pb.JobKey, 'namespace' | 'group' | 'name'>): string {
  const { namespace, group, name } = jobKeyFromMessage(key);
  return `${namespace}/${group}/${name}`;
}

/** The key in full; replies never leave a part to a default. */
export function jobKeyToMessage(key: JobKey): pb.JobKey {
  return {
    $typeName: 'carillon.v1.JobKey',
    namespace: key.namespace,
    group: key.group,
    name: key.name,
  };
}

/** The job that a reference points at; `path` names the reference in a refusal. */
export function jobRefFromMessage(ref: pb.JobRef | undefined, path: string): JobRef {
  switch (ref?.ref.case) {
    case 'id':
      return { id: Number(ref.ref.value) };
    case 'key':
      return { key: jobKeyFromMessage(ref.ref.value) };
    default:
      throw invalidField(path, 'must be set');
  }
}

/** A reference as it was given. */
export function jobRefToMessage(ref: JobRef): pb.JobRef {
  return {
    $typeName: 'carillon.v1.JobRef',
    ref:
      'id' in ref ? { case: 'id', value: BigInt(ref.id) } : { case: 'key', value: jobKeyToMessage(ref.key) },
  };
}

/** The conditions of a selector; one with nothing set is refused, so that nobody acts on everything by accident. */
export function selectorFromMessage(selector: pb.Selector, path: string): Selector {
  const conditions: Selector = {
    namespace: textOrAbsent(selector.namespace),
    group: textOrAbsent(selector.group),
    labels: labelsOrAbsent(selector.labels),
    namePrefix: textOrAbsent(selector.namePrefix),
  };
  if (Object.values(conditions).every((condition) => condition === undefined)) {
    throw invalidField(path, 'must set at least one of namespace, group, labels and name_prefix');
  }
  return conditions;
}

/** A text condition; empty means that it is not set. */
export function textOrAbsent(text: string): string | undefined {
  return text === '' ? undefined : text;
}

/** A condition on labels; no labels mean that it is not set. */
export function labelsOrAbsent(labels: {
  readonly [key: string]: string;
}): { readonly [key: string]: string } | undefined {
  return Object.keys(labels).length === 0 ? undefined : labels;
}
