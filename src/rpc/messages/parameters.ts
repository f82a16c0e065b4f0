import type * as pb from '../../../gen/carillon/v1/parameters_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { Parameters } from '../../domain/job.ts';

const none: Parameters = {};

/** What a run is told; absent means nothing. `path` names the field in a refusal. */
export function parametersFromMessage(parameters: pb.Parameters | undefined, path: string): Parameters {
  if (parameters === undefined) return none;
  const { text, object, list } = parameters;
  return {
    text,
    object,
    list: list.length === 0 ? undefined : uniqueNames(list, path),
  };
}

function uniqueNames(list: readonly pb.Parameter[], path: string): Parameters['list'] {
  const seen = new Set<string>();
  return list.map(({ name, value }, index) => {
    if (seen.has(name)) throw invalidField(`${path}.list[${index}].name`, 'must be unique in the list');
    seen.add(name);
    return { name, value };
  });
}

/** The three shapes as they are; absent where there is nothing to tell. */
export function parametersToMessage(parameters: Parameters | undefined): pb.Parameters | undefined {
  if (parameters === undefined) return undefined;
  const { text, object, list = [] } = parameters;
  if (text === undefined && object === undefined && list.length === 0) return undefined;
  return {
    $typeName: 'carillon.v1.Parameters',
    text,
    object,
    list: list.map(({ name, value }) => ({ $typeName: 'carillon.v1.Parameter', name, value })),
  };
}
