/** Jobs for workers as the chaos tests add them, and what the ledger says of their executions. */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type pg from 'pg';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import type { InstanceClient } from './instance-process.ts';
import type { JobDraft } from './job-drafts.ts';

/** Times short enough for a test, and long enough for two shared cores. */
export const workerTimes = {
  heartbeatMs: 400,
  graceMs: 1_500,
  cancelGraceMs: 1_500,
} as const;

/** An instance's variables for these times. */
export const workerEnv = {
  CARILLON_ENGINE_INSTANCE_TTL_MS: 5_000,
  CARILLON_ENGINE_LEASE_RENEW_MS: 500,
  CARILLON_WORKER_HEARTBEAT_MS: workerTimes.heartbeatMs,
  CARILLON_WORKER_RECONNECT_GRACE_MS: workerTimes.graceMs,
  CARILLON_WORKER_CANCEL_GRACE_MS: workerTimes.cancelGraceMs,
} as const;

/** Adds a job of this name whose executions wait in a queue: that of this name, unless another is given. */
export async function addQueueJob(
  client: InstanceClient,
  name: string,
  {
    maxAttempts = 3,
    queue = name,
    ...more
  }: JobDraft & { readonly maxAttempts?: number; readonly queue?: string } = {},
): Promise<void> {
  await client.jobs.add({
    job: {
      key: { name },
      target: { kind: { case: 'worker', value: { queue } } },
      overlap: OverlapPolicy.ALLOW,
      retry: { maxAttempts, initialBackoff: durationFromMs(20), maxBackoff: durationFromMs(20) },
      ...more,
    },
  });
}

/** Triggers a job so many times, some at once; returns the executions. */
export async function triggerMany(client: InstanceClient, name: string, count: number): Promise<bigint[]> {
  const ids: bigint[] = [];
  const job = { ref: { case: 'key', value: { name } } } as const;
  while (ids.length < count) {
    const calls = Array.from({ length: Math.min(100, count - ids.length) }, () =>
      client.jobs.trigger({ job }),
    );
    ids.push(...(await Promise.all(calls)).map(({ execution }) => execution!.id));
  }
  return ids;
}

/** One attempt that has ended. */
export type EndedAttempt = {
  readonly attempt: number;
  readonly outcome: string;
  readonly reason: string | null;
  readonly workerId: string | null;
  readonly finishedMs: number;
};

/** An execution as the tables have it. */
export type LedgerRow = {
  readonly id: number;
  readonly state: string;
  readonly attempt: number;
  readonly workerId: string | null;
  readonly result: Readonly<Record<string, unknown>> | null;
  readonly attempts: readonly EndedAttempt[];
};

/** The executions of a job, oldest first, with their attempts in order. */
export async function readLedger(sql: pg.Client, name: string): Promise<readonly LedgerRow[]> {
  const { rows } = await sql.query<LedgerRow>(
    `select e.id::float8 as id, e.state, e.attempt, e.worker_id as "workerId", e.result,
            coalesce((select json_agg(json_build_object('attempt', a.attempt, 'outcome', a.outcome, 'reason', a.reason,
                        'workerId', a.worker_id, 'finishedMs', extract(epoch from a.finished_at) * 1000)
                        order by a.attempt)
                        from carillon.attempt a where a.execution_id = e.id), '[]') as attempts
       from carillon.execution e join carillon.job j on j.id = e.job_id
      where j.name = $1 order by e.id`,
    [name],
  );
  return rows;
}

/** The database's clock, in milliseconds since 1970. */
export async function readClockMs(sql: pg.Client): Promise<number> {
  const { rows } = await sql.query<{ ms: number }>(
    'select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms',
  );
  return rows[0]!.ms;
}

/** How the ended attempts of executions went, each kind with its count: `1 FAILED WORKER_LOST one`. */
export function countAttempts(rows: readonly LedgerRow[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { attempts } of rows) {
    for (const { attempt, outcome, reason, workerId } of attempts) {
      const kind = [attempt, outcome, reason, workerId].filter((part) => part !== null).join(' ');
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
  }
  return counts;
}
