/** What caches read of jobs: definitions for firing and delivering, labels for streams. */
import type { JobDefinition, JobKey } from '../domain/job.ts';
import { type Db, numberArray, run } from './database.ts';
import { type DefinitionRow, definitionFromRow } from './job-rows.ts';

/** What firing and delivering need of a job. */
export type StoredDefinition = {
  readonly id: number;
  readonly key: JobKey;
  readonly generation: number;
  readonly definition: JobDefinition;
};

/** What streams choose a job by. */
export type LabeledJob = {
  readonly id: number;
  readonly key: JobKey;
  readonly labels: Readonly<Record<string, string>>;
};

/** Definitions by id, also of deleted jobs: what is open of them still runs. */
export async function listDefinitions(db: Db, ids: readonly number[]): Promise<readonly StoredDefinition[]> {
  if (ids.length === 0) return [];
  const rows = await run<DefinitionRow>(
    db,
    `/* definitions */
     select id, namespace, group_name, name, generation, description, labels, schedules, target, parameters, priority,
            overlap, misfire, retry, attempt_timeout_ms, queue_timeout_ms, max_running
       from carillon.job where id = any ((select $1::bigint[])::bigint[])`,
    [numberArray(ids)],
  );
  return rows.map((row) => ({
    id: row.id,
    key: { namespace: row.namespace, group: row.group_name, name: row.name },
    generation: row.generation,
    definition: definitionFromRow(row),
  }));
}

/** Keys and labels by id, also of deleted jobs: their executions are still streamed. */
export async function listLabels(db: Db, ids: readonly number[]): Promise<readonly LabeledJob[]> {
  if (ids.length === 0) return [];
  const rows = await run<Pick<DefinitionRow, 'id' | 'namespace' | 'group_name' | 'name' | 'labels'>>(
    db,
    `/* labels */
     select id, namespace, group_name, name, labels from carillon.job where id = any ($1::bigint[])`,
    [numberArray(ids)],
  );
  return rows.map(({ id, namespace, group_name: group, name, labels }) => ({
    id,
    key: { namespace, group, name },
    labels,
  }));
}
