import type { ExecutionState } from '../domain/execution.ts';

/** The codes of carillon.feed.event. */
export const feedEventCodes = {
  LOGS: 0,
  PENDING: 1,
  RUNNING: 2,
  SUCCEEDED: 3,
  FAILED: 4,
  CANCELED: 5,
  SKIPPED: 6,
} as const satisfies Record<ExecutionState | 'LOGS', number>;

/** The states by their code. */
export const stateByFeedEvent: readonly (ExecutionState | undefined)[] = [
  undefined,
  'PENDING',
  'RUNNING',
  'SUCCEEDED',
  'FAILED',
  'CANCELED',
  'SKIPPED',
];

/** SQL that gives the code of a state expression. */
export const feedEventOf = (state: string): string => `(case ${state}
  when 'PENDING' then 1 when 'RUNNING' then 2 when 'SUCCEEDED' then 3
  when 'FAILED' then 4 when 'CANCELED' then 5 else 6 end)::smallint`;

/**
 * SQL of a data-modifying CTE body that writes one feed row for all rows of a
 * CTE. It writes nothing when there are none.
 */
export const feedInsert = (
  from: string,
  columns: {
    readonly executionId: string;
    readonly jobId: string;
    readonly event: string;
    readonly attempt: string;
    readonly firstSeq?: string;
    readonly lastSeq?: string;
  },
): string => `
  insert into carillon.feed (execution_id, job_id, event, attempt, first_seq, last_seq)
  select array_agg(${columns.executionId}), array_agg(${columns.jobId}), array_agg(${columns.event}),
         array_agg(${columns.attempt}), array_agg(${columns.firstSeq ?? '0::bigint'}), array_agg(${columns.lastSeq ?? '0::bigint'})
    from ${from}
  having count(*) > 0`;
