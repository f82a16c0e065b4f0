import { create } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { type JobKey, JobKeySchema, type JobRef, JobRefSchema } from '../../gen/carillon/v1/job_key_pb.js';
import { clientCommand } from './client-command.ts';
import { idFromText } from './option-values.ts';

/**
 * Jobs on the command line: `[namespace/][group/]name`, so `report`,
 * `nightly/report` and `shop/nightly/report`. What is left out, or empty as in
 * `shop//report`, is "default". A name that holds slashes itself is written
 * with both parts in front: `default/default/a/b`.
 */

/** Reads a job's name. */
export function jobKeyFromText(text: string): JobKey {
  const parts = text.split('/');
  if (parts.length <= 2) {
    const [name = '', group = ''] = parts.reverse();
    return create(JobKeySchema, { group, name });
  }
  const [namespace = '', group = '', ...name] = parts;
  return create(JobKeySchema, { namespace, group, name: name.join('/') });
}

/** Writes a job's name as short as it can be read again. */
export function jobKeyToText(key: JobKey | undefined): string {
  if (!key) return '';
  const { name } = key;
  const namespace = key.namespace === 'default' ? '' : key.namespace;
  const group = key.group === 'default' ? '' : key.group;
  if (namespace || name.includes('/') || group.includes('/')) return `${namespace}/${group}/${name}`;
  return group ? `${group}/${name}` : name;
}

/** Writes a job's name with all its parts, as the service does in words. */
export function jobKeyToFullText({ namespace, group, name }: JobKey): string {
  return `${namespace || 'default'}/${group || 'default'}/${name}`;
}

/** The option that stands in for a name. */
export type JobOptions = { readonly id?: bigint };

/** Declares a command about one job, by name or by id. */
export function jobCommand(group: Command, verb: string, summary: string): Command {
  return clientCommand(group, `${verb} [name]`, summary).option('--id <id>', 'the job by its id', idFromText);
}

/** The job that the command line points at, or a usage error when it points at none or at two. */
export function jobRefFrom(name: string | undefined, { id }: JobOptions, command: Command): JobRef {
  if ((name === undefined) === (id === undefined)) {
    command.error('error: name the job by [namespace/][group/]name or by --id');
  }
  return id === undefined
    ? create(JobRefSchema, { ref: { case: 'key', value: jobKeyFromText(name!) } })
    : create(JobRefSchema, { ref: { case: 'id', value: id } });
}
