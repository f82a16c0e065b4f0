import { type Expression, type SqlBool, sql } from 'kysely';
import type { Selector } from '../domain/job.ts';
import { numberArray } from './database.ts';
import { selectorCondition } from './job-rows.ts';

/** Jobs whose open executions are meant. */
export type OpenChoice = { readonly jobIds: readonly number[] } | { readonly selector: Selector };

/** SQL that fits the open executions of chosen jobs, on the alias o. */
export function openCondition(choice: OpenChoice): Expression<SqlBool> {
  if ('jobIds' in choice) return sql<SqlBool>`o.job_id = any (${numberArray(choice.jobIds)}::bigint[])`;
  return sql<SqlBool>`o.job_id in (select j.id from carillon.job j where ${selectorCondition(choice.selector)})`;
}
